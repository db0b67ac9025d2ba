CREATE TABLE IF NOT EXISTS silod_device (
    silo_id BIGINT NOT NULL,
    device VARCHAR(255) NOT NULL,
    inc_time BIGINT NOT NULL,
    refused VARCHAR(255) NOT NULL,
    PRIMARY KEY (silo_id, device)
);
