"""The tables of the schema.

``pos`` numbers all messages of the schema in the order of their commits; ``seq`` numbers the messages of a topic,
without gaps. Every transaction that adds messages holds one advisory lock until it has committed, so that a reader who
has seen a ``pos`` has seen all messages below it. ``{s}`` is the schema.
"""

from __future__ import annotations

TABLES = """
CREATE TABLE {s}.version (
    one int PRIMARY KEY CHECK (one = 1),
    version int NOT NULL
);
INSERT INTO {s}.version VALUES (1, 0);
CREATE TABLE {s}.state (
    one int PRIMARY KEY CHECK (one = 1),
    epoch text NOT NULL,                    -- from which the epochs of topics are made
    removals bigint NOT NULL DEFAULT 0,     -- how often a topic was removed
    rules bigint NOT NULL DEFAULT 0         -- how often a rule of retention was set
);
INSERT INTO {s}.state (one, epoch) VALUES (1, replace(gen_random_uuid()::text, '-', ''));
CREATE SEQUENCE {s}.pos MINVALUE 0 START 0; -- its last value is the pos of the last message
CREATE SEQUENCE {s}.token;                  -- of claims
CREATE SEQUENCE {s}.revision;               -- of records
CREATE TABLE {s}.topics (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    epoch text NOT NULL,
    first bigint NOT NULL DEFAULT 1,        -- nothing below is shown to readers; all from here on is there
    swept bigint NOT NULL DEFAULT 1,        -- below are only the messages that a group holds
    gone bigint NOT NULL DEFAULT 0,         -- the total of message first - 1
    trimmed float8,                         -- the time of message first - 1
    head bigint NOT NULL DEFAULT 0,         -- the last number, where no message is left that says it
    total bigint NOT NULL DEFAULT 0,        -- likewise the total
    adopts boolean NOT NULL DEFAULT false   -- whether every id is remembered in adopted
);
CREATE TABLE {s}.messages (
    pos bigint PRIMARY KEY,
    topic bigint NOT NULL,
    seq bigint NOT NULL,
    time float8 NOT NULL,                   -- of publishing, in seconds since 1970
    total bigint NOT NULL,                  -- bytes of the topic's messages up to and including this one
    id text,                                -- only the id that a publisher gave; others are made from epoch and seq
    type text NOT NULL,
    key text,
    headers text,                           -- JSON
    content text,                           -- JSON
    data bytea                              -- content that was bytes
);
CREATE UNIQUE INDEX messages_seq ON {s}.messages (topic, seq);
CREATE TABLE {s}.ids (
    -- The ids that publishers gave in the last two minutes.
    topic bigint NOT NULL,
    id text NOT NULL,
    seq bigint NOT NULL,
    time float8 NOT NULL,
    PRIMARY KEY (topic, id)
);
CREATE INDEX ids_time ON {s}.ids (time);
CREATE TABLE {s}.adopted (topic bigint NOT NULL, id text NOT NULL, PRIMARY KEY (topic, id));
CREATE TABLE {s}.removed (name text PRIMARY KEY, times bigint NOT NULL);
CREATE TABLE {s}.orphans (topic bigint PRIMARY KEY); -- removed topics whose messages are still to be deleted
CREATE TABLE {s}.rules (
    pattern text PRIMARY KEY,
    fits text NOT NULL,                     -- the pattern as a regular expression
    messages bigint,
    age float8,
    bytes bigint,
    ord bigint NOT NULL                     -- of the rules that fit a topic, the highest holds
);
CREATE TABLE {s}.writers (
    -- The last batch of each process, so that a batch is stored once though its process has to ask again.
    writer uuid PRIMARY KEY,
    batch bigint NOT NULL,
    time timestamptz NOT NULL,
    outcome bigint[] NOT NULL,              -- the place before the batch, the place before its own messages, the bases
    topics bigint[] NOT NULL,
    epochs text[] NOT NULL,
    known bigint[] NOT NULL,
    known_seq bigint[] NOT NULL
);
CREATE INDEX writers_time ON {s}.writers (time);
CREATE TABLE {s}.groups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    pattern text COLLATE "C" NOT NULL,
    fits text,                              -- the pattern as a regular expression; null for one topic
    floor bigint NOT NULL,                  -- the group has looked at all its messages below this place
    held bigint NOT NULL DEFAULT 0,         -- rows of claims that are not dead
    paused boolean NOT NULL DEFAULT false,
    rests boolean NOT NULL DEFAULT false,   -- messages above its floor are not kept for it
    redo bigint NOT NULL DEFAULT 0,         -- after a seek, messages above the floor and below this may have claims
    stirred xid8,                           -- the last transaction after which somebody has to look
    UNIQUE (name, pattern)
) WITH (fillfactor = 50);
CREATE TABLE {s}.group_topics (
    grp bigint NOT NULL,
    topic bigint NOT NULL,
    next bigint NOT NULL,                   -- the first number that the group has not looked at
    PRIMARY KEY (grp, topic)
) WITH (fillfactor = 50);
CREATE INDEX group_topics_topic ON {s}.group_topics (topic);
CREATE TABLE {s}.claims (
    grp bigint NOT NULL,
    pos bigint NOT NULL,
    topic bigint NOT NULL,
    seq bigint NOT NULL,
    key text,
    attempt int NOT NULL,
    token bigint NOT NULL,
    owner text NOT NULL,
    state smallint NOT NULL,                -- 0 waits, 1 is leased, 2 is dead, 3 waits for another of its key
    due float8 NOT NULL,                    -- see telex.engines.postgres.claiming
    reason text,
    died float8,
    PRIMARY KEY (grp, pos)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- "+ 0" keeps lookups of a place off this index: without statistics PostgreSQL takes either.
CREATE INDEX claims_due ON {s}.claims (grp, state, due, (pos + 0));
CREATE INDEX claims_key ON {s}.claims (grp, key, pos) WHERE key IS NOT NULL AND state <> 2;
CREATE TABLE {s}.delayed (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    due float8 NOT NULL,
    topic text NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    key text,
    headers text,
    content text,
    data bytea,
    size bigint NOT NULL,
    grp text,                               -- a group that has to exist before the message is published
    UNIQUE (topic, id)
);
CREATE INDEX delayed_due ON {s}.delayed (due, n);
"""
