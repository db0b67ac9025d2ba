package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// guessAs sends a wrong password of a user.
func (u *ua) guessAs(user string) string {
	return u.proven(login{user: user, password: "a guess"}, u.text(bob, "hello", ordinary))
}

// enrol returns the last response to a REGISTER with a password.
func (u *ua) enrol(l login) string {
	u.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:x@%s;transport=%s>", u.conn.LocalAddr(), u.conn.LocalAddr().Network())
	return u.proven(l, u.request("REGISTER", "sip:127.0.0.1", u.aor, "", contact, "Expires: 300", ordinary))
}

// TestBans checks that a user with too many failed logins cannot log in from that source, with any
// password, and that others can; that bans are listed and lifted, for one user or for an address.
func TestBans(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.failures = '5/1h'", "auth.ban_time = '1h'", "auth.trusted = ['127.0.0.7']")
	for _, network := range []string{"udp", "tcp"} {
		from := map[string]string{"udp": "127.0.0.66", "tcp": "127.0.0.67"}[network]
		mallory, a, b := s.phoneFrom(network, from, "alice"), s.phone(network, "alice"), s.phoneFrom(network, from, "bob")
		for i := range 5 {
			if got := mallory.guessAs("alice"); status(got) != 407 {
				t.Fatalf("guess %d was answered\n%s", i, got)
			}
		}
		// A correct password does not reset the count: the sixth wrong one bans.
		if got := mallory.proven(asAlice, mallory.text(bob, "hello")); status(got) >= 300 {
			t.Errorf("answered\n%s", got)
		}
		mallory.guessAs("ALICE@127.0.0.1")
		for _, got := range []string{
			mallory.guessAs("alice"), mallory.proven(asAlice, mallory.text(bob, "hello")),
			s.phoneFrom("udp", from, "alice").enrol(asAlice), s.phoneFrom("tcp", from, "alice").enrol(asAlice),
		} {
			if status(got) != 403 || !strings.Contains(got, "too many logins of this user from your address have failed") {
				t.Errorf("a banned user was answered\n%s", got)
			}
		}
		if got := a.proven(asAlice, a.text(bob, "hello")); status(got) >= 300 {
			t.Errorf("alice at another address was answered\n%s", got)
		}
		if got := b.enrol(asBob); status(got) != 200 {
			t.Errorf("bob at that address was answered\n%s", got)
		}
	}
	list := s.call("ban_list")
	if len(list.Nodes) != 2 || nodeAttr(list.Nodes[0], "address") != "127.0.0.66" || nodeAttr(list.Nodes[0], "until") == "" ||
		nodeAttr(list.Nodes[0], "user") != "sip:alice@127.0.0.1" {
		t.Fatalf("bans: %+v", list.Nodes)
	}
	if log := s.log.String(); strings.Count(log, "user banned at a source") != 2 || !strings.Contains(log, `msg="authentication failed" user=alice`) {
		t.Errorf("the log does not contain the bans")
	}
	s.call("ban_lift", "127.0.0.66")
	s.call("ban_lift", "127.0.0.67", "alice")
	if list := s.call("ban_list"); len(list.Nodes) != 0 {
		t.Errorf("bans: %+v", list.Nodes)
	}
	for _, from := range []string{"127.0.0.66", "127.0.0.67"} {
		again := s.phoneFrom("udp", from, "alice")
		if got := again.proven(asAlice, again.text(bob, "hello")); status(got) >= 300 {
			t.Errorf("after the ban was lifted: answered\n%s", got)
		}
	}
	// A trusted peer is not banned for wrong passwords of its users.
	peer := s.phoneFrom("tcp", "127.0.0.7", "alice")
	for range 10 {
		if got := peer.ask(with(peer.text(bob, "hello"), "Proxy-Authorization", "Digest nonsense")); status(got) >= 300 {
			t.Fatalf("the peer was answered\n%s", got)
		}
	}
}

