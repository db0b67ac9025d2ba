package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// storeAs stores a text as Kamailio's m_store does: under the spelling of the Request-URI.
func (s *served) storeAs(user, domain, text string) {
	s.t.Helper()
	now := time.Now().Unix()
	user = strings.ReplaceAll(user, "'", "''")
	s.sql(fmt.Sprintf(`INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
		VALUES ('sip:s@example.org', 'sip:%s@%s', '%s', '%s', %d, %d, 0, 'text/plain', '%s')`, user, domain, user, domain, now, now+3600, text))
}

// Rows that Kamailio has stored under any spelling of a user are delivered to the user, in
// order and once, whatever spelling registers, from before a start and while the daemon runs.
func TestRowsInOtherSpellings(t *testing.T) {
	t.Parallel()
	for name, spellings := range map[string][]string{
		"plus": {"+4917@example.org", "%2B4917@example.org", "%2b49%317@EXAMPLE.org"}, "quote": {"o'neil@example.org", "o%27neil@example.org"},
		"domain": {"dora@example.org", "dora@EXAMPLE.org", "Dora@example.org"}, "case": {"alice@example.org", "Alice@example.org", "ALICE@example.org"},
		"raw": {"j%C3%BCrgen@example.org", "jürgen@example.org", "j%c3%bcrgen@example.org"}, "hash": {"9901%231@example.org", "9901#1@example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveIn(t, t.TempDir(), fixedPort(t), "sip.domains = ['example.org']")
			var want []string
			store := func(text string) {
				for _, sp := range spellings {
					user, domain, _ := strings.Cut(sp, "@")
					s.storeAs(user, domain, text+" "+sp[:1]+domain)
					want = append(want, text+" "+sp[:1]+domain)
					if got := s.phone("udp", "s").message("sip:"+sp, text+" by silod"); got != 202 {
						t.Fatalf("%s: answered %d", sp, got)
					}
					want = append(want, text+" by silod")
				}
			}
			store("early")
			s = s.restart("sip.domains = ['example.org']")
			for round, sp := range spellings {
				store(fmt.Sprint("round ", round))
				time.Sleep(1100 * time.Millisecond) // new rows are looked for once a second
				u := s.phone("udp", "x")
				u.aor = "sip:" + sp
				contact := fmt.Sprintf("Contact: <sip:c@%s>", u.conn.LocalAddr())
				host := sp[strings.IndexByte(sp, '@')+1:]
				if a := u.ask(u.request("REGISTER", "sip:"+host, u.aor, "", contact, "Expires: 60")); status(a) != 200 {
					t.Fatalf("REGISTER of %s was answered\n%s", sp, a)
				}
				u.gets(want...)
				u.nothing()
				s.eventually("the end of the delivery", func() bool { return s.stored() == 0 && s.engine.Active() == 0 })
				if a := u.ask(u.request("REGISTER", "sip:"+host, u.aor, "", contact, "Expires: 0")); status(a) != 200 {
					t.Fatalf("REGISTER of %s was answered\n%s", sp, a)
				}
				want = nil
			}
		})
	}
}

// Contacts that Kamailio has stored under any spelling of a user receive its messages.
func TestContactsInOtherSpellings(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), "sip.domains = ['example.org']")
	rows := []string{"%2B4917@example.org", "Alice@EXAMPLE.org", "jürgen@example.org", "dora@"}
	phones := map[string]*ua{}
	for i, row := range rows {
		user, domain, _ := strings.Cut(row, "@")
		phones[row] = s.phone("udp", "x")
		s.sql(fmt.Sprintf(`INSERT INTO location (ruid, username, domain, contact, expires, callid, cseq, user_agent, last_modified)
			VALUES ('uloc-%d', '%s', '%s', 'sip:c@%s', %d, 'x', 1, 'Kamailio', %d)`, i, user, domain, phones[row].conn.LocalAddr(),
			time.Now().Unix()+3600, time.Now().Unix()))
	}
	s = s.restart("sip.domains = ['example.org']")
	for i, to := range []string{"+4917", "alice", "j%C3%BCrgen", "dora"} {
		if got := s.phone("udp", "s").message("sip:"+to+"@example.org", "to "+to); got != 200 {
			t.Errorf("%s: answered %d", to, got)
		}
		if m := phones[rows[i]].next(); body(m) != "to "+to {
			t.Errorf("%s got\n%s", to, m)
		}
	}
}
