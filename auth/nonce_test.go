package auth

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/limit"
)

func TestNonceLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := server(t, Options{Life: 5 * time.Minute})
		challenge := a.Challenge(realm, here)
		time.Sleep(5 * time.Minute)
		want(t, verify(t, a, message(alice.answer(challenge, "MESSAGE", bobURI, 1))), Accepted)
		time.Sleep(time.Second)
		// The challenge has the algorithm of the answer, which the client supports.
		p := alice
		p.only = []Algorithm{MD5}
		for _, p := range []client{alice, p, {name: "nobody", password: "x"}} {
			res := want(t, verify(t, a, message(p.answer(challenge, "MESSAGE", bobURI, 2))), Stale)
			if len(res.Challenges) != 1 || !strings.HasSuffix(res.Challenges[0], ", stale=true") {
				t.Errorf("answered by %q", res.Challenges)
			}
			if res = verify(t, a, message(p.answer(res.Challenges, "MESSAGE", bobURI, 1))); (res.Outcome == Accepted) != (p.name == "alice") {
				t.Errorf("%s: outcome %v", p.name, res.Outcome)
			}
		}
	})
}

// For a foreign nonce no user is looked up, and no source is charged.
func TestForeignNonces(t *testing.T) {
	secret := []byte("a secret of 16 b")
	users := testUsers(t)
	bans := NewBans(BanOptions{})
	a := server(t, Options{Credentials: users, Secret: secret, Bans: bans})
	issue := func(a *Authenticator, realm string) string {
		text, _ := a.nonces.issue(realm, limit.NetworkOf(here))
		return text
	}
	text := issue(a, realm)
	for _, tc := range []struct{ name, nonce string }{
		{"of another secret", issue(server(t, Options{}), realm)},
		{"of another realm", issue(a, "second.test")},
		{"a byte changed", flip(text, 20)},
		{"another network", flip(text, 30)},
		{"another time", flip(text, 8)},
		{"another mac", flip(text, 47)},
		{"cut", text[:len(text)-4]},
		{"longer", text + "AAAA"},
		{"no base64", strings.Repeat("*", len(text))},
		{"one letter", "x"},
		{"Kamailio's", "awIdSWsCHB3cGRkrTShsPaYqRMXWVrGO"},
	} {
		challenge := []string{`Digest realm="sip.test", nonce="` + tc.nonce + `", qop="auth", algorithm=MD5`}
		if tc.nonce == text {
			t.Fatal(tc.name)
		}
		want(t, verify(t, a, message(alice.answer(challenge, "MESSAGE", bobURI, 1))), Stale)
	}
	if users.asked.Load() != 0 || bans.Stats.Failures.Value() != 0 {
		t.Errorf("%d look-ups, %d charges", users.asked.Load(), bans.Stats.Failures.Value())
	}
	// A second node with the same secret accepts it if its clock agrees.
	node := func(offset time.Duration) *Authenticator {
		return server(t, Options{Secret: secret, Now: func() time.Time { return time.Now().Add(offset) }})
	}
	answer := alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
	want(t, verify(t, node(0), message(answer)), Accepted)
	want(t, verify(t, node(-30*time.Second), message(answer)), Accepted)
	want(t, verify(t, node(-2*time.Minute), message(answer)), Stale)
}

// flip changes the character at i.
func flip(s string, i int) string {
	b := []byte(s)
	if b[i]++; b[i] == 'z'+1 || b[i] == 'Z'+1 || b[i] == '9'+1 {
		b[i] = 'A'
	}
	return string(b)
}

func TestBindSource(t *testing.T) {
	for _, bind := range []bool{false, true} {
		a := server(t, Options{BindSource: bind})
		challenge := a.Challenge(realm, netip.MustParseAddr("2001:db8::1"))
		for i, tc := range []struct {
			from string
			same bool
		}{{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8:0:1::1", false}, {"192.0.2.1", false}} {
			req := message(alice.answer(challenge, "MESSAGE", bobURI, i+1))
			req.Source = netip.MustParseAddr(tc.from)
			if res := verify(t, a, req); (res.Outcome == Accepted) != (tc.same || !bind) {
				t.Errorf("bound %v, from %s: outcome %v", bind, tc.from, res.Outcome)
			}
		}
	}
}
