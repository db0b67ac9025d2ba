package auth

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/limit"
	"silod/mi"
)

// guess sends one answer with a wrong password from an address, to a nonce that was made
// for nonceFor.
func guess(t testing.TB, a *Authenticator, nonceFor, from netip.Addr) Result {
	t.Helper()
	req := message(client{name: "alice", password: "wrong"}.answer(a.Challenge(realm, nonceFor), "MESSAGE", bobURI, 1))
	req.Source = from
	return verify(t, a, req)
}

func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		bans := NewBans(BanOptions{
			Failures: limit.Rate{N: 3, Per: time.Minute}, For: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		a := server(t, Options{Bans: bans})
		for i := range 3 {
			want(t, guess(t, a, here, here), WrongPassword)
			if bans.Banned(here) {
				t.Fatalf("banned after %d failures", i+1)
			}
		}
		time.Sleep(20 * time.Second) // in which one of them leaks
		guess(t, a, here, here)
		if bans.Banned(here) {
			t.Error("failures do not leak")
		}
		// Success does not reset the failures.
		want(t, verify(t, a, message(alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))), Accepted)
		guess(t, a, here, here)
		for range 10 {
			guess(t, a, here, here) // of requests that had arrived before
		}
		if !bans.Banned(here) || bans.Banned(there) {
			t.Error("the wrong source is banned")
		}
		if n := strings.Count(log.String(), "source banned for failed authentications"); n != 1 || !strings.Contains(log.String(), "source=192.0.2.1") {
			t.Errorf("logged %d times: %s", n, &log)
		}
		time.Sleep(5*time.Minute - time.Second)
		if !bans.Banned(here) {
			t.Error("the ban ended too early")
		}
		time.Sleep(time.Second)
		if bans.Banned(here) {
			t.Error("the ban has not ended")
		}
		guess(t, a, here, here)
		if bans.Banned(here) {
			t.Error("banned again by one failure")
		}
		// The router counts banned_requests.
		for name, want := range map[string]int64{"failed_guesses": 16, "bans": 1, "banned_requests": 0, "suspects": 1} {
			if got := stat(t, bans.Counters(), name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
	})
}

func stat(t testing.TB, stats []mi.Stat, name string) int64 {
	t.Helper()
	for _, s := range stats {
		if s.Name == name {
			return s.Value()
		}
	}
	t.Fatalf("no statistic %s", name)
	return 0
}

