CREATE TABLE silod_device_4 (
    silo_id INTEGER NOT NULL,
    device VARCHAR(255) NOT NULL,
    inc_time INTEGER NOT NULL,
    refused VARCHAR(255) NOT NULL,
    at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (silo_id, device)
) WITHOUT ROWID;
INSERT INTO silod_device_4 SELECT silo_id, device, inc_time, refused, 0 FROM silod_device;
DROP TABLE silod_device;
ALTER TABLE silod_device_4 RENAME TO silod_device;
