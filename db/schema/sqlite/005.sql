CREATE TABLE IF NOT EXISTS silod_stranger (
    silo_id INTEGER PRIMARY KEY NOT NULL,
    inc_time INTEGER NOT NULL,
    source VARCHAR(64) NOT NULL,
    bytes INTEGER NOT NULL
);
