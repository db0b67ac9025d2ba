CREATE TABLE IF NOT EXISTS silod_batch (
    batch_key BYTEA PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS silod_batch_at_idx ON silod_batch (at);
CREATE TABLE IF NOT EXISTS silod_meta (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    headers BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_stuck (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    reason VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_binding (
    ruid VARCHAR(64) PRIMARY KEY NOT NULL,
    extra BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_room (
    room VARCHAR(255) PRIMARY KEY NOT NULL,
    flag INTEGER NOT NULL,
    is_empty INTEGER NOT NULL,
    topic BYTEA NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_member (
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
CREATE TABLE IF NOT EXISTS silod_cursor (
    room VARCHAR(255) NOT NULL,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    seq BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (room, username, domain)
);
CREATE TABLE IF NOT EXISTS silod_room_log (
    seq BIGSERIAL PRIMARY KEY NOT NULL,
    room VARCHAR(255) NOT NULL,
    from_user VARCHAR(255) NOT NULL,
    from_domain VARCHAR(255) NOT NULL,
    at BIGINT NOT NULL,
    head BYTEA NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS silod_room_log_room_idx ON silod_room_log (room, seq);
CREATE INDEX IF NOT EXISTS silod_room_log_at_idx ON silod_room_log (at);
CREATE TABLE IF NOT EXISTS silod_secret (
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    alg VARCHAR(16) NOT NULL,
    ha1 VARCHAR(128) NOT NULL,
    ha1b VARCHAR(128) NOT NULL,
    md5 VARCHAR(128) NOT NULL,
    PRIMARY KEY (username, domain, alg)
);
