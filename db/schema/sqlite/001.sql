CREATE TABLE IF NOT EXISTS silod_meta (
    silo_id INTEGER PRIMARY KEY NOT NULL,
    inc_time INTEGER NOT NULL,
    headers BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_stuck (
    silo_id INTEGER PRIMARY KEY NOT NULL,
    inc_time INTEGER NOT NULL,
    reason VARCHAR(255) NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS silod_binding (
    ruid VARCHAR(64) PRIMARY KEY NOT NULL,
    extra BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silod_room (
    room VARCHAR(255) PRIMARY KEY NOT NULL,
    flag INTEGER NOT NULL,
    is_empty INTEGER NOT NULL,
    topic BLOB NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;
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
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silod_cursor (
    room VARCHAR(255) NOT NULL,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    seq INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (room, username, domain)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silod_room_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    room VARCHAR(255) NOT NULL,
    from_user VARCHAR(255) NOT NULL,
    from_domain VARCHAR(255) NOT NULL,
    at INTEGER NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL
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
) WITHOUT ROWID;
