CREATE TABLE version (
    table_name VARCHAR(32) NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL
);
CREATE TABLE silo (
    id SERIAL PRIMARY KEY NOT NULL,
    src_addr VARCHAR(128) DEFAULT '' NOT NULL,
    dst_addr VARCHAR(128) DEFAULT '' NOT NULL,
    username VARCHAR(64) DEFAULT '' NOT NULL,
    domain VARCHAR(64) DEFAULT '' NOT NULL,
    inc_time INTEGER DEFAULT 0 NOT NULL,
    exp_time INTEGER DEFAULT 0 NOT NULL,
    snd_time INTEGER DEFAULT 0 NOT NULL,
    ctype VARCHAR(32) DEFAULT 'text/plain' NOT NULL,
    body BYTEA DEFAULT '' NOT NULL,
    extra_hdrs TEXT DEFAULT '' NOT NULL,
    callid VARCHAR(128) DEFAULT '' NOT NULL,
    status INTEGER DEFAULT 0 NOT NULL
);
CREATE INDEX silo_account_idx ON silo (username, domain);
CREATE TABLE imc_rooms (
    id SERIAL PRIMARY KEY NOT NULL,
    name VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    flag INTEGER NOT NULL,
    CONSTRAINT imc_rooms_name_domain_idx UNIQUE (name, domain)
);
CREATE TABLE imc_members (
    id SERIAL PRIMARY KEY NOT NULL,
    username VARCHAR(64) NOT NULL,
    domain VARCHAR(64) NOT NULL,
    room VARCHAR(64) NOT NULL,
    flag INTEGER NOT NULL,
    CONSTRAINT imc_members_account_room_idx UNIQUE (username, domain, room)
);
CREATE TABLE location (
    id SERIAL PRIMARY KEY NOT NULL,
    ruid VARCHAR(64) DEFAULT '' NOT NULL,
    username VARCHAR(64) DEFAULT '' NOT NULL,
    domain VARCHAR(64) DEFAULT NULL,
    contact VARCHAR(255) DEFAULT '' NOT NULL,
    received VARCHAR(128) DEFAULT NULL,
    path VARCHAR(128) DEFAULT NULL,
    expires TIMESTAMP WITHOUT TIME ZONE DEFAULT '2030-05-28 21:32:15' NOT NULL,
    q REAL DEFAULT 1.0 NOT NULL,
    callid VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
    cseq INTEGER DEFAULT 1 NOT NULL,
    last_modified TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:01' NOT NULL,
    flags INTEGER DEFAULT 0 NOT NULL,
    cflags INTEGER DEFAULT 0 NOT NULL,
    user_agent VARCHAR(255) DEFAULT '' NOT NULL,
    socket VARCHAR(64) DEFAULT NULL,
    methods INTEGER DEFAULT NULL,
    instance VARCHAR(255) DEFAULT NULL,
    reg_id INTEGER DEFAULT 0 NOT NULL
);
CREATE INDEX location_account_contact_idx ON location (username, domain, contact);
INSERT INTO version (table_name, table_version) VALUES ('silo', 7), ('imc_rooms', 1), ('imc_members', 1), ('location', 5), ('subscriber', 6);
INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body, extra_hdrs) VALUES ('sip:alice@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1795262400, 1795521600, 0, 'text/plain', '\x68656c6c6f20ff00'::bytea, '\x582d466f6f3a206261725c62617a0d0a502d41737365727465642d4964656e746974793a203c7369703a616c696365406578616d706c652e6f72673e0d0a');
INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body, extra_hdrs) VALUES ('sip:carol@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1795262401, 0, 0, 'text/html', '\x3c703e68693c2f703e'::bytea, '');
INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body, extra_hdrs) VALUES ('sip:reminder@example.org', 'sip:bob@example.org', 'bob', 'example.org', 1795262402, 1795521600, 1795266000, 'text/plain', '\x72656d696e64206d65'::bytea, '');
INSERT INTO imc_rooms (name, domain, flag) VALUES ('chat-1', 'example.org', 1);
INSERT INTO imc_members (username, domain, room, flag) VALUES ('alice', 'example.org', 'sip:chat-1@example.org', 1), ('bob', 'example.org', 'sip:chat-1@example.org', 0);
INSERT INTO location (ruid, username, contact, received, expires, q, callid, cseq, last_modified, flags, cflags, user_agent, socket, methods) VALUES ('uloc-1-5b-1', 'bob', 'sip:bob@10.0.0.9:5062', 'sip:203.0.113.7:40000', '2111-07-15 12:00:00', -1.0, 'reg1@10.0.0.9', 2, '2026-11-21 12:00:00', 0, 0, 'Phone/1', 'udp:192.0.2.5:5060', 5951);
