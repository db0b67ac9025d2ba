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

// A million bad requests, from as many addresses and for as many names, take no more
// memory than the capacity of the tables, and users can authenticate all the time.
func TestFlood(t *testing.T) {
	requests := 1_000_000
	if testing.Short() || raceDetector() {
		requests = 50_000 // each takes ten times as long
	}
	const capacity, workers = 2048, 2
	bans := NewBans(BanOptions{Capacity: capacity})
	limits := NewLimits(LimitOptions{Capacity: capacity}, LimitSettings{
		PerSource: map[string]limit.Rate{"": {N: 10, Per: time.Second}},
		PerUser:   map[string]limit.Rate{"": {N: 1_000_000, Per: time.Second}},
	})
	users := testUsers(t)
	cache := NewCache(users, CacheOptions{Size: capacity})
	a := server(t, Options{Credentials: cache, Algorithms: []Algorithm{MD5}, Nonces: capacity, Bans: bans})
	var before, after runtime.MemStats
	flood := func(n, worker int) {
		for i := worker; i < n; i += workers {
			addr := address4(i)
			if bans.Banned(flowFrom(addr)) {
				t.Errorf("%s is banned for the failures of others", addr)
				return
			}
			limits.Source("MESSAGE", Sender{Source: addr, User: sip.AoR{User: "alice", Domain: realm}})
			req := message(badAnswer(a, addr, i))
			req.Source = addr
			if res, err := a.Verify(context.Background(), req); err != nil || res.Outcome == Accepted {
				t.Errorf("outcome %v, %v", res.Outcome, err)
				return
			}
			if i%1000 != worker {
				continue
			}
			good := message(alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))
			good.Flow = flowFrom(here)
			if res, err := a.Verify(context.Background(), good); err != nil || res.Outcome != Accepted {
				t.Errorf("after %d bad requests an user has outcome %v, %v", i, res.Outcome, err)
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
	run(8 * capacity) // fills the tables
	runtime.ReadMemStats(&before)
	run(requests)
	runtime.ReadMemStats(&after)

	for name, n := range map[string]int{
		"users at sources with failures": bans.pairs.Len(), "sources with failures": bans.sources.Len(), "users with failures": bans.users.Len(),
		"failed nonces": bans.tries.nonces.Len(), "claims of users": int(limits.claims.Load().len()), "names of no user": cache.unknown.Len(), "sources": int(limits.sources.Load().len()),
	} {
		if n > capacity || n < capacity/2 {
			t.Errorf("%d %s in a table for %d", n, name, capacity)
		}
	}
	if a.used.len() > capacity || cache.known.Len() > 4 || limits.users.Load().len() != 1 || len(cache.lookups) != 0 {
		t.Errorf("%d nonces, %d users, %d users' meters, %d look-ups", a.used.len(), cache.known.Len(), limits.users.Load().len(), len(cache.lookups))
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if a.Stats.Accepted.Value() == 0 || a.Stats.Unknown.Value() == 0 || a.Stats.Wrong.Value() == 0 || a.Stats.Stale.Value() == 0 {
		t.Errorf("not all outcomes occurred: %+v", &a.Stats)
	}
}

// badAnswer returns, depending on i, an answer with an unknown user, a wrong password, a
// foreign nonce, or one that cannot be read.
func badAnswer(a *Authenticator, addr netip.Addr, i int) string {
	name := "alice"
	nonce, _ := a.nonces.issue(realm, limit.NetworkOf(addr))
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

// raceDetector reports whether the test was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func BenchmarkVerify(b *testing.B) {
	a := server(b, Options{Credentials: NewCache(testUsers(b), CacheOptions{})})
	challenge := a.Challenge(realm, here)
	for _, bc := range []struct {
		name   string
		client client
	}{{"wrong", client{name: "alice", password: "x"}}, {"unknown", client{name: "nobody", password: "x"}}, {"replayed", alice}} {
		req := message(bc.client.answer(challenge, "MESSAGE", bobURI, 1))
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
