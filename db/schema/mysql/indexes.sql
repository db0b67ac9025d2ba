CREATE INDEX silod_{members}_room_idx ON {members} (room);
CREATE INDEX silod_{silo}_mbox_idx ON {silo} ({user}, {host}, {snd}, {id});
CREATE INDEX silod_{silo}_exp_idx ON {silo} ({exp});
CREATE INDEX silod_{silo}_snd_idx ON {silo} ({snd});
