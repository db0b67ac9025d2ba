package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/limit"
	"silod/sip"
)

// guess sends one answer with a wrong password from an address, to a nonce that was made
// for nonceFor.
func guess(t testing.TB, a *Authenticator, nonceFor, from netip.Addr) Result {
	t.Helper()
	req := message(client{name: "alice", password: "wrong"}.answer(a.Challenge(realm, nonceFor), "MESSAGE", bobURI, 1))
	req.Source = from
	return verify(t, a, req)
}

// flowFrom returns a TCP flow from an address.
func flowFrom(addr netip.Addr) sip.Flow {
	return sip.Flow{Transport: sip.TCP, Remote: netip.AddrPortFrom(addr, 5060), Conn: 1}
}

// guessAs fails to log in as a user.
func guessAs(t testing.TB, a *Authenticator, name string, from netip.Addr) Result {
	t.Helper()
	req := message(client{name: name, password: "wrong"}.answer(a.Challenge(realm, from), "MESSAGE", bobURI, 1))
	req.Source = from
	return verify(t, a, req)
}

// loginFrom logs a user in over a flow.
func loginFrom(t testing.TB, a *Authenticator, c client, flow sip.Flow) Result {
	t.Helper()
	req := message(c.answer(a.Challenge(realm, flow.Remote.Addr()), "MESSAGE", bobURI, 1))
	req.Source, req.Flow = flow.Remote.Addr(), flow
	return verify(t, a, req)
}

// A user with too many failures at one source is banned there, and other users are not.
func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		bans := NewBans(BanOptions{
			Failures: limit.Rate{N: 3, Per: time.Minute}, For: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		a := server(t, Options{Bans: bans})
		for range 3 {
			want(t, guess(t, a, here, here), WrongPassword)
		}
		time.Sleep(20 * time.Second) // in which one of them leaks
		want(t, guess(t, a, here, here), WrongPassword)
		// Success does not reset the failures.
		want(t, verify(t, a, message(alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))), Accepted)
		want(t, guess(t, a, here, here), WrongPassword)
		for range 10 {
			if res := want(t, guess(t, a, here, here), Banned); res.Wait != 5*time.Minute {
				t.Errorf("banned for %v", res.Wait)
			}
		}
		want(t, loginFrom(t, a, alice, flowFrom(here)), Banned) // with the right password too
		want(t, loginFrom(t, a, alice, flowFrom(there)), Accepted)
		want(t, loginFrom(t, a, bob, flowFrom(here)), Accepted)
		if bans.Banned(flowFrom(here)) || bans.Banned(flowFrom(there)) {
			t.Error("a source is banned for one user")
		}
		if n := strings.Count(log.String(), "user banned at a source for failed logins"); n != 1 ||
			!strings.Contains(log.String(), "user=sip:alice@sip.test source=192.0.2.1") {
			t.Errorf("logged %d times: %s", n, &log)
		}
		time.Sleep(5*time.Minute - time.Second)
		want(t, guess(t, a, here, here), Banned)
		time.Sleep(time.Second)
		want(t, guess(t, a, here, here), WrongPassword)
		want(t, loginFrom(t, a, alice, flowFrom(here)), Accepted) // not banned again by one failure
		for name, want := range map[string]int64{"failed_guesses": 6, "bans": 1, "banned_requests": 0, "banned_logins": 12, "suspects": 1} {
			if got := stat(t, bans.Counters(), name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
	})
}

// Guesses of others behind the same address do not shut out a connection over which the user has
// logged in. Guesses over such a connection, or by a forged source, are limited too.
func TestConnectedUserIsNotBanned(t *testing.T) {
	for _, flow := range []sip.Flow{flowFrom(here), {Transport: sip.UDP, Remote: netip.AddrPortFrom(here, 1024)}} {
		bans := NewBans(BanOptions{Failures: limit.Rate{N: 3, Per: time.Hour}})
		a := server(t, Options{Bans: bans, Algorithms: []Algorithm{MD5}})
		want(t, loginFrom(t, a, alice, flow), Accepted)
		for range 5 {
			guess(t, a, here, here)
		}
		want(t, loginFrom(t, a, alice, flow), Accepted)
		want(t, loginFrom(t, a, bob, flow), Accepted)
		want(t, loginFrom(t, a, alice, flow), Accepted)
		want(t, guess(t, a, here, here), Banned)

		// The nonce is one of the attacker's, and the attacker is banned.
		for range 5 {
			guess(t, a, there, there)
		}
		forged := message(client{name: "alice", password: "x"}.answer(a.Challenge(realm, there), "MESSAGE", bobURI, 1))
		forged.Flow = flow
		want(t, verify(t, a, forged), Banned)
		want(t, loginFrom(t, a, alice, flow), Accepted)

		thief := client{name: "alice", password: "x"}
		want(t, loginFrom(t, a, thief, flow), WrongPassword)
		want(t, loginFrom(t, a, thief, flow), Banned)
		want(t, loginFrom(t, a, bob, flow), Accepted)
	}
}

