package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"silod/silo"
)

// elsewhere is the From of strangers.
const elsewhere = "sip:x%d@elsewhere.example"

// stranger returns a user agent of another domain, with no password here.
func (s *served) stranger(network, from string) *ua {
	s.t.Helper()
	u := s.phoneFrom(network, from, "x")
	u.aor = fmt.Sprintf(elsewhere, 0)
	return u
}

// flood sends messages of a size, each from another name and to the next of the recipients. It
// returns how many were answered with each status.
func (u *ua) flood(n, size int, to ...string) map[int]int {
	u.t.Helper()
	got, text := map[int]int{}, strings.Repeat("x", size)
	for i := range n {
		u.aor = fmt.Sprintf(elsewhere, i)
		got[u.message(to[i%len(to)], text)]++
	}
	return got
}

// usedByStrangers returns the number of their stored messages, as the statistics have it.
func (s *served) usedByStrangers() (messages, bytes int64) {
	s.t.Helper()
	for _, c := range s.silo.Counters() {
		switch c.Name {
		case "strangers_messages":
			messages = c.Value()
		case "strangers_bytes":
			bytes = c.Value()
		}
	}
	return messages, bytes
}

// TestStrangersCannotFillTheDisk has strangers send large messages with the default limits: to
// names that are not users, and to users, from many names and addresses, over UDP and TCP, and
// over a restart.
func TestStrangersCannotFillTheDisk(t *testing.T) {
	t.Parallel()
	const size, fit = 64_000, 10_000_000 / 64_500 // strangers_per_source_bytes, and a few header fields
	more := []string{withDigest, "silo.strangers_bytes = 16000000"}
	s := serveIn(t, t.TempDir(), fixedPort(t), more...)
	s.addUsers()
	x := s.stranger("tcp", "127.0.0.9")
	nobodies := make([]string, 50)
	for i := range nobodies {
		nobodies[i] = fmt.Sprintf("sip:nosuchuser%d@127.0.0.1", i)
	}
	if got := x.flood(100, size, nobodies...); got[404] != 100 {
		t.Errorf("for unknown users: %v", got)
	}
	if n := s.stored(); n != 0 {
		t.Fatalf("%d messages are stored for unknown users", n)
	}
	if got := x.flood(fit+20, size, bob, alice); got[202] < fit-1 || got[202] > fit+1 || got[202]+got[480] != fit+20 {
		t.Errorf("from one address: %v, want %d of 202", got, fit)
	}
	if got := s.stranger("udp", "127.0.0.9").flood(3, size, bob, alice); got[480] != 3 {
		t.Errorf("over UDP: %v", got)
	}

	s = s.restart(more...)
	if got := s.stranger("udp", "127.0.0.9").flood(3, size, bob, alice); got[480] != 3 {
		t.Errorf("after a restart: %v", got)
	}
	all := map[int]int{}
	for i := range 8 {
		for status, n := range s.stranger("udp", fmt.Sprintf("127.0.0.%d", 10+i)).flood(20, size, alice, bob) {
			all[status] += n
		}
	}
	if messages, bytes := s.usedByStrangers(); bytes > 16_000_000 || bytes < 15_900_000 || int(messages) != s.stored() {
		t.Errorf("strangers have %d messages, %d bytes; %d are stored; the others: %v", messages, bytes, s.stored(), all)
	}

	// What is delivered makes room. bob's own messages are not affected.
	b := s.phone("tcp", "bob")
	if got := b.proven(asBob, b.text(alice, strings.Repeat("x", size))); status(got) != 202 {
		t.Errorf("bob is answered\n%s", got)
	}
	b.login(asBob)
	s.eventually("the delivery to bob", func() bool { m, _ := s.usedByStrangers(); return int(m)+1 == s.stored() && s.engine.Active() == 0 })
	if got := s.stranger("udp", "127.0.0.30").message(alice, "hello"); got != 202 {
		t.Errorf("answered %d when there is room", got)
	}
}

