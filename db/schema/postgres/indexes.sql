CREATE INDEX IF NOT EXISTS silod_{members}_room_idx ON {members} (room);
CREATE INDEX IF NOT EXISTS silod_{silo}_mbox_idx ON {silo} ({user}, {host}, {snd}, {id});
CREATE INDEX IF NOT EXISTS silod_{silo}_exp_idx ON {silo} ({exp});
CREATE INDEX IF NOT EXISTS silod_{silo}_snd_idx ON {silo} ({snd}) WHERE {snd} > 0;
CREATE INDEX IF NOT EXISTS silod_subscriber_lower_idx ON subscriber (lower(username));
CREATE INDEX IF NOT EXISTS silod_dbaliases_lower_idx ON dbaliases (lower(alias_username));
