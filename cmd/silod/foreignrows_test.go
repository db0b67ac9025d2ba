package main

import (
	"fmt"
	"testing"
	"time"
)

// A contact that another program writes into the table location while silod runs is used: stored
// messages are delivered to it. A contact of silod is used although its row was deleted. It takes
// the interval of 10 seconds; package registrar has the tests of changed and deleted rows.
func TestRowsOfOtherPrograms(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a, own := s.phone("udp", "alice"), s.phone("udp", "own")
	own.register(300)
	if got := a.message("sip:gw@127.0.0.1", "hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	gw := listen(t, "127.0.0.1")
	now := time.Now().Unix()
	for _, user := range []string{"gw", "bad"} {
		contact := map[string]string{"gw": "sip:gw@" + gw.addr(), "bad": "tel:1"}[user]
		s.sql(fmt.Sprintf(`INSERT INTO location (ruid, username, domain, contact, path, expires, callid, cseq, user_agent, last_modified)
			VALUES ('uloc-%[1]s', '%[1]s', NULL, '%[2]s', '.', 0, 'x', -1, 'x', %[3]d)`, user, contact, now))
	}
	s.sql("DELETE FROM location WHERE username = 'own'")
	for end := time.Now().Add(time.Minute); !s.location.Online(s.aor("gw")); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new row is not used")
		}
	}
	m := gw.next()
	if body(m) != "hello" || header(m, "Route") != "" {
		t.Errorf("got\n%s", m)
	}
	if s.count("location") != 2 {
		t.Errorf("%d rows of location", s.count("location"))
	}
	if got := a.message("sip:own@127.0.0.1", "hello"); got != 200 {
		t.Errorf("silod's own contact: answered %d", got)
	}
}