// TestStrangersQuotas checks the limits in messages, that they hold for messages that were
// deleted in each way, and that they do not apply without authentication.
func TestStrangersQuotas(t *testing.T) {
	t.Parallel()
	limits := []string{"silo.strangers_per_source = 2", "silo.strangers_messages = 3"}
	s := serveUsers(t, limits...)
	one, two := s.stranger("udp", "127.0.0.9"), s.stranger("tcp", "127.0.0.10")
	for _, tc := range []struct {
		by   *ua
		want int
	}{{one, 202}, {one, 202}, {one, 480}, {two, 202}, {two, 480}, {one, 480}} {
		if got := tc.by.message(bob, "hello"); got != tc.want {
			t.Fatalf("answered %d, want %d", got, tc.want)
		}
	}
	a := s.phone("tcp", "alice")
	if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 202 {
		t.Errorf("alice is answered\n%s", got)
	}
	room := func(how string) {
		t.Helper()
		if got := one.message(bob, "hello"); got != 202 {
			t.Errorf("answered %d after a message was %s", got, how)
		}
		if got := two.message(bob, "hello"); got != 480 {
			t.Errorf("answered %d after one message was %s and replaced", got, how)
		}
	}
	s.call("silo_delete", attr(s.call("silo_list").Nodes[0], "id"))
	room("deleted")
	if _, err := s.callNamed("silo_purge", "from", fmt.Sprintf(elsewhere, 0), "limit", "1"); err != nil {
		t.Fatal(err)
	}
	room("purged")

	open := serve(t, limits...)
	x := open.stranger("udp", "127.0.0.9")
	for range 5 {
		if got := x.message("sip:any@127.0.0.1", "hello"); got != 202 {
			t.Errorf("without authentication: answered %d", got)
		}
	}
}

// TestUnknownRecipients checks who is a user, for what would be stored, and the values of
// silo.unknown_users.
func TestUnknownRecipients(t *testing.T) {
	t.Parallel()
	const carol, dave = "sip:carol@127.0.0.1", "sip:dave@127.0.0.1"
	reminders := []string{"silo.reminder = 'sip:reminder@127.0.0.1'", "silo.send_time = 3600", "silo.snd_time_avp = '$hdr(X-At)'"}
	for _, tc := range []struct {
		value          string
		status, stored int
	}{{"reject", 404, 0}, {"hide", 202, 0}, {"store", 202, 4}} {
		t.Run(tc.value, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, append(reminders, "silo.unknown_users = '"+tc.value+"'")...)
			a, x := s.phone("tcp", "alice"), s.stranger("udp", "127.0.0.9")
			for _, more := range []string{"X-A: b", "X-At: 20301231235959"} {
				if got := a.proven(asAlice, a.text(carol, "hello", more)); status(got) != tc.status {
					t.Errorf("%s: alice is answered\n%s", more, got)
				}
				if got := x.message(carol, "hello", more); got != tc.status {
					t.Errorf("%s: a stranger is answered %d", more, got)
				}
			}
			later, err := s.callNamed("silo_list", "reminders", "yes")
			if err != nil {
				t.Fatal(err)
			}
			if n := s.stored() + len(later.Nodes); n != tc.stored {
				t.Errorf("%d messages are stored, want %d", n, tc.stored)
			}
		})
	}
	t.Run("users", func(t *testing.T) {
		t.Parallel()
		s := serveUsers(t, "auth.trusted = ['127.0.0.7']", "silo.store_owner = '$hdr(X-Owner)'")
		x := s.stranger("udp", "127.0.0.9")
		check := func(who, to string, want int, more ...string) {
			t.Helper()
			if got := x.message(to, "hello", more...); got != want {
				t.Errorf("%s: answered %d, want %d", who, got, want)
			}
		}
		check("no user", carol, 404)
		s.call("sub_add", "carol@127.0.0.1", "secret")
		check("a user who was just added", carol, 202)
		check("another mailbox", bob, 202, "X-Owner: "+carol)
		check("another mailbox of no user", bob, 404, "X-Owner: sip:erin@127.0.0.1")
		s.sql(`CREATE TABLE dbaliases (id INTEGER PRIMARY KEY, alias_username TEXT, alias_domain TEXT, username TEXT, domain TEXT)`)
		s.sql(`INSERT INTO dbaliases VALUES (1, 'robert', '127.0.0.1', 'bob', '127.0.0.1')`)
		s.eventually("that the alias is known", func() bool { return x.message("sip:robert@127.0.0.1", "hello") == 202 })
		check("nobody yet", dave, 404)
		s.sql(`INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES ('dave', '127.0.0.1', 'x', '', '')`)
		s.eventually("that dave is known", func() bool { return x.message(dave, "hello") == 202 })
		proxy := s.phoneFrom("udp", "127.0.0.7", "frank")
		proxy.register(300)
		proxy.autoReply.Store(486)
		check("a user of a trusted proxy", "sip:frank@127.0.0.1", 202)
		proxy.register(0)
		check("the owner of stored messages", "sip:frank@127.0.0.1", 202)
		if err := s.database.Close(); err != nil {
			t.Fatal(err)
		}
		check("while the database is away", "sip:grace@127.0.0.1", 503)
	})
}