// TestScannerIsBanned checks that packets of a source that fails to log in as many users are
// dropped, but not those over connections and from UDP addresses with which a user has logged in
// before, or that a binding names after a restart.
func TestScannerIsBanned(t *testing.T) {
	t.Parallel()
	settings := []string{withDigest, "auth.failures = '5/1h'", "auth.ban_time = '1h'"}
	s := serveIn(t, t.TempDir(), fixedPort(t), settings...)
	s.addUsers()
	const nat = "127.0.0.68"
	a, b := s.phoneFrom("tcp", nat, "alice"), s.phoneFrom("udp", nat, "bob")
	a.login(asAlice)
	b.login(asBob)
	scan := func(s *served) {
		scanner := s.phoneFrom("udp", nat, "x")
		for i := range 6 {
			scanner.aor = "sip:alice@127.0.0.1"
			if got := scanner.guessAs(fmt.Sprintf("user%d", i)); status(got) != 407 {
				t.Errorf("guess %d was answered\n%s", i, got)
			}
		}
		scanner.unanswered(
			scanner.text(bob, "hello"), scanner.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", ""), scanner.request("INVITE", bob, bob, ""),
			strings.Replace(scanner.text(bob, "hello"), "CSeq:", "CSeq: x", 1), // malformed
		)
		// The ban applies to all users, ports and packets, also to STUN keep-alives.
		s.phoneFrom("udp", nat, "carol").unanswered(scanner.text(bob, "hello"), "\x00\x01\x00\x00\x21\x12\xa4\x42transaction1")
		s.phoneFrom("tcp", nat, "alice").unanswered(scanner.text(bob, "hello"))
		list := s.call("ban_list")
		if len(list.Nodes) != 1 || nodeAttr(list.Nodes[0], "address") != nat || nodeAttr(list.Nodes[0], "user") != "" {
			t.Errorf("bans: %+v", list.Nodes)
		}
	}
	scan(s)
	for _, p := range []struct {
		ua *ua
		as login
	}{{a, asAlice}, {b, asBob}} {
		if got := p.ua.enrol(p.as); status(got) != 200 {
			t.Errorf("%s was answered\n%s", p.as.user, got)
		}
	}
	// No other user can be guessed at over such a connection.
	if got := a.guessAs("carol"); status(got) != 403 {
		t.Errorf("a guess was answered\n%s", got)
	}
	if got := s.phone("tcp", "alice"); status(got.enrol(asAlice)) != 200 {
		t.Error("alice cannot log in from elsewhere")
	}
	s = s.restart(settings...)
	scan(s)
	if got := b.enrol(asBob); status(got) != 200 {
		t.Errorf("after a restart bob was answered\n%s", got)
	}
}

// TestNATOfManyPhones checks that the phones behind one address, some of them new, stay in service
// while one of them fails to log in all the time.
func TestNATOfManyPhones(t *testing.T) {
	t.Parallel()
	const phones, nat = 200, "127.0.0.69"
	s := serveUsers(t)
	users := make([]login, phones)
	for i := range users {
		users[i] = login{user: fmt.Sprintf("user%d", i), password: fmt.Sprintf("password %d", i)}
		s.call("sub_add", users[i].user+"@127.0.0.1", users[i].password)
	}
	wrong := s.phoneFrom("udp", nat, "alice")
	connected := []*ua{s.phoneFrom("udp", nat, "alice"), s.phoneFrom("tcp", nat, "alice")}
	for _, p := range connected {
		p.login(asAlice)
	}
	served, failures := 0, map[int]int{}
	start := time.Now()
	for i, l := range users {
		failures[status(wrong.guessAs("alice"))]++
		p := s.phoneFrom([]string{"udp", "tcp"}[i%2], nat, l.user)
		if got := p.enrol(l); status(got) != 200 {
			t.Fatalf("phone %d was answered\n%s", i, got)
		}
		served++
	}
	for _, p := range connected {
		if got := p.enrol(asAlice); status(got) != 200 {
			t.Errorf("a phone of the same user, which was registered before, was answered\n%s", got)
		}
	}
	t.Logf("%d of %d phones registered in %v; the one with the wrong password was answered %v", served, phones, time.Since(start), failures)
	if failures[407] != 21 || failures[403] != phones-21 { // auth.failures is 20
		t.Errorf("the phone with the wrong password was answered %v", failures)
	}
	if list := s.call("ban_list"); len(list.Nodes) != 1 || nodeAttr(list.Nodes[0], "user") != "sip:alice@127.0.0.1" {
		t.Errorf("bans: %+v", list.Nodes)
	}
}

