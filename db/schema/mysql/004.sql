SET @silod_add_at = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'silod_device' AND column_name = 'at') = 0,
    'ALTER TABLE silod_device ADD COLUMN at BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE silod_add_at FROM @silod_add_at;
EXECUTE silod_add_at;
