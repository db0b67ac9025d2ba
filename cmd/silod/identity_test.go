package main

import (
	"strings"
	"testing"
)

// TestForgedFrom checks that From must be the authenticated user or one of its aliases.
func TestForgedFrom(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	b := s.phone("tcp", "bob")
	b.login(asBob)
	a := s.phone("tcp", "alice")
	as := func(from string, l login) string {
		t.Helper()
		return a.proven(l, strings.Replace(a.text(bob, "hello"), "From: <"+alice+">", "From: "+from, 1))
	}
	for _, tc := range []struct {
		name, from string
		by         login
		status     int
	}{
		{"herself", "<" + alice + ">", asAlice, 200},
		{"herself, with her whole address as user name", "<" + alice + ">", login{user: "alice@127.0.0.1", password: asAlice.password}, 200},
		{"herself, at a port and with a name", `"Bob" <sip:alice@127.0.0.1:5070;transport=tcp>`, asAlice, 200},
		{"herself, escaped", "<sip:%61lice@127.0.0.1>", asAlice, 200},
		{"bob", "<" + bob + ">", asAlice, 403},
		{"bob, by a name in front", `"alice" <` + bob + ">", asAlice, 403},
		{"herself, in another case", "<sip:Alice@127.0.0.1>", asAlice, 200},
		{"nobody", "<sip:127.0.0.1>", asAlice, 403},
		{"herself, by another name of our domain", "<sip:alice@localhost>", asAlice, 200},
		{"a room", "<sip:chat-1@127.0.0.1>", asAlice, 403},
		{"an alias of nobody", "<sip:sales@127.0.0.1>", asAlice, 403},
	} {
		got := as(tc.from, tc.by)
		if status(got) != tc.status || tc.status == 403 && !strings.Contains(got, "alice@127.0.0.1 may not use the address") {
			t.Errorf("%s: answered\n%s", tc.name, got)
		}
		if tc.status == 200 {
			b.next()
		}
	}
	b.nothing()

	s.sql(`CREATE TABLE dbaliases (id INTEGER PRIMARY KEY, alias_username VARCHAR(64), alias_domain VARCHAR(64), username VARCHAR(64), domain VARCHAR(64))`)
	s.sql(`INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES ('sales', '127.0.0.1', 'alice', '127.0.0.1')`)
	s.eventually("a message of an alias", func() bool { // the absence of the table is remembered for a moment
		return status(as("<sip:sales@127.0.0.1>", asAlice)) == 200
	})
	if got := as("<sip:sales@127.0.0.1>", asBob); status(got) != 403 {
		t.Errorf("another's alias: answered\n%s", got)
	}
}

// TestRegisterAnotherUser checks that To and From of a REGISTER must be the authenticated
// user. Only a trusted peer may register other users.
func TestRegisterAnotherUser(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.trusted = ['127.0.0.7']")
	contact := "Contact: <sip:x@127.0.0.66:9>"
	mallory := s.phone("tcp", "alice")
	for name, tc := range map[string]struct {
		from, to string
		status   int
	}{
		"herself":        {alice, alice, 200},
		"bob":            {alice, bob, 403},
		"bob as bob":     {bob, bob, 403},
		"herself as bob": {bob, alice, 403},
		"somebody new":   {alice, "sip:carol@127.0.0.1", 403},
	} {
		request := strings.Replace(mallory.request("REGISTER", "sip:127.0.0.1", tc.to, "", contact), "From: <"+alice+">", "From: <"+tc.from+">", 1)
		if got := mallory.proven(asAlice, request); status(got) != tc.status {
			t.Errorf("%s: answered\n%s", name, got)
		}
	}
	if s.location.Online(s.aor("bob")) {
		t.Error("bob is online")
	}
	proxy := s.phoneFrom("tcp", "127.0.0.7", "provisioning")
	if got := proxy.ask(proxy.request("REGISTER", "sip:127.0.0.1", bob, "", contact, "Path: <sip:127.0.0.7;lr>")); status(got) != 200 {
		t.Errorf("a trusted third party: answered\n%s", got)
	}
	if !s.location.Online(s.aor("bob")) {
		t.Error("bob is offline")
	}
	// Queries and removals are restricted in the same way.
	for _, more := range [][]string{{}, {"Contact: *", "Expires: 0"}} {
		if got := mallory.proven(asAlice, mallory.request("REGISTER", "sip:127.0.0.1", bob, "", more...)); status(got) != 403 {
			t.Errorf("%v: answered\n%s", more, got)
		}
	}
	if got := mallory.ask(mallory.request("REGISTER", "sip:127.0.0.1", "sip:x@elsewhere.example", "", contact)); status(got) != 404 {
		t.Errorf("another domain: answered\n%s", got)
	}
}