// TestGuessesFromManyAddresses checks that guesses at one user from many addresses are delayed, and
// that the user can log in all the time from where the user has logged in before.
func TestGuessesFromManyAddresses(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.user_failures = '10/1h'")
	a := s.phone("tcp", "alice")
	a.login(asAlice)
	answers := map[int]int{}
	for i := range 40 {
		u := s.phoneFrom([]string{"udp", "tcp"}[i%2], fmt.Sprintf("127.0.1.%d", i+1), "alice")
		got := u.guessAs("alice")
		if answers[status(got)]++; status(got) == 503 && header(got, "Retry-After") == "" {
			t.Errorf("answered\n%s", got)
		}
	}
	if answers[407] != 10 || answers[503] != 30 {
		t.Errorf("guesses were answered %v", answers)
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := s.phone(network, "alice").enrol(asAlice); status(got) != 200 {
			t.Errorf("alice was answered\n%s", got)
		}
		if got := s.phoneFrom(network, "127.0.2.1", "bob").enrol(asBob); status(got) != 200 {
			t.Errorf("bob was answered\n%s", got)
		}
		if got := s.phoneFrom(network, "127.0.2.1", "alice").enrol(asAlice); status(got) != 503 {
			t.Errorf("alice at a new address was answered\n%s", got)
		}
	}
	if list := s.call("ban_list"); len(list.Nodes) != 1 || nodeAttr(list.Nodes[0], "address") != "any" {
		t.Errorf("bans: %+v", list.Nodes)
	}
	s.call("ban_lift", "any", "alice")
	if got := s.phoneFrom("tcp", "127.0.2.1", "alice").enrol(asAlice); status(got) != 200 {
		t.Errorf("after the ban was lifted: answered\n%s", got)
	}
}

// TestOneLoginCountsOnce checks that the algorithms that a client tries one after the other, and
// copies of a request, count as one failed login.
func TestOneLoginCountsOnce(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.algorithms = ['SHA-512-256', 'SHA-256', 'MD5']", "auth.failures = '3/1h'")
	failures := func() int64 { return s.guard.Bans.Stats.Failures.Value() }
	a := s.phone("tcp", "alice")
	for i := range 3 {
		got := a.prove(login{user: "alice", password: "an old one"}, a.text(bob, "hello"))
		if len(got) != 4 || status(got[len(got)-1]) != 407 || failures() != int64(i+1) {
			t.Errorf("%d requests, %d failures are counted", len(got), failures())
		}
	}
	b := s.phone("udp", "bob")
	request := with(b.text(alice, "hello"), "Proxy-Authorization",
		login{user: "bob", password: "x", algorithm: "MD5"}.answer(t, challenges(b.ask(b.text(alice, "hello"))), "MESSAGE", alice, 1))
	for range 10 { // retransmissions, because the answer was lost
		if got := b.ask(request); status(got) != 407 {
			t.Errorf("answered\n%s", got)
		}
	}
	if n := failures(); n != 4 {
		t.Errorf("%d failures are counted", n)
	}
}

