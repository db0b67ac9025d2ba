package auth

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplay(t *testing.T) {
	a := server(t, Options{})
	challenge := a.Challenge(realm, here)
	for _, tc := range []struct {
		name string
		nc   int
		want Outcome
	}{
		{"the first", 1, Accepted},
		{"the same again", 1, Replayed},
		{"the next", 2, Accepted},
		{"one that overtook", 5, Accepted},
		{"one that was overtaken", 3, Accepted},
		{"that one again", 3, Replayed},
		{"the one that overtook again", 5, Replayed},
		{"a leap", 100, Accepted},
		{"late, but within the window", 100 - windowSize + 1, Accepted},
		{"too late to know", 100 - windowSize, Replayed},
		{"the first, long after", 1, Replayed},
		{"the last there can be", math.MaxUint32, Accepted},
		{"and round", 0, Replayed},
	} {
		res := want(t, verify(t, a, message(alice.answer(challenge, "MESSAGE", bobURI, tc.nc))), tc.want)
		if tc.want == Replayed && !strings.HasSuffix(shape(res), ", stale=true\n") {
			t.Errorf("%s: a client would not try again: %s", tc.name, shape(res))
		}
	}
}

// A wrong answer does not use up a count, or an attacker could use up those of a user.
func TestWrongAnswerUsesNoCount(t *testing.T) {
	a := server(t, Options{})
	challenge := a.Challenge(realm, here)
	want(t, verify(t, a, message(client{name: "alice", password: "x"}.answer(challenge, "MESSAGE", bobURI, 1))), WrongPassword)
	want(t, verify(t, a, message(alice.answer(challenge, "MESSAGE", bobURI, 1))), Accepted)
}

// Answers without a count, like those of Pidgin.
func TestUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pidgin := client{name: "alice", password: "pw-alice", only: []Algorithm{MD5}, noQOP: true}
		a := server(t, Options{})
		challenge := a.Challenge(realm, here)
		send := func(uri string, noQOP bool) Result {
			p := pidgin
			p.noQOP = noQOP
			req := message(p.answer(challenge, "MESSAGE", uri, 1))
			req.URI = uri
			return verify(t, a, req)
		}
		want(t, send(bobURI, true), Accepted)
		want(t, send(bobURI, true), Accepted)
		want(t, send("sip:carol@sip.test", true), Accepted)
		// Another host captured it.
		req := message(pidgin.answer(challenge, "MESSAGE", bobURI, 1))
		req.Source = there
		want(t, verify(t, a, req), Replayed)
		// With counts it would be valid for 2^32 requests.
		want(t, send(bobURI, false), Replayed)

		time.Sleep(time.Minute + time.Second)
		want(t, send(bobURI, true), Stale)
		challenge = a.Challenge(realm, here)
		want(t, send(bobURI, false), Accepted)
		want(t, send(bobURI, true), Replayed) // nor without a count after one with
	})
}

// Nonces that were replaced cannot be replayed either, and new ones are accepted.
func TestForgottenNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity = 4 * replayShards
		a := server(t, Options{Nonces: capacity})
		unused := a.Challenge(realm, here)
		var answers []string
		for range 20 * capacity {
			time.Sleep(time.Millisecond)
			answers = append(answers, alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))
			want(t, verify(t, a, message(answers[len(answers)-1])), Accepted)
		}
		if n := a.used.len(); n > capacity {
			t.Errorf("%d nonces in a table for %d", n, capacity)
		}
		for i, answer := range answers {
			if res := verify(t, a, message(answer)); res.Outcome != Replayed {
				t.Fatalf("answer %d of %d: outcome %v", i, len(answers), res.Outcome)
			}
		}
		// A client with an old nonce has to answer once more.
		res := want(t, verify(t, a, message(alice.answer(unused, "MESSAGE", bobURI, 1))), Replayed)
		want(t, verify(t, a, message(alice.answer(res.Challenges, "MESSAGE", bobURI, 1))), Accepted)
	})
}