// TestAssertedIdentity checks that P-Asserted-Identity of a trusted peer with the right
// identity is used and forwarded, and that of others is removed.
func TestAssertedIdentity(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.trusted = ['127.0.0.7 identity', '127.0.0.8']")
	b := s.phone("tcp", "bob")
	b.login(asBob)
	const room, carol = "sip:chat-1@127.0.0.1", "<sip:carol@127.0.0.1>"
	believed, plain, a := s.phoneFrom("tcp", "127.0.0.7", "gateway"), s.phoneFrom("tcp", "127.0.0.8", "gateway"), s.phone("tcp", "alice")
	pai := "P-Asserted-Identity: \"Carol\" " + carol
	for _, tc := range []struct {
		name   string
		by     *ua
		more   []string
		passed string
	}{
		{"a peer with the right", believed, []string{pai, "P-Preferred-Identity: <sip:x@y>"}, `"Carol" ` + carol},
		{"for this hop only", believed, []string{pai, "Privacy: header; ID"}, ""},
		{"a peer without the right", plain, []string{pai}, ""},
		{"a user", a, []string{pai, "p-preferred-identity: " + carol}, ""},
	} {
		if got := tc.by.proven(asAlice, tc.by.text(bob, "hello", tc.more...)); status(got) != 200 {
			t.Fatalf("%s: answered\n%s", tc.name, got)
		}
		if m := b.next(); header(m, "P-Asserted-Identity") != tc.passed || header(m, "P-Preferred-Identity") != "" {
			t.Errorf("%s: bob got\n%s", tc.name, m)
		}
	}
	if got := believed.ask(believed.text(room, "#create chat-1", pai)); status(got) != 200 {
		t.Fatalf("create: answered\n%s", got)
	}
	owners := func(owner string) int {
		n := 0
		for _, r := range s.call("imc_list_rooms").Nodes {
			for _, at := range r.Attrs {
				if at.Name == "owner" && strings.Contains(at.Value.(string), owner) {
					n++
				}
			}
		}
		return n
	}
	if owners("carol") != 1 {
		t.Errorf("rooms: %+v", s.call("imc_list_rooms").Nodes[0])
	}
	if got := a.proven(asAlice, a.text("sip:chat-2@127.0.0.1", "#create chat-2", pai)); status(got) != 200 || owners("carol") != 1 || owners("alice") != 1 {
		t.Errorf("alice is %d times carol: answered\n%s", owners("carol")-1, got)
	}
	if got := believed.ask(believed.text(bob, "hello", "P-Asserted-Identity: <sip:")); status(got) != 400 {
		t.Errorf("a bad identity: answered\n%s", got)
	}
}

// TestAssertedIdentityWithoutDigest checks that P-Asserted-Identity of users is removed
// also without authentication.
func TestAssertedIdentityWithoutDigest(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	b.register(300)
	a.message(bob, "hello", "P-Asserted-Identity: <sip:boss@127.0.0.1>")
	if m := b.next(); header(m, "P-Asserted-Identity") != "" {
		t.Errorf("bob got\n%s", m)
	}
}

// TestCredentialsStayHere checks that credentials for silod are removed from relayed and
// stored messages.
func TestCredentialsStayHere(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	a.proven(asAlice, a.text(bob, "stored"))
	b.login(asBob)
	stored := b.next()
	a.proven(asAlice, a.text(bob, "relayed"))
	for _, m := range []string{stored, b.next()} {
		if strings.Contains(m, "uthorization") || strings.Contains(m, "nonce") {
			t.Errorf("bob got\n%s", m)
		}
	}
}

// TestStrangers checks to which recipients senders of other domains may send, and that no
// notice is sent to their From.
func TestStrangers(t *testing.T) {
	t.Parallel()
	const room = "sip:chat-1@127.0.0.1"
	for _, tc := range []struct {
		strangers  string
		user, room int
	}{{"nobody", 403, 403}, {"users", 202, 403}, {"all", 202, 200}} {
		t.Run(tc.strangers, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, "auth.strangers = '"+tc.strangers+"'",
				"silo.from_address = 'sip:registrar@127.0.0.1'", "silo.offline_message = 'offline'", "silo.use_contact = 0")
			victim := listen(t, "127.0.0.3")
			x := s.phone("tcp", "x")
			x.aor = "sip:victim@" + victim.addr()
			if got := x.ask(x.text(bob, "hello")); status(got) != tc.user {
				t.Errorf("to a user: answered\n%s", got)
			}
			if tc.strangers != "all" {
				victim.nothing()
			}
			if got := x.ask(x.text(room, "#create chat-1")); status(got) != tc.room {
				t.Errorf("to a room: answered\n%s", got)
			}
		})
	}
}

// TestOptionsTellStrangersNothing checks that responses to strangers do not show whether a
// user is online.
func TestOptionsTellStrangersNothing(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.trusted = ['127.0.0.7']")
	b := s.phone("tcp", "bob")
	b.login(asBob)
	x, proxy := s.phone("tcp", "x"), s.phoneFrom("tcp", "127.0.0.7", "proxy")
	for user, want := range map[string]int{"bob": 200, "alice": 480} {
		uri := "sip:" + user + "@127.0.0.1"
		if got := x.ask(x.request("OPTIONS", uri, uri, "")); status(got) != 200 {
			t.Errorf("a stranger that asks for %s is answered\n%s", user, got)
		}
		if got := proxy.ask(proxy.request("OPTIONS", uri, uri, "")); status(got) != want {
			t.Errorf("a peer that asks for %s is answered\n%s", user, got)
		}
	}
}
