CREATE TABLE IF NOT EXISTS silod_stranger (
    silo_id BIGINT PRIMARY KEY NOT NULL,
    inc_time BIGINT NOT NULL,
    source VARCHAR(64) NOT NULL,
    bytes BIGINT NOT NULL
);
