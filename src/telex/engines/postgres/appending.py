"""The functions of the schema that store messages. ``{s}`` is the schema, ``{channel}`` its channel.

`append` is one transaction in one round trip: it takes the lock, numbers the messages, stores them, notes the batch of
its writer, and notifies. The lock is held until the commit, never while a client is waited for.
"""

from __future__ import annotations

APPENDING = """
CREATE FUNCTION {s}.take_lock() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(1952804984, hashtext('{schema}'))
$$;

CREATE FUNCTION {s}.make_topic(p_name text) RETURNS {s}.topics LANGUAGE plpgsql AS $$
-- Under the lock. The epoch is the one that telex.engines.postgres.catalogue.epoch_of makes.
DECLARE
    made {s}.topics;
    text_ text;
BEGIN
    SELECT concat_ws(E'\\n', s.epoch, p_name,
            coalesce((SELECT r.times FROM {s}.removed r WHERE r.name = p_name), 0))
        INTO text_ FROM {s}.state s;
    INSERT INTO {s}.topics (name, epoch)
        VALUES (p_name, encode(substr(sha256(convert_to(text_, 'UTF8')), 1, 6), 'hex')) RETURNING * INTO made;
    INSERT INTO {s}.group_topics
        SELECT g.id, made.id, 1 FROM {s}.groups g WHERE g.pattern = p_name OR p_name ~ g.fits;
    RETURN made;
END $$;

CREATE FUNCTION {s}.find_id(
    p_topic bigint, p_id text, p_made bigint, p_ms bigint, p_base bigint, p_oldest float8
) RETURNS bigint LANGUAGE plpgsql {by_index} AS $$
-- The number of the message that has this id. p_made is the number that the id was made from, if it was made here.
DECLARE
    found_ bigint;
BEGIN
    SELECT i.seq INTO found_ FROM {s}.ids i WHERE i.topic = p_topic AND i.id = p_id AND i.time > p_oldest;
    IF found_ IS NULL AND p_made BETWEEN 1 AND p_base THEN
        SELECT m.seq INTO found_ FROM {s}.messages m
            WHERE m.topic = p_topic AND m.seq = p_made AND m.id IS NULL AND m.time > p_oldest
            AND round(m.time * 1000000)::bigint / 1000 = p_ms;
    END IF;
    RETURN found_;
END $$;

CREATE FUNCTION {s}.append(
    p_writer uuid, p_batch bigint, p_adopt boolean,
    p_names text[], p_topic bigint[], p_time float8[], p_size bigint[], p_type text[],
    p_key text[], p_headers text[], p_content text[], p_data bytea[],
    p_id text[], p_made bigint[], p_ms bigint[], p_epochs text[],
    OUT o_outcome bigint[], OUT o_topics bigint[], OUT o_epochs text[], OUT o_known bigint[], OUT o_known_seq bigint[]
) LANGUAGE plpgsql {no_scan} AS $$
-- p_topic says which of p_names a message goes to. o_outcome: the place of the last message before, and for each name
-- the number of its topic's last message before. o_known: which messages were not stored, since their ids were known.
DECLARE
    t {s}.topics;
    last_ record;
    base bigint;
    single boolean := cardinality(p_names) = 1;
    count_ bigint;
    bases bigint[] := '{}';
    totals bigint[] := '{}';
    rels bigint[];
    now_ float8 := extract(epoch FROM clock_timestamp());
    kept_ bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1952804984, hashtext('{schema}'));
    IF p_writer IS NOT NULL THEN
        SELECT w.outcome, w.topics, w.epochs, w.known, w.known_seq
            INTO o_outcome, o_topics, o_epochs, o_known, o_known_seq
            FROM {s}.writers w WHERE w.writer = p_writer AND w.batch = p_batch;
        IF FOUND THEN
            RETURN;
        ELSIF EXISTS (SELECT 1 FROM {s}.writers w WHERE w.writer = p_writer AND w.batch > p_batch) THEN
            -- It was sent again by another connection, while this one was held up.
            RAISE EXCEPTION 'batch % of this process is out of date', p_batch;
        END IF;
    END IF;
    SELECT last_value INTO base FROM {s}.pos;
    o_topics := '{}'; o_epochs := '{}'; o_known := '{}'; o_known_seq := '{}';
    FOR i IN 1 .. cardinality(p_names) LOOP
        SELECT * INTO t FROM {s}.topics x WHERE x.name = p_names[i];
        IF NOT FOUND THEN
            t := {s}.make_topic(p_names[i]);
        END IF;
        IF p_adopt AND NOT t.adopts THEN
            UPDATE {s}.topics x SET adopts = true WHERE x.id = t.id;
            INSERT INTO {s}.adopted SELECT m.topic, m.id FROM {s}.messages m
                WHERE m.topic = t.id AND m.id IS NOT NULL ON CONFLICT DO NOTHING;
        END IF;
        SELECT m.seq, m.total INTO last_ FROM {s}.messages m WHERE m.topic = t.id ORDER BY m.seq DESC LIMIT 1;
        o_topics := o_topics || t.id;
        o_epochs := o_epochs || t.epoch;
        bases := bases || coalesce(last_.seq, t.head);
        totals := totals || coalesce(last_.total, t.total);
    END LOOP;
    IF p_id IS NOT NULL THEN
        rels := array_fill(0::bigint, ARRAY[cardinality(p_names)]);
        FOR i IN 1 .. cardinality(p_topic) LOOP
            kept_ := NULL;
            IF p_id[i] IS NOT NULL THEN
                kept_ := {s}.find_id(o_topics[p_topic[i]], p_id[i],
                    CASE WHEN p_epochs[p_topic[i]] = o_epochs[p_topic[i]] THEN nullif(p_made[i], 0) END, p_ms[i],
                    bases[p_topic[i]], CASE WHEN p_adopt THEN '-infinity' ELSE now_ - 120 END);
                IF kept_ IS NULL AND p_adopt THEN
                    SELECT 0 INTO kept_ FROM {s}.adopted a WHERE a.topic = o_topics[p_topic[i]] AND a.id = p_id[i];
                END IF;
            END IF;
            IF kept_ IS NOT NULL THEN
                o_known := o_known || i::bigint;
                o_known_seq := o_known_seq || kept_;
                CONTINUE;
            END IF;
            rels[p_topic[i]] := rels[p_topic[i]] + 1;
            IF p_id[i] IS NOT NULL THEN
                INSERT INTO {s}.ids VALUES (o_topics[p_topic[i]], p_id[i], bases[p_topic[i]] + rels[p_topic[i]], now_)
                    ON CONFLICT (topic, id) DO UPDATE SET seq = excluded.seq, time = excluded.time;
                INSERT INTO {s}.adopted SELECT x.id, p_id[i] FROM {s}.topics x
                    WHERE x.id = o_topics[p_topic[i]] AND x.adopts ON CONFLICT DO NOTHING;
            END IF;
        END LOOP;
    ELSIF single THEN
        rels := ARRAY[cardinality(p_topic)];
    ELSE
        SELECT array_agg(c.n ORDER BY c.i) INTO rels FROM (
            SELECT u.i, count(*) AS n FROM unnest(p_topic) AS u (i) GROUP BY u.i) c;
    END IF;
    INSERT INTO {s}.messages (pos, topic, seq, time, total, id, type, key, headers, content, data)
        SELECT base + row_number() OVER (ORDER BY u.ord), o_topics[u.t], bases[u.t] + row_number() OVER w, u.time,
            totals[u.t] + (sum(u.size) OVER w)::bigint, u.id, u.type, u.key, u.headers, u.content, u.data
        FROM unnest(p_topic, p_time, p_size, p_type, p_key, p_headers, p_content, p_data, p_id) WITH ORDINALITY
            AS u (t, time, size, type, key, headers, content, data, id, ord)
        WHERE u.ord <> ALL (o_known)
        WINDOW w AS (PARTITION BY u.t ORDER BY u.ord);
    GET DIAGNOSTICS count_ = ROW_COUNT;
    o_outcome := base || bases;
    IF p_writer IS NOT NULL THEN
        INSERT INTO {s}.writers
            VALUES (p_writer, p_batch, clock_timestamp(), o_outcome, o_topics, o_epochs, o_known, o_known_seq)
            ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, time = excluded.time,
                outcome = excluded.outcome, topics = excluded.topics, epochs = excluded.epochs,
                known = excluded.known, known_seq = excluded.known_seq;
    END IF;
    IF count_ > 0 THEN
        PERFORM setval('{s}.pos', base + count_);
        PERFORM pg_notify('{channel}', 'm' || base || ':' || base + count_ || ':' || CASE
            WHEN single THEN o_topics[1] || '=' || bases[1] + rels[1]
            WHEN cardinality(p_names) > 100 THEN '*'
            ELSE (SELECT string_agg(o_topics[i] || '=' || bases[i] + rels[i], ',')
                FROM generate_series(1, cardinality(p_names)) AS i) END);
    END IF;
END $$;

CREATE FUNCTION {s}.publish_due(p_limit int) RETURNS float8 LANGUAGE plpgsql {no_scan} AS $$
-- Publish the delayed messages that are due; when the next one is.
DECLARE
    now_ float8 := extract(epoch FROM clock_timestamp());
    d record;
    names text[];
BEGIN
    IF EXISTS (SELECT 1 FROM {s}.delayed x WHERE x.due <= now_) THEN
        -- Before they are taken: a process that was slower after that would publish earlier messages after later ones.
        PERFORM {s}.take_lock();
    END IF;
    WITH due AS (
        DELETE FROM {s}.delayed x WHERE x.n IN (
            SELECT y.n FROM {s}.delayed y WHERE y.due <= now_ ORDER BY y.due, y.n LIMIT p_limit)
        RETURNING x.*)
    SELECT array_agg(topic ORDER BY due, n) AS topic, array_agg(id ORDER BY due, n) AS id,
        array_agg(type ORDER BY due, n) AS type, array_agg(key ORDER BY due, n) AS key,
        array_agg(headers ORDER BY due, n) AS headers, array_agg(content ORDER BY due, n) AS content,
        array_agg(data ORDER BY due, n) AS data, array_agg(size ORDER BY due, n) AS size,
        array_agg(DISTINCT ARRAY[grp, topic]) FILTER (WHERE grp IS NOT NULL) AS members INTO d FROM due;
    IF d.topic IS NOT NULL THEN
        PERFORM {s}.join_group(m.pair[1], m.pair[2], NULL, 'earliest', 0, NULL, now_)
            FROM (SELECT ARRAY[d.members[i][1], d.members[i][2]] AS pair
                FROM generate_subscripts(d.members, 1) AS i) m
            WHERE NOT EXISTS (SELECT 1 FROM {s}.groups g WHERE g.name = m.pair[1] AND g.pattern = m.pair[2]);
        names := ARRAY(SELECT DISTINCT unnest(d.topic) ORDER BY 1);
        PERFORM {s}.append(NULL, 0, false, names,
            ARRAY(SELECT array_position(names, u.topic)::bigint FROM unnest(d.topic) WITH ORDINALITY AS u (topic, ord)
                ORDER BY u.ord),
            array_fill(now_, ARRAY[cardinality(d.topic)]), d.size, d.type, d.key, d.headers, d.content, d.data, d.id,
            NULL, NULL, NULL);
    END IF;
    RETURN (SELECT min(x.due) FROM {s}.delayed x);
END $$;

CREATE FUNCTION {s}.remove_topic(p_name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id_ bigint;
    c record;
BEGIN
    -- In this order, as a transaction that settles and then publishes.
    PERFORM 1 FROM {s}.groups g WHERE g.id IN (
        SELECT x.grp FROM {s}.group_topics x JOIN {s}.topics t ON t.id = x.topic WHERE t.name = p_name)
        ORDER BY g.id FOR UPDATE;
    PERFORM {s}.take_lock();
    SELECT x.id INTO id_ FROM {s}.topics x WHERE x.name = p_name;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM {s}.groups g WHERE g.id IN (SELECT x.grp FROM {s}.group_topics x WHERE x.topic = id_)
        ORDER BY g.id FOR UPDATE;  -- one that has joined meanwhile
    FOR c IN
        DELETE FROM {s}.claims x WHERE x.topic = id_
            AND x.grp IN (SELECT y.grp FROM {s}.group_topics y WHERE y.topic = id_) RETURNING x.*
    LOOP
        IF c.state <> 2 THEN
            UPDATE {s}.groups g SET held = g.held - 1 WHERE g.id = c.grp;
        END IF;
        IF c.key IS NOT NULL AND c.state IN (0, 1) THEN
            PERFORM {s}.go_on(c.grp, c.key);
        END IF;
    END LOOP;
    DELETE FROM {s}.group_topics x WHERE x.topic = id_;
    DELETE FROM {s}.topics x WHERE x.id = id_;
    INSERT INTO {s}.orphans VALUES (id_);
    INSERT INTO {s}.removed VALUES (p_name, 1) ON CONFLICT (name) DO UPDATE SET times = removed.times + 1;
    UPDATE {s}.state SET removals = removals + 1;
    PERFORM pg_notify('{channel}', 'c');
    RETURN id_;
END $$;
"""