// TestHiddenUsers checks that a stranger gets the same answers for users and for other names:
// the same work is done for both, and the same limits apply.
func TestHiddenUsers(t *testing.T) {
	t.Parallel()
	outcome := func(to string) string {
		s := serveUsers(t, "silo.unknown_users = 'hide'", "silo.strangers_per_source = 5", "silo.max_per_sender = 3", "silo.max_messages = 4")
		x := s.stranger("udp", "127.0.0.9")
		var got strings.Builder
		for i := range 9 {
			x.aor = fmt.Sprintf(elsewhere, min(i/4, 1))
			before, _, _ := s.silo.Stats.Commit.Snapshot()
			answer := strings.ReplaceAll(unlike.ReplaceAllString(x.ask(x.text(to, "hello")), "..."), x.conn.LocalAddr().String(), "...")
			after, _, _ := s.silo.Stats.Commit.Snapshot()
			fmt.Fprintf(&got, "%d commits, %s\n", after-before, strings.ReplaceAll(answer, to, "..."))
		}
		return got.String()
	}
	known, unknown := outcome(bob), outcome("sip:mallory@127.0.0.1")
	if known != unknown || strings.Count(known, "SIP/2.0 202") != 4 || strings.Count(known, "SIP/2.0 480") != 5 {
		t.Errorf("for a user\n%s\nfor another name\n%s", known, unknown)
	}
}

// TestTrustDoesNotPassThrough has a trusted proxy send back a message that silod has sent to it
// for a stranger, to a room, to another user and to another domain. It stays the stranger's.
func TestTrustDoesNotPassThrough(t *testing.T) {
	t.Parallel()
	remove := func(m string) string {
		if i := strings.Index(m, "Loop-Mark:"); i >= 0 {
			m = m[:i] + m[i+strings.Index(m[i:], "\r\n")+2:]
		}
		if strings.Contains(m, "\r\nLoop-Mark:") {
			i := strings.Index(m, "Loop-Mark:")
			m = m[:i] + m[i+strings.Index(m[i:], "\r\n")+2:]
		}
		return m
	}
	for _, tc := range []struct {
		name   string
		hide   bool
		change func(string) string
	}{
		{"unchanged", false, func(m string) string { return m }},
		{"without Vias", true, func(m string) string { return m }},
		{"without marks", true, remove},
		{"without marks, with another Call-ID", true, func(m string) string {
			return strings.Replace(remove(m), "Call-ID: ", "Call-ID: other-", 1)
		}},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stored %v", tc.name, stored), func(t *testing.T) {
				t.Parallel()
				p := between(t)
				p.hide = tc.hide
				more := []string{"auth.trusted = ['127.0.0.1 relay identity']", "auth.relay = 'trusted'", retriedSoon, "silo.max_retry = '1s'"}
				if stored {
					more = append(more, "silo.outbound_proxy = 'sip:"+p.addr()+"'")
				} else {
					more = append(more, "sip.user_proxy = 'sip:"+p.addr()+"'")
				}
				s := serveUsers(t, more...)
				carol := s.phone("udp", "carol")
				if got := carol.ask(carol.request("REGISTER", "sip:127.0.0.1", carol.aor, "", "Contact: <sip:carol@"+carol.conn.LocalAddr().String()+">")); status(got) != 200 {
					t.Fatalf("REGISTER was answered\n%s", got)
				}
				victim := listen(t, "127.0.0.3")
				targets := []string{"sip:chat-1@127.0.0.1", "sip:victim@" + victim.addr(), carol.aor}
				n := 0
				p.routeBy(func(m string) (netip.AddrPort, string) {
					to := targets[min(n, len(targets)-1)]
					n++
					m = strings.Replace(m, "MESSAGE "+bob, "MESSAGE "+to, 1)
					return s.addr("udp"), tc.change(m)
				})
				x := s.stranger("udp", "127.0.0.9")
				for range targets {
					x.message(bob, "#create")
				}
				s.eventually("that carol has a message", func() bool { return len(carol.requests) > 0 })
				if got := carol.next(); !strings.Contains(got, silo.StrangerMark) {
					t.Errorf("the message to carol has no mark\n%s", got)
				}
				if list := s.call("imc_list_rooms"); len(list.Nodes) != 0 {
					t.Error("the stranger has a room")
				}
				victim.nothing()
			})
		}
	}
}