// A scanner that tries many users is banned as a source, whether they exist or not; not so the
// flows over which users have logged in.
func TestScannerIsBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bans := NewBans(BanOptions{Failures: limit.Rate{N: 3, Per: time.Hour}, For: 5 * time.Minute})
		a := server(t, Options{Bans: bans})
		old := flowFrom(here)
		want(t, loginFrom(t, a, alice, old), Accepted)
		phone := sip.Flow{Transport: sip.UDP, Local: netip.MustParseAddrPort("192.0.2.9:5060"), Remote: netip.AddrPortFrom(here, 1024)}
		want(t, loginFrom(t, a, bob, phone), Accepted)
		for i, name := range []string{"u1", "u1", "alice", "U1@sip.test", "u2", "u2", "bob@sip.test", "x@elsewhere.example"} {
			if guessAs(t, a, name, here); bans.Banned(sip.Flow{Transport: sip.TCP, Remote: old.Remote, Conn: 2}) {
				t.Fatalf("banned after %d guesses", i+1)
			}
		}
		guessAs(t, a, "u3", here)
		unknown := old
		unknown.Conn = 2
		otherPort := phone
		otherPort.Remote = netip.AddrPortFrom(here, 1025)
		elsewhere := phone
		elsewhere.Local = netip.MustParseAddrPort("192.0.2.10:5060") // another address of ours
		for flow, want := range map[sip.Flow]bool{unknown: true, otherPort: true, old: false, phone: false, elsewhere: false, flowFrom(there): false} {
			if bans.Banned(flow) != want {
				t.Errorf("%v: banned %v", flow, !want)
			}
		}
		// Over these, only users log in that have done so from there.
		want(t, loginFrom(t, a, alice, old), Accepted)
		want(t, loginFrom(t, a, bob, old), Accepted)
		want(t, loginFrom(t, a, client{name: "carol", password: "pw-carol", only: []Algorithm{MD5}}, old), Banned)
		want(t, loginFrom(t, a, client{name: "u9", password: "x"}, old), Banned)
		time.Sleep(5 * time.Minute)
		if bans.Banned(unknown) {
			t.Error("the ban has not ended")
		}
		want(t, loginFrom(t, a, client{name: "carol", password: "pw-carol", only: []Algorithm{MD5}}, old), Accepted)
	})
}

// Guesses at one user from many addresses are slowed down, and do not keep the user out of places
// where the user has logged in lately.
func TestManyGuessAtOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bans := NewBans(BanOptions{PerUser: limit.Rate{N: 10, Per: time.Minute}})
		a := server(t, Options{Bans: bans})
		want(t, loginFrom(t, a, alice, flowFrom(there)), Accepted)
		for _, name := range []string{"alice", "nobody"} {
			for i := range 10 {
				guessAs(t, a, name, address4(i))
			}
			for i := range 100 {
				if res := want(t, guessAs(t, a, name, address4(100+i)), Delayed); res.Wait != 6*time.Second {
					t.Fatalf("%s waits for %v", name, res.Wait)
				}
			}
		}
		want(t, loginFrom(t, a, alice, flowFrom(here)), Delayed)
		want(t, loginFrom(t, a, alice, flowFrom(there)), Accepted)
		want(t, loginFrom(t, a, bob, flowFrom(here)), Accepted)
		want(t, guessAs(t, a, "alice", there), WrongPassword) // not counted against alice, but there
		time.Sleep(6 * time.Second)
		want(t, loginFrom(t, a, alice, flowFrom(here)), Accepted)
		want(t, guessAs(t, a, "alice", address4(1)), WrongPassword)
		want(t, guessAs(t, a, "alice", address4(1)), Delayed)
		bans.Remember(aor(t, "alice"), flowFrom(address4(7))) // as of a binding that a restart has found
		want(t, loginFrom(t, a, alice, flowFrom(address4(7))), Accepted)
		time.Sleep(lately)
		for i := range 10 {
			guessAs(t, a, "alice", address4(i))
		}
		another := flowFrom(there)
		another.Conn = 2
		want(t, loginFrom(t, a, alice, another), Delayed) // the login was too long ago
		want(t, loginFrom(t, a, alice, flowFrom(there)), Accepted)
	})
}

