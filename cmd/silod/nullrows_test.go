package main

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// Rows with NULL in a table without constraints are delivered with the others, listed and counted.
// A message without a Call-ID gets one, the same in every attempt, also after a restart.
func TestRowsWithNull(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "own.db")
	own, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, st := range []string{
		`CREATE TABLE silo (id INTEGER PRIMARY KEY, src_addr VARCHAR(255), dst_addr VARCHAR(255), username VARCHAR(64), domain VARCHAR(64),
			inc_time INTEGER, exp_time INTEGER, snd_time INTEGER, ctype VARCHAR(32), body BLOB, extra_hdrs TEXT, callid VARCHAR(128), status INTEGER)`,
		`INSERT INTO silo (src_addr, dst_addr, username, domain, body) VALUES ('sip:alice@127.0.0.1', 'sip:bob@127.0.0.1', 'bob', NULL, 'one'),
			(NULL, NULL, 'bob', '127.0.0.1', 'two')`,
		"INSERT INTO silo (src_addr) VALUES (NULL)",
		`INSERT INTO silo (src_addr, dst_addr, username, domain, body, inc_time, exp_time, snd_time, ctype) VALUES
			('sip:alice@127.0.0.1', 'sip:bob@127.0.0.1', 'bob', '127.0.0.1', 'three', 'x', 'y', 0, 5)`,
	} {
		if _, err := own.ExecContext(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	line := "silo.db_url = 'sqlite:" + file + "'"
	s := serveIn(t, t.TempDir(), fixedPort(t), line)
	if n := s.call("silo_list"); len(n.Nodes) != 4 {
		t.Errorf("%d messages listed: %v", len(n.Nodes), n)
	}
	b := s.phone("udp", "bob")
	b.autoReply.Store(480)
	b.register(300)
	first := header(b.next(), "Call-ID")
	if first == "" {
		t.Error("no Call-ID")
	}
	s = s.restart(line)
	b = s.phone("udp", "bob")
	b.register(300)
	for i, want := range []string{"one", "two", "three"} {
		m := b.next()
		if body(m) != want || i == 0 && header(m, "Call-ID") != first {
			t.Errorf("got, after Call-ID %s,\n%s", first, m)
		}
	}
	s.eventually("only the message of no user is left", func() bool { return s.stored() == 1 })
}