// TestSendersMayBeLimited checks the values of silo.senders: messages of other senders are
// relayed, but not stored.
func TestSendersMayBeLimited(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][3]int{ // alice, a user behind a trusted proxy, a stranger
		"'all'":                       {202, 202, 202},
		"'authenticated'":             {202, 202, 480},
		"'local'":                     {202, 480, 480},
		"'sip:ALICE@127.0.0.1'":       {202, 480, 480},
		"'@elsewhere.example'":        {480, 202, 480},
		"'nobody'":                    {480, 480, 480},
		"'sip:x0@elsewhere.example'":  {480, 202, 480},
		"'@127.0.0.1', 'sip:b@x.org'": {202, 480, 480},
	} {
		for _, delivery := range []string{"any", "every"} {
			t.Run(value+" "+delivery, func(t *testing.T) {
				t.Parallel()
				s := serveUsers(t, "silo.senders = ["+value+"]", "auth.trusted = ['127.0.0.7']", "silo.delivery = '"+delivery+"'")
				a, x, y := s.phone("tcp", "alice"), s.stranger("udp", "127.0.0.9"), s.stranger("udp", "127.0.0.7")
				send := func(when string, want [3]int) {
					t.Helper()
					got := [3]int{status(a.proven(asAlice, a.text(bob, when))), y.message(bob, when), x.message(bob, when)}
					if got != want {
						t.Errorf("%s: answered %v, want %v", when, got, want)
					}
				}
				send("offline", want)
				b := s.phone("tcp", "bob")
				b.login(asBob)
				s.settled()
				online := [3]int{200, 200, 200}
				if delivery == "every" {
					for i := range want {
						if want[i] == 202 {
							online[i] = 202
						}
					}
				}
				send("online", online)
				for n := 0; n < 3; { // behind those that were stored before
					if body(b.next()) == "online" {
						n++
					}
				}
			})
		}
	}
}

// TestStrangersMark checks that a message with the mark is a stranger's whoever sends it on,
// and that a stranger's message has the mark once.
func TestStrangersMark(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.trusted = ['127.0.0.7 identity relay']", "auth.relay = 'trusted'")
	peer := s.stranger("udp", "127.0.0.7")
	victim := listen(t, "127.0.0.3")
	for _, mark := range []string{"stranger", "uabcdefgh, stranger", "uabcdefgh\r\nloop-mark:  stranger"} {
		for to, want := range map[string]int{"sip:chat-1@127.0.0.1": 403, "sip:v@" + victim.addr(): 403, bob: 202} {
			if got := peer.message(to, "#create", "Loop-Mark: "+mark, "P-Asserted-Identity: <"+alice+">"); got != want {
				t.Errorf("%q to %s: answered %d, want %d", mark, to, got, want)
			}
		}
	}
	if n, _ := s.usedByStrangers(); n != 3 {
		t.Errorf("%d messages count as a stranger's", n)
	}
	if got := peer.message("sip:chat-1@127.0.0.1", "#create"); got != 200 {
		t.Errorf("without a mark: answered %d", got)
	}
	b := s.phone("tcp", "bob")
	b.login(asBob)
	for range 3 {
		if m := b.next(); strings.Count(m, silo.StrangerMark) != 1 || header(m, "P-Asserted-Identity") != "" {
			t.Errorf("delivered\n%s", m)
		}
	}
}
