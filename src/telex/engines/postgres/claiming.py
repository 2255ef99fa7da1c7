"""The functions of the schema that lease messages to the members of groups. ``{s}`` is the schema.

A group has looked at its messages of a topic below `group_topics.next`, and at all its messages below the place
`groups.floor`. Those that are not settled have a row in ``claims``, so a message has a row only from its claim until
its ack. A row waits (state 0), is leased (1), is dead (2), or stands behind another row of its key (3). ``due`` is:

- for a row that waits, the time when it may be claimed; 0 (delivered before) and 1 (never delivered) mean at once;
- for a leased row, the end of the lease;
- for a row behind another one, its future ``due`` when it may continue.

Invariant: of the rows of a key that are not dead exactly one waits or is leased, the head, and all others stand behind
it. A head that waits is the oldest of them; a leased head may be younger, if an older row was revived in the meantime.

`claim` first looks without a lock, so that a claim that finds nothing writes nothing. Then it locks the row of its
group, until it commits at the end of the same round trip.
"""

from __future__ import annotations

CLAIMING = """
CREATE FUNCTION {s}.clock() RETURNS float8 LANGUAGE sql VOLATILE AS $$
-- The clock of leases and delays.
    SELECT extract(epoch FROM clock_timestamp())::float8
$$;

-- These are in plpgsql, which plans them once: PostgreSQL plans a function in SQL at each call, which takes longer.
CREATE FUNCTION {s}.last_pos() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT m.pos FROM {s}.messages m ORDER BY m.pos DESC LIMIT 1), 0);
END $$;

CREATE FUNCTION {s}.head_of(p_topic bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT m.seq FROM {s}.messages m WHERE m.topic = p_topic ORDER BY m.seq DESC LIMIT 1),
        (SELECT t.head FROM {s}.topics t WHERE t.id = p_topic), 0);
END $$;

CREATE FUNCTION {s}.join_group(
    p_group text, p_pattern text, p_fits text, p_start text, p_number float8, p_epoch text, p_now float8
) RETURNS void LANGUAGE plpgsql AS $$
-- Make a group, unless there is one. p_start: new, earliest, back (p_number messages), time (p_number), position.
DECLARE
    grp_ bigint;
    floor_ bigint;
    next_ bigint;
    t record;
    v record;
BEGIN
    PERFORM {s}.take_lock();
    SELECT last_value + 1 INTO floor_ FROM {s}.pos;
    INSERT INTO {s}.groups (name, pattern, fits, floor) VALUES (p_group, p_pattern, p_fits, floor_)
        ON CONFLICT DO NOTHING RETURNING id INTO grp_;
    IF grp_ IS NULL THEN
        RETURN;
    END IF;
    FOR t IN SELECT x.id, x.name FROM {s}.topics x WHERE (p_fits IS NULL AND x.name = p_pattern) OR x.name ~ p_fits LOOP
        v := {s}.visible(t.name, p_now);
        next_ := CASE p_start
            WHEN 'new' THEN v.o_end
            WHEN 'earliest' THEN v.o_first
            WHEN 'back' THEN greatest(v.o_first, v.o_end - p_number::bigint)
            WHEN 'time' THEN {s}.search(t.id, v.o_first, v.o_end, p_number, NULL)
            WHEN 'position' THEN CASE WHEN p_epoch = v.o_epoch
                THEN greatest(v.o_first, least(v.o_end, p_number::bigint + 1)) ELSE v.o_first END
        END;
        INSERT INTO {s}.group_topics VALUES (grp_, t.id, next_);
    END LOOP;
    IF p_start = 'back' AND p_fits IS NOT NULL THEN
        -- So many of all topics together: of each topic what lies above the place where these begin.
        SELECT coalesce(min(f.pos), floor_) INTO floor_ FROM (
            SELECT m.pos FROM {s}.group_topics x, LATERAL (
                SELECT y.pos FROM {s}.messages y WHERE y.topic = x.topic AND y.seq >= x.next
                ORDER BY y.seq DESC LIMIT p_number::bigint) m
            WHERE x.grp = grp_ ORDER BY m.pos DESC LIMIT p_number::bigint) f;
        UPDATE {s}.group_topics x SET next = coalesce((
            SELECT min(y.seq) FROM {s}.messages y
            WHERE y.topic = x.topic AND y.seq >= x.next AND y.pos >= floor_), {s}.head_of(x.topic) + 1)
            WHERE x.grp = grp_;
    END IF;
    SELECT least(floor_, min(m.pos)) INTO floor_ FROM {s}.group_topics x
        JOIN {s}.messages m ON m.topic = x.topic AND m.seq = x.next WHERE x.grp = grp_;
    UPDATE {s}.groups SET floor = floor_ WHERE id = grp_;
END $$;

CREATE FUNCTION {s}.seek_group(
    p_group text, p_pattern text, p_fits text, p_start text, p_number float8, p_epoch text, p_now float8
) RETURNS boolean LANGUAGE plpgsql AS $$
-- Move a group to the place where another group would begin. Leased messages and dead letters keep their claims.
DECLARE
    g {s}.groups;
    other {s}.groups;
    gone bigint[];
BEGIN
    PERFORM {s}.take_lock();
    SELECT * INTO g FROM {s}.groups x WHERE x.name = p_group AND x.pattern = p_pattern FOR UPDATE;
    IF g.id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM {s}.join_group(p_group || chr(10), p_pattern, p_fits, p_start, p_number, p_epoch, p_now);
    SELECT * INTO other FROM {s}.groups x WHERE x.name = p_group || chr(10) AND x.pattern = p_pattern;
    DELETE FROM {s}.group_topics x WHERE x.grp = g.id;
    UPDATE {s}.group_topics x SET grp = g.id WHERE x.grp = other.id;
    DELETE FROM {s}.groups x WHERE x.id = other.id;
    WITH dropped AS (DELETE FROM {s}.claims c WHERE c.grp = g.id AND c.state IN (0, 3) RETURNING c.pos)
        SELECT array_agg(d.pos) INTO gone FROM dropped d;
    UPDATE {s}.groups x SET floor = other.floor, rests = false,
        held = (SELECT count(*) FROM {s}.claims c WHERE c.grp = g.id AND c.state = 1),
        redo = (SELECT coalesce(max(c.pos) + 1, 0) FROM {s}.claims c WHERE c.grp = g.id) WHERE x.id = g.id;
    PERFORM {s}.free(gone);
    PERFORM {s}.stir(g.id);
    RETURN true;
END $$;

CREATE FUNCTION {s}.redone(g {s}.groups) RETURNS bigint LANGUAGE plpgsql STABLE {by_index} AS $$
-- How many messages above the group's floor have claims since before its last seek.
BEGIN
    RETURN (SELECT count(*) FROM {s}.claims c JOIN {s}.group_topics x ON x.grp = g.id AND x.topic = c.topic
        WHERE c.grp = g.id AND c.pos >= g.floor AND c.pos < g.redo AND c.seq >= x.next);
END $$;

CREATE FUNCTION {s}.ahead(g {s}.groups) RETURNS bigint LANGUAGE plpgsql STABLE {by_index} AS $$
-- How many messages a group has not looked at.
DECLARE
    last_ bigint;
BEGIN
    IF g.fits IS NOT NULL THEN
        last_ := {s}.last_pos();
        IF g.floor > last_ THEN
            RETURN 0;
        ELSIF last_ - g.floor < 1000 THEN
            RETURN (SELECT count(*) FROM {s}.messages m JOIN {s}.group_topics x ON x.grp = g.id AND x.topic = m.topic
                WHERE m.pos BETWEEN g.floor AND last_ AND m.seq >= x.next);
        END IF;
    END IF;
    RETURN (SELECT coalesce(sum(greatest(0, {s}.head_of(x.topic) + 1 - greatest(x.next, t.swept))), 0)
        FROM {s}.group_topics x JOIN {s}.topics t ON t.id = x.topic WHERE x.grp = g.id);
END $$;

CREATE FUNCTION {s}.is_claimable(g {s}.groups, p_now float8) RETURNS boolean LANGUAGE plpgsql STABLE {by_index} AS $$
DECLARE
    last_ bigint;
BEGIN
    IF EXISTS (SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.state = 0 AND c.due <= p_now)
        OR EXISTS (SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.state = 1 AND c.due <= p_now) THEN
        RETURN true;
    ELSIF g.fits IS NULL THEN
        RETURN EXISTS (SELECT 1 FROM {s}.group_topics x WHERE x.grp = g.id AND {s}.head_of(x.topic) >= x.next);
    END IF;
    last_ := {s}.last_pos();
    RETURN g.floor <= last_ AND (last_ - g.floor > 8192 OR EXISTS (
        SELECT 1 FROM {s}.messages m JOIN {s}.group_topics x ON x.grp = g.id AND x.topic = m.topic
        WHERE m.pos BETWEEN g.floor AND last_ AND m.seq >= x.next));
END $$;

CREATE FUNCTION {s}.give_way(p_grp bigint, p_key text, p_pos bigint) RETURNS void LANGUAGE plpgsql AS $$
-- The head of a key waits now: it stands behind an older one, if there is one.
DECLARE
    oldest bigint;
BEGIN
    SELECT c.pos INTO oldest FROM {s}.claims c
        WHERE c.grp = p_grp AND c.key = p_key AND c.state <> 2 ORDER BY c.pos LIMIT 1;
    IF oldest <> p_pos THEN
        UPDATE {s}.claims c SET state = 3 WHERE c.grp = p_grp AND c.pos = p_pos;
        UPDATE {s}.claims c SET state = 0 WHERE c.grp = p_grp AND c.pos = oldest;
    END IF;
END $$;

CREATE FUNCTION {s}.expire(p_grp bigint, p_now float8) RETURNS void LANGUAGE plpgsql AS $$
-- Rows whose delay or lease has ended are due again.
DECLARE
    c record;
BEGIN
    FOR c IN
        UPDATE {s}.claims x SET state = 0, due = 0 WHERE x.grp = p_grp AND x.state = 1 AND x.due <= p_now
        RETURNING x.key, x.pos
    LOOP
        IF c.key IS NOT NULL THEN
            PERFORM {s}.give_way(p_grp, c.key, c.pos);
        END IF;
    END LOOP;
    UPDATE {s}.claims x SET due = (x.attempt = 0)::int
        WHERE x.grp = p_grp AND x.state = 0 AND x.due > 1 AND x.due <= p_now;
END $$;

CREATE FUNCTION {s}.page(
    g {s}.groups, p_last bigint, p_floor bigint, p_next bigint, p_limit int
) RETURNS TABLE (pos bigint, topic bigint, seq bigint, key text) LANGUAGE plpgsql STABLE {by_index} AS $$
-- The next messages of a group up to the place p_last: of one topic from the number p_next on, of a pattern from the
-- place p_floor on. A pattern's messages may lie far apart, so that only a part of the places is looked at.
BEGIN
    IF g.fits IS NULL THEN
        RETURN QUERY SELECT m.pos, m.topic, m.seq, m.key FROM {s}.messages m
            WHERE m.topic = (SELECT y.topic FROM {s}.group_topics y WHERE y.grp = g.id) AND m.seq >= p_next
            AND m.pos <= p_last AND (m.pos >= g.redo OR NOT EXISTS (
                SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.pos = m.pos)) ORDER BY m.seq LIMIT p_limit;
    ELSE
        RETURN QUERY SELECT m.pos, m.topic, m.seq, m.key
            FROM {s}.messages m JOIN {s}.group_topics x ON x.grp = g.id AND x.topic = m.topic
            WHERE m.pos BETWEEN p_floor AND least(p_last, p_floor + 16383) AND m.seq >= x.next
                AND (m.pos >= g.redo OR NOT EXISTS (SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.pos = m.pos))
            ORDER BY m.pos LIMIT p_limit;
    END IF;
END $$;

CREATE FUNCTION {s}.claim_new(
    g {s}.groups, p_want int, p_owner text, p_end float8, OUT o_pos bigint[], OUT o_stopped boolean
) LANGUAGE plpgsql {by_index} AS $$
-- Look at messages from the group's floor on and move that: lease at most p_want. o_stopped: there is more to look at.
DECLARE
    last_ bigint := {s}.last_pos();
    floor_ bigint := g.floor;
    next_ bigint := (SELECT min(x.next) FROM {s}.group_topics x WHERE x.grp = g.id AND g.fits IS NULL);
    size_ int := greatest(p_want, 16);
    room int;
    busy text[] := '{}';
    new_ {s}.claims[] := '{}';
    leased boolean;
    found_ int;
    m record;
    keyed bigint;
    last_seq bigint;
    page_pos bigint[];
    page_topic bigint[];
    page_seq bigint[];
    plain_pos bigint[] := '{}';
    plain_topic bigint[] := '{}';
    plain_seq bigint[] := '{}';
BEGIN
    o_pos := '{}';
    o_stopped := floor_ <= last_;
    FOR step IN 1 .. 16 LOOP
        EXIT WHEN floor_ > last_;
        IF g.fits IS NOT NULL THEN  -- over places that no message has any more
            SELECT coalesce(min(x.pos), last_ + 1) INTO floor_ FROM {s}.messages x WHERE x.pos >= floor_;
        END IF;
        -- Messages without a key, of which as many are leased as are wanted, cost a fraction of what the loop costs.
        SELECT count(p.key), count(*), array_agg(p.pos), array_agg(p.topic), array_agg(p.seq), max(p.seq)
            INTO keyed, found_, page_pos, page_topic, page_seq, last_seq
            FROM {s}.page(g, last_, floor_, next_, least(size_, p_want - cardinality(o_pos))) p;
        IF keyed = 0 AND found_ > 0 THEN
            o_pos := o_pos || page_pos;
            plain_pos := plain_pos || page_pos;
            plain_topic := plain_topic || page_topic;
            plain_seq := plain_seq || page_seq;
            floor_ := page_pos[found_] + 1;
            next_ := last_seq + 1;
            EXIT WHEN cardinality(o_pos) = p_want;
            floor_ := CASE WHEN g.fits IS NULL THEN last_ ELSE least(last_, floor_ + 16383) END + 1;
            CONTINUE;
        END IF;
        found_ := 0;
        FOR m IN SELECT * FROM {s}.page(g, last_, floor_, next_, size_) LOOP
            found_ := found_ + 1;
            leased := m.key IS NULL;
            IF NOT leased THEN
                leased := m.key <> ALL (busy) AND NOT EXISTS (
                    SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.key = m.key AND c.state <> 2);
                busy := busy || m.key;
            END IF;
            IF leased THEN
                o_pos := o_pos || m.pos;
            ELSE
                IF room IS NULL THEN
                    -- A key that nobody gets done with shall not make the group hold the whole topic.
                    SELECT 10000 - count(*) INTO room FROM {s}.claims c WHERE c.grp = g.id AND c.state = 3;
                END IF;
                IF room <= 0 THEN
                    o_stopped := false;
                    EXIT;
                END IF;
                room := room - 1;
            END IF;
            new_ := new_ || ROW(g.id, m.pos, m.topic, m.seq, m.key, leased::int,
                CASE WHEN leased THEN nextval('{s}.token') ELSE 0 END, p_owner, CASE WHEN leased THEN 1 ELSE 3 END,
                CASE WHEN leased THEN p_end ELSE 1 END, NULL, NULL)::{s}.claims;
            floor_ := m.pos + 1;
            next_ := m.seq + 1;
            EXIT WHEN cardinality(o_pos) = p_want;
        END LOOP;
        EXIT WHEN NOT o_stopped OR cardinality(o_pos) = p_want;
        IF found_ < size_ THEN
            floor_ := CASE WHEN g.fits IS NULL THEN last_ ELSE least(last_, floor_ + 16383) END + 1;
        END IF;
    END LOOP;
    o_stopped := o_stopped AND floor_ <= last_ AND cardinality(o_pos) < p_want;
    IF floor_ <> g.floor THEN
        INSERT INTO {s}.claims SELECT g.id, u.pos, u.topic, u.seq, NULL, 1, nextval('{s}.token'), p_owner, 1, p_end
            FROM unnest(plain_pos, plain_topic, plain_seq) AS u (pos, topic, seq);
        INSERT INTO {s}.claims SELECT * FROM unnest(new_);
        UPDATE {s}.group_topics x SET next = n.next
            FROM (SELECT v.topic, max(v.seq) + 1 AS next FROM (
                SELECT * FROM unnest(plain_topic, plain_seq) AS u (topic, seq)
                UNION ALL SELECT u.topic, u.seq FROM unnest(new_) u) v GROUP BY v.topic) n
            WHERE x.grp = g.id AND x.topic = n.topic;
        IF g.floor < g.redo THEN  -- past the claims that were skipped
            UPDATE {s}.group_topics x SET next = greatest(x.next, 1 + coalesce((SELECT max(y.seq) FROM {s}.messages y
                WHERE y.topic = x.topic AND y.pos < floor_), 0)) WHERE x.grp = g.id;
        END IF;
        UPDATE {s}.groups x SET floor = floor_, held = x.held + cardinality(plain_pos) + cardinality(new_)
            WHERE x.id = g.id;
    END IF;
END $$;

CREATE FUNCTION {s}.claim(p_group text, p_pattern text, p_limit int, p_lease float8, p_owner text)
RETURNS TABLE (
    o_topic text, o_epoch text, o_seq bigint, o_id text, o_time float8, o_type text, o_key text, o_headers text,
    o_content text, o_data bytea, o_pos bigint, o_attempt int, o_token bigint
) LANGUAGE plpgsql {by_index} AS $$
-- The first row is no message: o_seq is the lag, and where nothing is leased o_time has the seconds until something may
-- be due.
-- LIMIT 1 makes PostgreSQL look up each place: the statistics of claims may be of a time when the table was empty.
DECLARE
    now_ float8 := {s}.clock();
    g {s}.groups;
    again bigint[] := '{}';
    new_ record;
    stopped boolean := false;
BEGIN
    SELECT * INTO g FROM {s}.groups x WHERE x.name = p_group AND x.pattern = p_pattern;
    IF g.id IS NOT NULL AND NOT g.paused AND p_limit > 0 AND {s}.is_claimable(g, now_) THEN
        SELECT * INTO g FROM {s}.groups x WHERE x.id = g.id AND NOT x.paused FOR UPDATE;
        IF g.id IS NOT NULL THEN
            now_ := {s}.clock();  -- it may have waited for the lock
            IF g.rests THEN
                UPDATE {s}.groups x SET rests = false WHERE x.id = g.id;
            END IF;
            PERFORM {s}.expire(g.id, now_);
            SELECT coalesce(array_agg(d.pos ORDER BY d.due, d.pos), '{}') INTO again FROM (
                SELECT c.pos, c.due FROM {s}.claims c WHERE c.grp = g.id AND c.state = 0 AND c.due <= 1
                ORDER BY c.due, c.pos + 0 LIMIT p_limit) d;
            UPDATE {s}.claims c SET state = 1, attempt = c.attempt + 1, token = nextval('{s}.token'), owner = p_owner,
                due = now_ + p_lease WHERE c.grp = g.id AND c.pos = ANY (again);
            IF cardinality(again) < p_limit THEN
                new_ := {s}.claim_new(g, p_limit - cardinality(again), p_owner, now_ + p_lease);
                again := again || new_.o_pos;
                stopped := new_.o_stopped;
            END IF;
            SELECT * INTO g FROM {s}.groups x WHERE x.id = g.id;
        END IF;
    END IF;
    IF g.id IS NULL THEN
        o_seq := 0;
        RETURN NEXT;
        RETURN;
    END IF;
    o_seq := g.held + {s}.ahead(g) - CASE WHEN g.floor < g.redo THEN {s}.redone(g) ELSE 0 END;
    IF cardinality(again) = 0 THEN
        o_time := CASE WHEN stopped THEN 0 WHEN NOT g.paused THEN least(
            (SELECT min(c.due) FROM {s}.claims c WHERE c.grp = g.id AND c.state = 0 AND c.due > 1),
            (SELECT min(c.due) FROM {s}.claims c WHERE c.grp = g.id AND c.state = 1 AND c.due > 1)) - now_ END;
    END IF;
    RETURN NEXT;
    RETURN QUERY SELECT t.name, t.epoch, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, m.data, m.pos,
            c.attempt, c.token
        FROM unnest(again) WITH ORDINALITY AS u (pos, ord),
            LATERAL (SELECT * FROM {s}.claims x WHERE x.grp = g.id AND x.pos = u.pos LIMIT 1) c,
            LATERAL (SELECT * FROM {s}.messages x WHERE x.pos = u.pos LIMIT 1) m
        JOIN {s}.topics t ON t.id = m.topic ORDER BY u.ord;
END $$;
"""
