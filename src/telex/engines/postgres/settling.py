"""The functions of the schema that settle messages, and maintain groups and delayed messages. ``{s}`` is the
schema, ``{channel}`` its channel; see `telex.engines.postgres.claiming` for the rows of claims.
"""

from __future__ import annotations

SETTLING = """
CREATE FUNCTION {s}.go_on(p_grp bigint, p_key text) RETURNS boolean LANGUAGE plpgsql {no_scan} AS $$
-- The head of a key has left: the oldest row behind it may go on. Whether there is one.
BEGIN
    UPDATE {s}.claims c SET state = 0 WHERE c.grp = p_grp AND c.state = 3 AND c.pos = (
        SELECT x.pos FROM {s}.claims x WHERE x.grp = p_grp AND x.key = p_key AND x.state <> 2 ORDER BY x.pos LIMIT 1);
    RETURN FOUND;
END $$;

CREATE FUNCTION {s}.stir(p_grp bigint) RETURNS void LANGUAGE plpgsql AS $$
-- Members of other processes have to look: something may be claimed now, or earlier than they know.
BEGIN
    UPDATE {s}.groups g SET stirred = pg_current_xact_id() WHERE g.id = p_grp;
    PERFORM pg_notify('{channel}', 'g' || g.pattern) FROM {s}.groups g WHERE g.id = p_grp;
END $$;

CREATE FUNCTION {s}.is_held(p_pos bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
-- LIMIT 1 makes PostgreSQL look up one row a group, whatever its statistics of claims say.
BEGIN
    RETURN EXISTS (SELECT 1 FROM {s}.groups g,
        LATERAL (SELECT 1 FROM {s}.claims c WHERE c.grp = g.id AND c.pos = p_pos LIMIT 1) c);
END $$;

CREATE FUNCTION {s}.free(p_pos bigint[]) RETURNS void LANGUAGE plpgsql {no_scan} SET enable_nestloop = on AS $$
-- Delete messages that were kept for groups alone, of which no group holds them any more.
BEGIN
    WITH swept AS MATERIALIZED (
        SELECT m.pos FROM {s}.messages m JOIN {s}.topics t ON t.id = m.topic
        WHERE m.pos = ANY (p_pos) AND m.seq < t.swept)
    DELETE FROM {s}.messages m USING swept x WHERE m.pos = x.pos AND NOT {s}.is_held(m.pos);
END $$;

CREATE FUNCTION {s}.settle_one(
    p_grp bigint, p_pos bigint, p_token bigint, p_action int, p_seconds float8, p_reason text, p_now float8,
    OUT o_won boolean, OUT o_stirs boolean, OUT o_left boolean
) LANGUAGE plpgsql {no_scan} AS $$
-- p_action: 0 ack, 1 nack, 2 reject, 3 extend, 4 release. o_left: the group does not hold the row any more.
DECLARE
    c {s}.claims;
    head_ record;
BEGIN
    o_won := false; o_stirs := false; o_left := false;
    SELECT * INTO c FROM {s}.claims x WHERE x.grp = p_grp AND x.pos = p_pos AND x.state <> 2;
    IF NOT FOUND OR c.token = 0 OR c.token <> p_token THEN
        RETURN;
    END IF;
    IF p_action = 3 THEN
        IF c.state = 3 THEN  -- its lease has ended, and it stands behind another of its key
            SELECT x.pos, x.state, x.due INTO head_ FROM {s}.claims x
                WHERE x.grp = p_grp AND x.key = c.key AND x.state IN (0, 1);
            IF head_.state = 1 AND head_.due > p_now THEN
                RETURN;
            END IF;
            UPDATE {s}.claims x SET state = 3 WHERE x.grp = p_grp AND x.pos = head_.pos;
        END IF;
        UPDATE {s}.claims x SET state = 1, due = p_now + p_seconds WHERE x.grp = p_grp AND x.pos = p_pos;
        o_won := true;
        RETURN;
    END IF;
    o_won := true;
    IF p_action IN (1, 4) THEN
        c.attempt := c.attempt - (p_action = 4)::int;
        UPDATE {s}.claims x SET state = CASE WHEN c.state = 3 THEN 3 ELSE 0 END, token = 0, reason = p_reason,
            attempt = c.attempt, due = CASE WHEN p_seconds > 0 THEN p_now + p_seconds ELSE (c.attempt = 0)::int END
            WHERE x.grp = p_grp AND x.pos = p_pos;
        IF c.key IS NOT NULL AND c.state <> 3 THEN
            PERFORM {s}.give_way(p_grp, c.key, p_pos);
        END IF;
        o_stirs := true;
        RETURN;
    END IF;
    o_left := true;
    IF p_action = 0 THEN
        DELETE FROM {s}.claims x WHERE x.grp = p_grp AND x.pos = p_pos;
    ELSE
        UPDATE {s}.claims x SET state = 2, due = p_now, token = 0, reason = p_reason, died = p_now
            WHERE x.grp = p_grp AND x.pos = p_pos;
    END IF;
    IF c.key IS NOT NULL AND c.state <> 3 THEN
        o_stirs := {s}.go_on(p_grp, c.key);
    END IF;
END $$;

CREATE FUNCTION {s}.settle(
    p_group text, p_pattern text, p_pos bigint[], p_token bigint[], p_action bigint[], p_seconds float8[],
    p_reason text[], OUT o_won boolean[], OUT o_stirs boolean
) LANGUAGE plpgsql {no_scan} SET enable_nestloop = off AS $$
-- Without nested loops, which PostgreSQL would make of statistics of a time when claims was empty.
DECLARE
    now_ float8;
    grp_ bigint;
    left_ bigint := 0;
    one_ record;
BEGIN
    o_stirs := false;
    SELECT g.id INTO grp_ FROM {s}.groups g WHERE g.name = p_group AND g.pattern = p_pattern FOR UPDATE;
    o_won := array_fill(false, ARRAY[cardinality(p_pos)]);
    IF grp_ IS NULL THEN
        RETURN;
    END IF;
    IF p_action IS NULL AND NOT EXISTS (SELECT 1 FROM {s}.claims c WHERE c.grp = grp_ AND c.state = 3) THEN
        WITH asked AS (
            SELECT u.pos, u.token, min(u.ord) AS ord FROM unnest(p_pos, p_token) WITH ORDINALITY AS u (pos, token, ord)
            GROUP BY u.pos, u.token
        ), gone AS (
            DELETE FROM {s}.claims c USING asked a
            WHERE c.grp = grp_ AND c.pos = ANY (p_pos) AND c.pos = a.pos AND c.token = a.token AND a.token > 0
                AND c.state <> 2
            RETURNING a.ord
        )
        SELECT array_agg(g.ord IS NOT NULL ORDER BY n), count(g.ord) INTO o_won, left_
            FROM generate_series(1, cardinality(p_pos)) AS n LEFT JOIN gone g ON g.ord = n;
    ELSE
        now_ := {s}.clock();
        FOR i IN 1 .. cardinality(p_pos) LOOP
            one_ := {s}.settle_one(grp_, p_pos[i], p_token[i], coalesce(p_action[i], 0)::int,
                coalesce(p_seconds[i], 0), coalesce(p_reason[i], ''), now_);
            o_won[i] := one_.o_won;
            o_stirs := o_stirs OR one_.o_stirs;
            left_ := left_ + one_.o_left::int;
        END LOOP;
    END IF;
    IF left_ > 0 THEN
        UPDATE {s}.groups g SET held = g.held - left_ WHERE g.id = grp_;
        PERFORM {s}.free(p_pos);
    END IF;
    IF o_stirs THEN
        PERFORM {s}.stir(grp_);
    END IF;
END $$;

CREATE FUNCTION {s}.pause_group(p_group text, p_pattern text, p_paused boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    grp_ bigint;
BEGIN
    UPDATE {s}.groups g SET paused = p_paused WHERE g.name = p_group AND g.pattern = p_pattern RETURNING g.id INTO grp_;
    IF grp_ IS NOT NULL AND NOT p_paused THEN
        PERFORM {s}.stir(grp_);
    END IF;
    RETURN grp_ IS NOT NULL;
END $$;

CREATE FUNCTION {s}.rest_group(p_group text, p_pattern text) RETURNS boolean LANGUAGE sql AS $$
    WITH done AS (
        UPDATE {s}.groups g SET rests = true WHERE g.name = p_group AND g.pattern = p_pattern RETURNING 1
    ) SELECT EXISTS (SELECT 1 FROM done)
$$;

CREATE FUNCTION {s}.forget_group(p_group text, p_pattern text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    grp_ bigint;
    held_ bigint[];
BEGIN
    DELETE FROM {s}.groups g WHERE g.name = p_group AND g.pattern = p_pattern RETURNING g.id INTO grp_;
    IF grp_ IS NULL THEN
        RETURN false;
    END IF;
    WITH gone AS (DELETE FROM {s}.claims c WHERE c.grp = grp_ RETURNING c.pos)
        SELECT array_agg(pos) INTO held_ FROM gone;
    DELETE FROM {s}.group_topics x WHERE x.grp = grp_;
    PERFORM {s}.free(held_);
    RETURN true;
END $$;

CREATE FUNCTION {s}.revive(p_group text, p_pattern text, p_pos bigint) RETURNS boolean LANGUAGE plpgsql AS $$
-- Deliver a dead letter again, as if for the first time.
DECLARE
    grp_ bigint;
    c {s}.claims;
    head_ record;
    state_ int := 0;
BEGIN
    SELECT g.id INTO grp_ FROM {s}.groups g WHERE g.name = p_group AND g.pattern = p_pattern FOR UPDATE;
    SELECT * INTO c FROM {s}.claims x WHERE x.grp = grp_ AND x.pos = p_pos AND x.state = 2;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF c.key IS NOT NULL THEN
        SELECT x.pos, x.state INTO head_ FROM {s}.claims x
            WHERE x.grp = grp_ AND x.key = c.key AND x.state IN (0, 1);
        IF head_.state = 1 OR head_.pos < p_pos THEN
            state_ := 3;
        ELSIF head_.pos IS NOT NULL THEN
            UPDATE {s}.claims x SET state = 3 WHERE x.grp = grp_ AND x.pos = head_.pos;
        END IF;
    END IF;
    UPDATE {s}.claims x SET state = state_, due = 1, attempt = 0, reason = NULL, died = NULL
        WHERE x.grp = grp_ AND x.pos = p_pos;
    UPDATE {s}.groups g SET held = g.held + 1 WHERE g.id = grp_;
    PERFORM {s}.stir(grp_);
    RETURN true;
END $$;

CREATE FUNCTION {s}.drop_dead(p_group text, p_pattern text, p_pos bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    grp_ bigint;
BEGIN
    SELECT g.id INTO grp_ FROM {s}.groups g WHERE g.name = p_group AND g.pattern = p_pattern FOR UPDATE;
    DELETE FROM {s}.claims c WHERE c.grp = grp_ AND c.pos = p_pos AND c.state = 2;
    IF FOUND THEN
        PERFORM {s}.free(ARRAY[p_pos]);
        RETURN true;
    END IF;
    RETURN false;
END $$;

CREATE FUNCTION {s}.list_groups() RETURNS TABLE (
    o_group text, o_pattern text, o_lag bigint, o_leased bigint, o_delayed bigint, o_dead bigint, o_paused boolean
) LANGUAGE sql STABLE AS $$
    SELECT g.name, g.pattern, g.held + {s}.ahead(g) - CASE WHEN g.floor < g.redo THEN {s}.redone(g) ELSE 0 END,
        n.leased, n.delayed, n.dead, g.paused
    FROM {s}.groups g, (SELECT {s}.clock() AS now) n_, LATERAL (
        SELECT count(*) FILTER (WHERE c.state = 1 AND c.due > n_.now) AS leased,
            count(*) FILTER (WHERE c.state = 3 OR (c.state = 0 AND c.due > n_.now)) AS delayed,
            count(*) FILTER (WHERE c.state = 2) AS dead
        FROM {s}.claims c WHERE c.grp = g.id) n
    ORDER BY g.name, g.pattern
$$;

CREATE FUNCTION {s}.put_rule(p_pattern text, p_fits text, p_messages bigint, p_age float8, p_bytes bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO {s}.rules SELECT p_pattern, p_fits, p_messages, p_age, p_bytes, 1 + coalesce(max(r.ord), 0)
        FROM {s}.rules r
        ON CONFLICT (pattern) DO UPDATE SET messages = p_messages, age = p_age, bytes = p_bytes, ord = excluded.ord;
    UPDATE {s}.state SET rules = rules + 1;
$$;
"""