// A login counts once, whatever the number of algorithms and copies of the request.
func TestOneLoginCountsOnce(t *testing.T) {
	bans := NewBans(BanOptions{Failures: limit.Rate{N: 1000, Per: time.Hour}})
	before := int64(0)
	counted := func(want int64, why string) {
		t.Helper()
		n := bans.Stats.Failures.Value()
		if n-before != want {
			t.Errorf("%s: counted %d times, want %d", why, n-before, want)
		}
		before = n
	}
	a := server(t, Options{Bans: bans, Algorithms: []Algorithm{SHA512256, SHA256, MD5}})
	for _, name := range []string{"alice", "nobody"} {
		wrong := client{name: name, password: "wrong"}
		if n := len(wrong.attempt(t, a, here)); n != 4 {
			t.Fatalf("%d requests", n)
		}
		counted(1, "all algorithms, one after the other")
		challenge := a.Challenge(realm, here)
		for i, alg := range Algorithms() {
			wrong.only = []Algorithm{alg}
			answer := wrong.answer(challenge, "MESSAGE", bobURI, 1)
			for range 3 {
				verify(t, a, message(answer, answer)) // copies, with both headers
			}
			counted(int64(max(0, 1-i)), "all algorithms for one nonce")
		}
		wrong.password = "another"
		verify(t, a, message(wrong.answer(challenge, "MESSAGE", bobURI, 1)))
		counted(1, "another password for that nonce")
		wrong.only = nil
		results := wrong.attempt(t, a, here)
		counted(1, "the next login")
		// The challenge that continues a login is good for one more failure with each algorithm.
		for i := range 5 {
			last := client{name: name, password: fmt.Sprint(i), only: []Algorithm{MD5}}
			verify(t, a, message(last.answer(results[2].Challenges, "MESSAGE", bobURI, 1)))
		}
		counted(5, "guesses for a challenge that was answered")
	}
}

// A forged source address is not banned: the address that received the nonce is charged.
func TestForgedSourceIsNotBanned(t *testing.T) {
	bans := NewBans(BanOptions{Failures: limit.Rate{N: 3, Per: time.Hour}})
	a := server(t, Options{Bans: bans})
	for range 4 {
		want(t, guess(t, a, there, here), WrongPassword) // the attacker's own nonce, from the victim's address
	}
	want(t, guess(t, a, there, here), Banned)
	want(t, guess(t, a, here, here), WrongPassword)
	want(t, loginFrom(t, a, alice, flowFrom(here)), Accepted)
	want(t, loginFrom(t, a, alice, flowFrom(there)), Banned)
	for i := range 9 { // as a scanner
		req := message(client{name: fmt.Sprint("u", i), password: "x"}.answer(a.Challenge(realm, there), "MESSAGE", bobURI, 1))
		verify(t, a, req)
	}
	if victim, attacker := bans.Banned(flowFrom(address4(1))), bans.Banned(flowFrom(there)); victim || !attacker {
		t.Errorf("victim banned %v, attacker banned %v", victim, attacker)
	}
	// For a nonce through a trusted proxy no source is charged. It is refused elsewhere.
	before := bans.Stats.Failures.Value()
	want(t, guess(t, a, netip.Addr{}, netip.Addr{}), WrongPassword)
	want(t, guess(t, a, netip.Addr{}, here), Stale)
	if got := bans.Stats.Failures.Value() - before; got != 0 {
		t.Errorf("%d failures charged", got)
	}
}

// A client that prefers an algorithm for which the user has no HA1 is not charged.
func TestMissingHA1IsNotCharged(t *testing.T) {
	bans := NewBans(BanOptions{})
	a := server(t, Options{Bans: bans})
	want(t, carol.attempt(t, a, here)[2], Accepted)
	if n := bans.Stats.Failures.Value(); n != 0 {
		t.Errorf("%d failures charged", n)
	}
}

func TestBansAreBounded(t *testing.T) {
	const capacity = 1024
	bans := NewBans(BanOptions{Failures: limit.Rate{N: 2, Per: time.Hour}, Capacity: capacity})
	a := server(t, Options{Bans: bans})
	scan := func(from netip.Addr, user string) {
		bans.fail(sip.AoR{User: user, Domain: realm}, limit.NetworkOf(from), sip.Flow{}, false)
	}
	for i := range 3 {
		scan(here, fmt.Sprint("u", i))
		scan(there, "alice")
	}
	for i := range 50_000 {
		user := sip.AoR{User: fmt.Sprint("u", i), Domain: realm}
		scan(address4(i), user.User)
		bans.Remember(user, flowFrom(address4(i)))
		bans.repeated(nonceID{byte(i), byte(i >> 8)}, MD5, "x")
	}
	scan(there, strings.Repeat("long", 1000))
	for name, n := range map[string]int{
		"users at a source": bans.pairs.Len(), "sources": bans.sources.Len(), "users": bans.users.Len(), "nonces": bans.tries.nonces.Len(),
		"logins": bans.familiar.Len(), "flows": bans.flows.Len(),
	} {
		if n != capacity {
			t.Errorf("%d %s remembered", n, name)
		}
	}
	if !bans.Banned(flowFrom(here)) || loginFrom(t, a, alice, flowFrom(there)).Outcome != Banned {
		t.Error("a flood of others ends a ban")
	}
	for _, p := range bans.pairs.Select(func(p pair, _ *offender) bool { return len(p.user.User) > maxCounted }) {
		t.Errorf("a name of %d bytes is remembered", len(p.Key.user.User))
	}
}
