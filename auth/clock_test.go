package auth

import (
	"testing"
	"time"
)

// A setClock is a clock of the system that can be set.
type setClock struct{ now time.Time }

func (c *setClock) read() time.Time { return c.now }

// set sets the clock as an administrator does: the monotonic reading of time.Time does not change,
// and that of an injected clock has none.
func (c *setClock) set(by time.Duration) { c.now = c.now.Round(0).Add(by) }

func fresh(a *Authenticator) string {
	return alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
}

// Setting the clock locks no user out, also if the table of nonces is full, and makes no captured
// answer valid again.
func TestClockIsSet(t *testing.T) {
	c := &setClock{time.Unix(1_800_000_000, 0)}
	a := server(t, Options{Now: c.read, Nonces: 1024})
	var used []string
	for range 3000 {
		c.now = c.now.Add(10 * time.Millisecond)
		used = append(used, fresh(a))
		want(t, verify(t, a, message(used[len(used)-1])), Accepted)
	}
	for _, by := range []time.Duration{-10 * time.Minute, 5 * time.Hour, -24 * time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		c.set(by)
		for range 100 {
			used = append(used, fresh(a))
			want(t, verify(t, a, message(used[len(used)-1])), Accepted)
		}
		for i, answer := range used {
			if res := verify(t, a, message(answer)); res.Outcome != Replayed && res.Outcome != Stale {
				t.Fatalf("clock set by %v: answer %d of %d: outcome %v", by, i, len(used), res.Outcome)
			}
		}
	}
}

// Nonces do not become older or younger when the clock is set.
func TestNoncesKeepTheirAge(t *testing.T) {
	c := &setClock{time.Unix(1_800_000_000, 0)}
	a := server(t, Options{Now: c.read})
	answer := fresh(a)
	c.set(-time.Hour)
	c.now = c.now.Add(9 * time.Minute)
	want(t, verify(t, a, message(answer)), Accepted)
	answer = fresh(a)
	c.now = c.now.Add(9 * time.Minute)
	want(t, verify(t, a, message(answer)), Accepted)
	answer = fresh(a)
	c.now = c.now.Add(11 * time.Minute)
	want(t, verify(t, a, message(answer)), Stale)
}

// Nodes with one secret, and a process and the next, accept each other's nonces as far as their
// clocks agree. If they do not, the client has to answer once more.
func TestNoncesOfOthers(t *testing.T) {
	secret := []byte("a secret of 16 b")
	c := &setClock{time.Unix(1_800_000_000, 0)}
	node := func(by time.Duration) *Authenticator {
		return server(t, Options{Secret: secret, Nonces: replayShards, Now: func() time.Time { return c.now.Add(by) }})
	}
	first := node(0)
	for by, outcome := range map[time.Duration]Outcome{
		0: Accepted, 30 * time.Second: Accepted, -30 * time.Second: Accepted, 9 * time.Minute: Accepted, 11 * time.Minute: Stale, -time.Hour: Stale,
	} {
		other := node(by)
		for range 3 * replayShards { // its table is full
			c.now = c.now.Add(time.Millisecond)
			want(t, verify(t, other, message(fresh(other))), Accepted)
		}
		answer := fresh(first)
		res := want(t, verify(t, other, message(answer)), outcome)
		if outcome == Accepted {
			want(t, verify(t, other, message(answer)), Replayed)
		} else {
			want(t, verify(t, other, message(alice.answer(res.Challenges, "MESSAGE", bobURI, 1))), Accepted)
		}
	}
	// A node whose clock was set back sends nonces that look old elsewhere.
	other := node(0)
	for range 3 * replayShards {
		c.now = c.now.Add(time.Millisecond)
		want(t, verify(t, other, message(fresh(first))), Accepted)
	}
	behind := node(-5 * time.Minute)
	res := want(t, verify(t, other, message(fresh(behind))), Replayed)
	want(t, verify(t, other, message(alice.answer(res.Challenges, "MESSAGE", bobURI, 1))), Accepted)
}

// The default table holds an hour of 1,000 phones that answer a new challenge each minute, and is
// full then. Setting the clock back makes no difference.
func TestAnHourOfPhones(t *testing.T) {
	phones := 1000
	if testing.Short() || raceDetector() {
		phones = 50
	}
	c := &setClock{time.Unix(1_800_000_000, 0)}
	a := server(t, Options{Now: c.read, Algorithms: []Algorithm{MD5}, Nonces: phones << 16 / 1000})
	for range 66 * phones {
		c.now = c.now.Add(time.Minute / time.Duration(phones))
		want(t, verify(t, a, message(fresh(a))), Accepted)
	}
	c.set(-10 * time.Minute)
	for range 2 * phones {
		c.now = c.now.Add(time.Minute / time.Duration(phones))
		want(t, verify(t, a, message(fresh(a))), Accepted)
	}
}