// A forged source address is not banned: the address that received the nonce is charged.
func TestForgedSourceIsNotBanned(t *testing.T) {
	bans := NewBans(BanOptions{Failures: limit.Rate{N: 3, Per: time.Hour}})
	a := server(t, Options{Bans: bans})
	for range 4 {
		guess(t, a, there, here) // the attacker's own nonce, from the victim's address
	}
	if bans.Banned(here) || !bans.Banned(there) {
		t.Errorf("victim banned %v, attacker banned %v", bans.Banned(here), bans.Banned(there))
	}
	// For a nonce through a trusted proxy no source is charged. It is refused elsewhere.
	want(t, guess(t, a, netip.Addr{}, netip.Addr{}), WrongPassword)
	want(t, guess(t, a, netip.Addr{}, here), Stale)
	want(t, guess(t, a, there, netip.Addr{}), WrongPassword)
	if got := bans.Stats.Failures.Value(); got != 5 {
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
	for range 3 {
		bans.fail(limit.NetworkOf(here))
	}
	for i := range 50_000 {
		bans.fail(limit.NetworkOf(address4(i)))
	}
	if n := bans.sources.Len(); n != capacity || !bans.Banned(here) {
		t.Errorf("%d sources remembered, banned %v", n, bans.Banned(here))
	}
}

// registry returns a registry of commands, like the daemon's.
func registry(log *bytes.Buffer, commands ...mi.Command) *mi.Registry {
	r := mi.NewRegistry(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.Add(commands...)
	return r
}

// call runs a command and returns its reply as text lines, or the error.
func call(r *mi.Registry, command string, args ...string) string {
	req := &mi.Request{Command: command}
	for _, a := range args {
		req.Args = append(req.Args, mi.Arg{Value: a})
	}
	n, err := r.Call(context.Background(), req)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	write := func(c *mi.Node) {
		b.WriteString(c.Name)
		for _, a := range c.Attrs {
			fmt.Fprintf(&b, " %s=%v", a.Name, a.Value)
		}
		b.WriteString("\n")
	}
	for _, c := range n.Nodes {
		write(c)
	}
	if n.Stream != nil {
		for c, err := range n.Stream {
			if err != nil {
				return b.String() + err.Error()
			}
			write(c)
		}
	}
	return b.String()
}

func TestBanCommands(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	bans := NewBans(BanOptions{Failures: limit.Rate{N: 1, Per: time.Hour}, For: time.Minute, Now: func() time.Time { return now }})
	r := registry(&bytes.Buffer{}, bans.Commands()...)
	if got := call(r, "ban_list"); got != "" {
		t.Errorf("without bans, listed are %s", got)
	}
	six := netip.MustParseAddr("2001:db8::1")
	for _, addr := range []netip.Addr{here, here, there, six, six} {
		bans.fail(limit.NetworkOf(addr))
		now = now.Add(time.Second)
	}
	const both = "BAN address=192.0.2.1 until=2027-01-15T08:01:01Z seconds=56\n" + "BAN address=2001:db8::/64 until=2027-01-15T08:01:04Z seconds=59\n"
	for _, step := range []struct{ command, arg, want string }{
		{"ban_list", "", both},
		{"ban_lift", "192.0.2.2", "404 192.0.2.2 is not banned"},
		{"ban_lift", "192.0.2.9", "404 192.0.2.9 is not banned"},
		{"ban_lift", "bob", `400 "bob" is not an address: use one that ban_list shows`},
		{"ban_lift", "192.0.2.1", ""},
		{"ban_lift", "192.0.2.1", "404 192.0.2.1 is not banned"},
		{"ban.lift", "2001:db8::/64", ""},
		{"ban.list", "", ""},
	} {
		var args []string
		if step.arg != "" {
			args = []string{step.arg}
		}
		if got := call(r, step.command, args...); got != step.want {
			t.Errorf("%s %s: got %q, want %q", step.command, step.arg, got, step.want)
		}
	}
	if bans.Banned(here) || bans.Banned(six) {
		t.Error("still banned")
	}
	if bans.fail(limit.NetworkOf(here)); bans.Banned(here) {
		t.Error("the failures before are not reset")
	}
}

func TestAgents(t *testing.T) {
	a := NewAgents("friendly-scanner", "sundayddr", "sipcli/", " MyScan ", "")
	for agent, blocked := range map[string]bool{
		"friendly-scanner": true, "Friendly-Scanner/2": true, "sipcli/v1.8": true, "x myscan/1": true,
		strings.Repeat("x", maxAgent-8) + "sundayddr": false, // beyond the part that is searched
		"": false, "Linphonec/5.1.65": false, "MySIPClient/1.0": false, "baresip v1.0.0": false, "Purple/2.14.12": false,
		"sipsak 0.9.8.1": false, "SIPp": false, "SIP.js/0.21.1": false, "JsSIP 3.13.8": false, "Twinkle/1.10.2": false,
	} {
		if a.Match(agent) != blocked {
			t.Errorf("%q: want blocked %v", agent, blocked)
		}
	}
	if n := stat(t, a.Counters(), "blocked_agents"); n != 0 { // the router counts them
		t.Errorf("counted %d", n)
	}
	if a.Configure("other"); a.Match("friendly-scanner") || !a.Match("an OTHER one") {
		t.Error("the list is still the old one")
	}
	if NewAgents().Match("friendly-scanner") || NewAgents("").Match("anything") {
		t.Error("an empty list blocks")
	}
}
