package auth

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"silod/limit"
	"silod/sip"
)

// A million bad requests, from as many addresses and for as many names, leave behind
// what the tables have room for and no more, and meanwhile honest users get in.
func TestFlood(t *testing.T) {
	requests := 1_000_000
	if testing.Short() || raceDetector() {
		requests = 50_000 // each takes ten times as long
	}
	const room, workers = 2048, 2
	bans := NewBans(BanOptions{Capacity: room})
	limits := NewLimits(LimitOptions{Capacity: room}, LimitSettings{
		PerSource: map[string]limit.Rate{"": {N: 10, Per: time.Second}},
		PerUser:   map[string]limit.Rate{"": {N: 1_000_000, Per: time.Second}},
	})
	town := town(t)
	cache := NewCache(town, CacheOptions{Size: room})
	a := server(t, Options{Credentials: cache, Algorithms: []Algorithm{MD5}, Nonces: room, Bans: bans})
	var before, after runtime.MemStats
	flood := func(n, worker int) {
		for i := worker; i < n; i += workers {
			addr := address4(i)
			if bans.Banned(addr) {
				t.Errorf("%s is banned for the deeds of others", addr)
				return
			}
			limits.Source("MESSAGE", addr)
			req := message(badAnswer(a, addr, i))
			req.Source = addr
			if res, err := a.Verify(context.Background(), req); err != nil || res.Outcome == Accepted {
				t.Errorf("outcome %v, %v", res.Outcome, err)
				return
			}
			if i%1000 != worker {
				continue
			}
			honest := message(alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))
			if res, err := a.Verify(context.Background(), honest); err != nil || res.Outcome != Accepted {
				t.Errorf("after %d bad requests an honest user has outcome %v, %v", i, res.Outcome, err)
				return
			}
			limits.User("MESSAGE", sip.AoR{User: "alice", Domain: realm})
		}
	}
	run := func(n int) {
		var done sync.WaitGroup
		for w := range workers {
			done.Go(func() { flood(n, w) })
		}
		done.Wait()
		runtime.GC()
	}
	run(8 * room) // fills the tables
	runtime.ReadMemStats(&before)
	run(requests)
	runtime.ReadMemStats(&after)

	for name, n := range map[string]int{
		"sources with failures": bans.sources.Len(), "names of no user": cache.unknown.Len(), "sources": int(limits.sources.Load().len()),
	} {
		if n > room || n < room/2 {
			t.Errorf("%d %s are remembered, of room for %d", n, name, room)
		}
	}
	if a.used.len() > room || cache.known.Len() > 4 || limits.users.Load().len() != 1 || len(cache.flights) != 0 {
		t.Errorf("%d nonces, %d users, %d users' rates, %d look-ups", a.used.len(), cache.known.Len(), limits.users.Load().len(), len(cache.flights))
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if a.Stats.Accepted.Value() == 0 || a.Stats.Unknown.Value() == 0 || a.Stats.Wrong.Value() == 0 || a.Stats.Stale.Value() == 0 {
		t.Errorf("not all kinds of requests were there: %+v", &a.Stats)
	}
}

// badAnswer is an answer of each kind in turn: a name of nobody, a wrong password, a
// nonce that is not ours, one that cannot be read.
func badAnswer(a *Authenticator, addr netip.Addr, i int) string {
	nonce, name := a.nonces.issue(realm, limit.NetworkOf(addr)), "alice"
	switch i % 8 {
	case 5:
	case 6:
		nonce = "awIdSWsCHB3cGRkrTShsPaYqRMXWVrGO"
	case 7:
		return "Digest username=" + nonce
	default:
		name = fmt.Sprintf("nobody%d", i)
	}
	return `Digest username="` + name + `", realm="sip.test", nonce="` + nonce +
		`", uri="sip:bob@sip.test", response="00000000000000000000000000000000", qop=auth, nc=00000001, cnonce="c"`
}

// raceDetector tells whether the test was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func BenchmarkVerify(b *testing.B) {
	a := server(b, Options{Credentials: NewCache(town(b), CacheOptions{})})
	challenge := a.Challenge(realm, here)
	for _, bc := range []struct {
		name  string
		phone phone
	}{{"wrong", phone{name: "alice", password: "x"}}, {"unknown", phone{name: "nobody", password: "x"}}, {"replayed", alice}} {
		req := message(bc.phone.answer(challenge, "MESSAGE", bobURI, 1))
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Verify(context.Background(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("challenge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.Challenge(realm, here)
		}
	})
}
