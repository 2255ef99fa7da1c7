"""The functions of the schema that read topics and delete messages. ``{s}`` is the schema."""

from __future__ import annotations

READING = """
CREATE FUNCTION {s}.search(p_topic bigint, p_low bigint, p_end bigint, p_time float8, p_total bigint)
RETURNS bigint LANGUAGE plpgsql STABLE {by_index} AS $$
-- The first number from p_low on whose time is at least p_time, or whose total is at least p_total; else p_end.
DECLARE
    middle bigint;
    m record;
BEGIN
    WHILE p_low < p_end LOOP
        middle := (p_low + p_end) / 2;
        SELECT x.time, x.total INTO m FROM {s}.messages x
            WHERE x.topic = p_topic AND x.seq >= middle AND x.seq < p_end ORDER BY x.seq LIMIT 1;
        IF NOT FOUND OR m.time >= p_time OR m.total >= p_total THEN
            p_end := middle;
        ELSE
            p_low := middle + 1;
        END IF;
    END LOOP;
    RETURN p_low;
END $$;

CREATE FUNCTION {s}.visible(p_name text, p_now float8, OUT o_id bigint, OUT o_epoch text, OUT o_first bigint,
    OUT o_end bigint, OUT o_trimmed float8, OUT o_gone bigint, OUT o_total bigint)
RETURNS record LANGUAGE plpgsql STABLE {no_scan} AS $$
-- The part of a topic that readers are shown at p_now; nulls when there is no such topic.
DECLARE
    t {s}.topics;
    last_ record;
    rule record;
    m record;
BEGIN
    SELECT * INTO t FROM {s}.topics x WHERE x.name = p_name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT x.seq, x.total INTO last_ FROM {s}.messages x WHERE x.topic = t.id ORDER BY x.seq DESC LIMIT 1;
    SELECT r.messages, r.age, r.bytes INTO rule FROM {s}.rules r WHERE p_name ~ r.fits ORDER BY r.ord DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT 1000::bigint AS messages, NULL::float8 AS age, NULL::bigint AS bytes INTO rule;
    END IF;
    o_id := t.id; o_epoch := t.epoch; o_first := t.first; o_trimmed := t.trimmed; o_gone := t.gone;
    o_end := coalesce(last_.seq, t.head) + 1;
    o_total := coalesce(last_.total, t.total);
    IF rule.messages IS NOT NULL THEN
        o_first := greatest(o_first, o_end - rule.messages);
    END IF;
    IF rule.age IS NOT NULL THEN
        o_first := {s}.search(t.id, o_first, o_end, p_now - rule.age + 1e-6, NULL);
    END IF;
    IF rule.bytes IS NOT NULL AND o_total - t.gone > rule.bytes THEN
        o_first := greatest(o_first,
            least(o_end, {s}.search(t.id, t.first, o_end, NULL, o_total - rule.bytes) + 1));
    END IF;
    IF o_first > t.first THEN
        SELECT x.time, x.total INTO m FROM {s}.messages x WHERE x.topic = t.id AND x.seq = o_first - 1;
        IF FOUND THEN
            o_trimmed := m.time; o_gone := m.total;
        END IF;
    END IF;
END $$;

CREATE FUNCTION {s}.read_page(p_name text, p_first bigint, p_end bigint, p_now float8) RETURNS TABLE (
    o_epoch text, o_seq bigint, o_id text, o_time float8, o_type text, o_key text, o_headers text, o_content text,
    o_data bytea
) LANGUAGE plpgsql STABLE {no_scan} AS $$
DECLARE
    v record := {s}.visible(p_name, p_now);
    low bigint := greatest(p_first, v.o_first);
    most bigint := (SELECT x.total + 16777216 FROM {s}.messages x
        WHERE x.topic = v.o_id AND x.seq >= low AND x.seq < p_end ORDER BY x.seq LIMIT 1);
BEGIN
    RETURN QUERY SELECT v.o_epoch, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, m.data
        FROM {s}.messages m WHERE m.topic = v.o_id AND m.seq >= low AND m.seq < p_end AND m.total <= most
        ORDER BY m.seq LIMIT 1024;
END $$;

CREATE FUNCTION {s}.read_changed(p_told bigint, p_limit bigint)
RETURNS TABLE (o_removals bigint, o_id bigint, o_name text, o_epoch text, o_head bigint)
LANGUAGE plpgsql STABLE {by_index} AS $$
-- The topics that have messages above the place p_told up to p_limit, with their last numbers.
BEGIN
    RETURN QUERY SELECT s.removals, t.id, t.name, t.epoch, c.head FROM {s}.state s, (
        SELECT m.topic, max(m.seq) AS head FROM {s}.messages m WHERE m.pos > p_told AND m.pos <= p_limit
        GROUP BY m.topic) c JOIN {s}.topics t ON t.id = c.topic;
END $$;

CREATE FUNCTION {s}.read_live(p_told bigint, p_limit bigint, p_topics bigint[]) RETURNS TABLE (
    o_pos bigint, o_topic bigint, o_seq bigint, o_id text, o_time float8, o_type text, o_key text, o_headers text,
    o_content text, o_data bytea, o_size bigint
) LANGUAGE plpgsql STABLE {by_index} AS $$
-- Messages of topics above the place p_told up to p_limit: at most 1024, and 16 MB of content or one message.
-- "+ 0" keeps the index of topics out of it: a topic may have millions of messages before.
BEGIN
    RETURN QUERY SELECT f.* FROM (
        SELECT m.pos, m.topic, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, m.data,
            sum(coalesce(octet_length(m.content), 0) + coalesce(octet_length(m.data), 0)) OVER (ORDER BY m.pos)::bigint
            AS size
        FROM {s}.messages m WHERE m.pos > p_told AND m.pos <= p_limit AND (m.topic + 0) = ANY (p_topics)
        ORDER BY m.pos LIMIT 1024) f
        WHERE f.size - coalesce(octet_length(f.content), 0) - coalesce(octet_length(f.data), 0) < 16777216
        ORDER BY f.pos;
END $$;

CREATE FUNCTION {s}.read_last(p_names text[], p_count int, p_told bigint, p_now float8) RETURNS TABLE (
    o_topic text, o_epoch text, o_seq bigint, o_id text, o_time float8, o_type text, o_key text, o_headers text,
    o_content text, o_data bytea
) LANGUAGE plpgsql STABLE {no_scan} AS $$
-- The last p_count messages of several topics together up to the place p_told.
BEGIN
    RETURN QUERY SELECT f.name, f.epoch, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, m.data
        FROM (
            SELECT x.pos, n.name, v.o_epoch AS epoch
            FROM unnest(p_names) AS n (name), {s}.visible(n.name, p_now) v,
                LATERAL (SELECT y.pos FROM {s}.messages y WHERE y.topic = v.o_id AND y.seq >= v.o_first
                    AND y.pos <= p_told ORDER BY y.seq DESC LIMIT p_count) x
            ORDER BY x.pos DESC LIMIT p_count) f
        JOIN {s}.messages m ON m.pos = f.pos ORDER BY m.pos;
END $$;

CREATE FUNCTION {s}.sweep(p_name text, p_now float8, p_young float8, p_chunk int) RETURNS boolean
LANGUAGE plpgsql {no_scan} AS $$
-- Delete messages of a topic that are kept for nobody; whether there may be more to delete.
DECLARE
    v record := {s}.visible(p_name, p_now);
    t {s}.topics;
    limit_ bigint;
    stays bigint;
BEGIN
    IF v.o_id IS NULL THEN
        RETURN false;
    END IF;
    -- In this order, so that nothing is settled meanwhile that only this would have to delete.
    PERFORM 1 FROM {s}.groups g WHERE g.id IN (SELECT x.grp FROM {s}.group_topics x WHERE x.topic = v.o_id)
        ORDER BY g.id FOR UPDATE;
    SELECT * INTO t FROM {s}.topics x WHERE x.id = v.o_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT least(v.o_first, t.swept + p_chunk, min(x.next)) INTO limit_
        FROM {s}.group_topics x JOIN {s}.groups g ON g.id = x.grp AND NOT g.rests WHERE x.topic = t.id;
    SELECT m.seq INTO stays FROM {s}.messages m WHERE m.topic = t.id AND m.seq >= t.swept AND m.seq < limit_
        AND m.time > p_now - p_young ORDER BY m.seq LIMIT 1;
    limit_ := greatest(t.swept, coalesce(stays, limit_));
    UPDATE {s}.topics x SET first = greatest(x.first, v.o_first), gone = v.o_gone, trimmed = v.o_trimmed,
        swept = limit_, head = greatest(x.head, v.o_end - 1), total = greatest(x.total, v.o_total)
        WHERE x.id = t.id;
    DELETE FROM {s}.messages m WHERE m.topic = t.id AND m.seq >= t.swept AND m.seq < limit_ AND NOT {s}.is_held(m.pos);
    RETURN limit_ > t.swept AND limit_ < v.o_first;
END $$;

CREATE FUNCTION {s}.clean(p_chunk int) RETURNS boolean LANGUAGE plpgsql AS $$
-- Delete a part of the messages of removed topics, of ids, records and writers that are of no use any more; whether
-- there is more. By one process at a time.
DECLARE
    now_ float8 := extract(epoch FROM clock_timestamp());
    orphan bigint;
    count_ bigint;
    more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1952804985, hashtext('{schema}')) THEN
        RETURN false;
    END IF;
    SELECT o.topic INTO orphan FROM {s}.orphans o LIMIT 1;
    IF FOUND THEN
        DELETE FROM {s}.messages m WHERE m.pos IN (
            SELECT x.pos FROM {s}.messages x WHERE x.topic = orphan ORDER BY x.seq LIMIT p_chunk);
        GET DIAGNOSTICS count_ = ROW_COUNT;
        IF count_ < p_chunk THEN
            DELETE FROM {s}.ids i WHERE i.topic = orphan;
            DELETE FROM {s}.adopted a WHERE a.topic = orphan;
            DELETE FROM {s}.orphans o WHERE o.topic = orphan;
        END IF;
        more := true;
    END IF;
    DELETE FROM {s}.ids i WHERE (i.topic, i.id) IN (
        SELECT x.topic, x.id FROM {s}.ids x WHERE x.time < now_ - 120 ORDER BY x.time LIMIT p_chunk);
    GET DIAGNOSTICS count_ = ROW_COUNT;
    more := more OR count_ = p_chunk;
    DELETE FROM {s}.records r WHERE (r.bucket, r.key) IN (SELECT x.bucket, x.key FROM {s}.records x
        WHERE x.expires <= now_ ORDER BY x.expires LIMIT p_chunk FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS count_ = ROW_COUNT;
    more := more OR count_ = p_chunk;
    DELETE FROM {s}.writers w WHERE w.writer IN (
        SELECT x.writer FROM {s}.writers x WHERE x.time < clock_timestamp() - interval '1 day' LIMIT p_chunk);
    RETURN more;
END $$;
"""