// TestForgedDatagramsAreCountedApart checks that datagrams with the address of a user, which any host can
// send, neither limit nor ban the connections of the user, nor datagrams that answer a challenge.
func TestForgedDatagramsAreCountedApart(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.source_registers = '50/1h'", "auth.source_messages = '50/1h'", "auth.user_registers = '1000/1h'", "auth.failures = '5/1h'")
	const victim = "127.0.0.70"
	b, old := s.phoneFrom("tcp", victim, "bob"), s.phoneFrom("udp", victim, "bob")
	nonce := challenges(old.ask(old.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: <sip:bob@127.0.0.1:9>", ordinary)))
	// The attacker has a challenge for another address.
	attacker := s.phoneFrom("udp", "127.0.0.71", "bob")
	other := challenges(attacker.ask(attacker.text(alice, "hello", ordinary)))

	forged := s.phoneFrom("udp", victim, "bob")
	answered := map[int]int{}
	for i := range 400 {
		request := forged.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: <sip:bob@127.0.0.1:9>", ordinary)
		switch i % 4 {
		case 1:
			request = with(request, "Authorization", login{user: fmt.Sprint("u", i), password: "x"}.answer(t, other, "REGISTER", "sip:127.0.0.1", i))
		case 2:
			request = with(request, "Authorization", `Digest username="bob", realm="127.0.0.1", nonce="x", uri="sip:127.0.0.1", response="x"`)
		case 3:
			request = forged.text(alice, "hello", ordinary)
		}
		answered[status(forged.ask(request))]++
	}
	if answered[503] < 250 {
		t.Errorf("the flood was answered %v", answered)
	}
	for i := range 20 {
		if got := b.enrol(asBob); status(got) != 200 {
			t.Fatalf("bob's REGISTER %d over TCP was answered\n%s", i, got)
		}
	}
	request := old.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: <sip:bob@"+old.conn.LocalAddr().String()+">", ordinary)
	if got := old.ask(with(request, "Authorization", asBob.answer(t, nonce, "REGISTER", "sip:127.0.0.1", 1))); status(got) != 200 {
		t.Errorf("bob's answer to a challenge over UDP was answered\n%s", got)
	}
	for _, ban := range s.call("ban_list").Nodes {
		if nodeAttr(ban, "address") == victim {
			t.Errorf("the victim is banned: %+v", ban)
		}
	}
}

// TestFloodOfOneUser checks that a user that sends too many requests does not use up what others
// behind the same address may send.
func TestFloodOfOneUser(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.source_messages = '60/1h'", "auth.user_messages = '20/1h'")
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	for range 100 {
		a.ask(a.text(bob, "hello"))
	}
	if got := b.proven(asBob, b.text(alice, "hello")); status(got) != 202 {
		t.Errorf("answered\n%s", got)
	}
}

// TestNamesThatAreHard logs users in whose names are escaped in URIs, with each way in which
// clients write them.
func TestNamesThatAreHard(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	for name, spellings := range map[string][]string{
		"9901#1":     {"9901%231"},
		"jürgen":     {"j%C3%BCrgen", "jürgen", "j%c3%bcrgen"},
		"hans maier": {"hans%20maier"},
		"{}|^":       {"%7B%7D%7C%5E"},
	} {
		s.call("sub_add", name+"@127.0.0.1", "pässword")
		for _, uri := range spellings {
			for _, network := range []string{"udp", "tcp"} {
				aor := "sip:" + uri + "@127.0.0.1"
				for _, user := range []string{name, name + "@127.0.0.1"} {
					u := s.phone(network, uri)
					got := u.proven(login{user: user, password: "pässword"}, u.request("REGISTER", "sip:127.0.0.1", aor, "", "Contact: <sip:"+uri+"@127.0.0.1:9>"))
					if status(got) != 200 {
						t.Errorf("%s of %s: answered\n%s", user, aor, got)
					}
					if got := u.proven(login{user: user, password: "pässword"}, u.text(aor, "hello")); status(got) >= 300 {
						t.Errorf("%s of %s: answered\n%s", user, aor, got)
					}
				}
			}
		}
		u := s.phone("tcp", "alice")
		if got := u.enrol(login{user: name, password: "pässword"}); status(got) != 403 {
			t.Errorf("%s as alice: answered\n%s", name, got)
		}
	}
}

// TestSpellingsOfClearPasswords logs in a user whose password another program has stored in the
// clear, with each spelling of the name.
func TestSpellingsOfClearPasswords(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	s.sql(`INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES ('carol', '127.0.0.1', 'in the clear', '', '')`)
	for _, user := range []string{"carol", "CAROL", "carol@127.0.0.1", "Carol@127.0.0.1", "c%61rol"} {
		u := s.phone("tcp", "Carol")
		if got := u.enrol(login{user: user, password: "in the clear"}); status(got) != 200 {
			t.Errorf("%s was answered\n%s", user, got)
		}
	}
	s.call("sub_passwd", "carol", "another")
	if got := s.phone("tcp", "carol").enrol(login{user: "carol", password: "another"}); status(got) != 200 {
		t.Errorf("answered\n%s", got)
	}
	if got := s.phone("tcp", "carol").enrol(login{user: "Carol", password: "in the clear"}); status(got) != 401 {
		t.Errorf("the old password was answered\n%s", got)
	}
}

// TestNoCredentialsYet checks that credentials without a nonce or a response, as IMS phones and
// PJSIP send before they know a challenge, are answered by one.
func TestNoCredentialsYet(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.user_registers = '0'", "auth.user_messages = '0'")
	users := []string{"alice", "alice@127.0.0.1", "nobody", ""}
	parts := []string{`nonce="",`, `nonce="n",`, ``}
	responses := []string{`response=""`, ``, `response="0123456789abcdef0123456789abcdef"`}
	for _, network := range []string{"udp", "tcp"} {
		a := s.phone(network, "alice")
		for _, user := range users {
			for _, nonce := range parts {
				for _, response := range responses {
					for _, algorithm := range []string{"", ",algorithm=MD5", ",algorithm=AKAv1-MD5", ",algorithm=SHA-256"} {
						value := `Digest username="` + user + `",realm="127.0.0.1",` + nonce + `uri="sip:127.0.0.1",` + response + algorithm
						for _, header := range []string{"Authorization", "Proxy-Authorization"} {
							got := []string{
								a.ask(with(a.request("REGISTER", "sip:127.0.0.1", alice, "", "Contact: <sip:a@127.0.0.1:9>", ordinary), header, value)),
								a.ask(with(a.text(bob, "hello", ordinary), header, value)),
							}
							if status(got[0]) != 401 || status(got[1]) != 407 || slices.ContainsFunc(got, func(g string) bool { return len(challenges(g)) != 1 }) {
								t.Fatalf("%s: answered\n%s\n%s", value, got[0], got[1])
							}
						}
					}
				}
			}
		}
	}
	if n := s.guard.Bans.Stats.Failures.Value(); n != 0 {
		t.Errorf("%d failed logins are counted", n)
	}
}
