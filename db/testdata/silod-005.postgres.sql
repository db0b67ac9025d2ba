CREATE TABLE silod_schema (version INTEGER PRIMARY KEY NOT NULL, at BIGINT NOT NULL);
CREATE TABLE silod_batch (
    batch_key BYTEA PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX silod_batch_at_idx ON silod_batch (at);
CREATE TABLE silod_meta (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    headers BYTEA NOT NULL
);
CREATE TABLE silod_stuck (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    reason VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE silod_binding (
    ruid VARCHAR(64) PRIMARY KEY NOT NULL,
    extra BYTEA NOT NULL
);
CREATE TABLE silod_room (
    room VARCHAR(255) PRIMARY KEY NOT NULL,
    flag INTEGER NOT NULL,
    is_empty INTEGER NOT NULL,
    topic BYTEA NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE silod_member (
    room VARCHAR(255) NOT NULL,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    muted INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    banned INTEGER NOT NULL,
    invited_user VARCHAR(255) NOT NULL,
    invited_domain VARCHAR(255) NOT NULL,
    PRIMARY KEY (room, username, domain)
);
CREATE TABLE silod_cursor (
    room VARCHAR(255) NOT NULL,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    seq BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (room, username, domain)
);
CREATE TABLE silod_room_log (
    seq BIGSERIAL PRIMARY KEY NOT NULL,
    room VARCHAR(255) NOT NULL,
    from_user VARCHAR(255) NOT NULL,
    from_domain VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL,
    head BYTEA NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX silod_room_log_room_idx ON silod_room_log (room, seq);
CREATE INDEX silod_room_log_at_idx ON silod_room_log (at);
CREATE TABLE silod_secret (
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    alg VARCHAR(16) NOT NULL,
    ha1 VARCHAR(128) NOT NULL,
    ha1b VARCHAR(128) NOT NULL,
    md5 VARCHAR(128) NOT NULL,
    PRIMARY KEY (username, domain, alg)
);
CREATE TABLE silod_device (
    silo_id BIGINT NOT NULL,
    device VARCHAR(255) NOT NULL,
    inc_time BIGINT NOT NULL,
    refused VARCHAR(255) NOT NULL,
    PRIMARY KEY (silo_id, device)
);
CREATE TABLE silod_copy (
    source VARCHAR(255) PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL
);
INSERT INTO silod_schema (version, at) VALUES (1, 1795262400);
INSERT INTO silod_schema (version, at) VALUES (2, 1795262400);
INSERT INTO silod_schema (version, at) VALUES (3, 1795262400);
INSERT INTO silod_meta (silo_id, inc_time, headers) VALUES (1, 1795262400, decode('582d53696c6f642d46726f6d3a20224122203c7369703a616c696365406578616d706c652e6f72673e3b7461673d310d0a582d53696c6f642d43616c6c2d49443a206b6570740d0a', 'hex'));
INSERT INTO silod_stuck (silo_id, inc_time, reason, at) VALUES (2, 1795262401, '488 Not here', 1795262500);
INSERT INTO silod_room (room, flag, is_empty, topic, created) VALUES ('sip:chat-1@example.org', 0, 0, decode('77656174686572', 'hex'), 1795262400000);
INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) VALUES ('sip:chat-1@example.org', 'alice', 'example.org', 1795262400000, decode('', 'hex'), decode('73616964206265666f7265', 'hex'));
INSERT INTO silod_device (silo_id, device, inc_time, refused) VALUES (1, '<urn:uuid:1>', 1795262400, '');
ALTER TABLE silod_device ADD COLUMN IF NOT EXISTS at BIGINT NOT NULL DEFAULT 0;
CREATE TABLE IF NOT EXISTS silod_stranger (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    source VARCHAR(64) NOT NULL,
    bytes BIGINT NOT NULL
);
INSERT INTO silod_schema (version, at) VALUES (4, 1795262400);
INSERT INTO silod_schema (version, at) VALUES (5, 1795262400);
