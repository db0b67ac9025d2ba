package imc_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// inWorld runs f in a synctest bubble with a world.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemStore(), nil)
		defer func() { w.stop() }()
		f(w)
	})
}

// The messages of a command are stored before its answer, and in one commit.
func TestAnswersAreStoredBefore200(t *testing.T) {
	inWorld(t, func(w *world) {
		w.must("alice", "chat-1", "#create")
		for _, tc := range []struct {
			from, says string
			sends      int
			messages   int // to alice and bob
		}{
			{"alice", "#invite bob", 1, 2},
			{"alice", "#list", 1, 1},
			{"alice", "#help", 1, 3},
			{"alice", "hello", 0, 0},
			{"bob", "#deny", 1, 2},
			{"bob", "#deny", 1, 1}, // is refused
		} {
			w.ignore()
			before := w.sends
			w.rooms.Handle(w.t.Context(), w.message(tc.from, "chat-1", "text/plain", tc.says))
			n := len(w.read("alice")) + len(w.read("bob"))
			if w.sends-before != tc.sends || n != tc.messages {
				t.Errorf("%s: %d calls for %d messages, want %d for %d", tc.says, w.sends-before, n, tc.sends, tc.messages)
			}
			w.settleDown()
		}
	})
}

// A command whose answer cannot be stored is answered 503, and a repetition gets the answer.
func TestRepeatedCommandIsAnswered(t *testing.T) {
	for _, tc := range []struct {
		from, says string
		want       map[string]string // the first message of a user
	}{
		{"alice", "#invite dave", map[string]string{"alice": "chat-1: dave has been invited", "dave": "chat-1: alice invites you"}},
		{"alice", "#remove bob", map[string]string{"bob": "chat-1: You have been removed"}},
		{"alice", "#ban bob", map[string]string{"bob": "chat-1: "}},
		{"bob", "#exit", map[string]string{"bob": "chat-1: You have left"}},
		{"carol", "#deny", map[string]string{"alice": "chat-1: carol", "carol": "chat-1: You have declined"}},
		{"bob", "#list", map[string]string{"bob": "chat-1: "}},
	} {
		t.Run(tc.says, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.must("alice", "chat-1", "#create")
				w.must("alice", "chat-1", "#add bob")
				w.must("alice", "chat-1", "#invite carol")
				w.ignore()
				w.full = true
				if r := w.say(tc.from, "chat-1", tc.says); r.Status != 503 || r.RetryAfter == 0 {
					t.Errorf("the answer is %+v", r)
				}
				w.full = false
				w.ignore() // notices to the members
				time.Sleep(10 * time.Second)
				w.must(tc.from, "chat-1", tc.says)
				for user, want := range tc.want {
					if got := w.read(user); len(got) != 1 || !hasPrefix(got[0], want) {
						t.Errorf("%s gets %q, want one message with %q", user, got, want)
					}
				}
			})
		})
	}
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// A late repetition is a new command.
func TestLateRepetition(t *testing.T) {
	inWorld(t, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("alice", "chat-1", "#add bob")
		w.full = true
		w.say("bob", "chat-1", "#exit")
		w.full = false
		w.ignore()
		time.Sleep(2 * time.Minute)
		if r := w.say("bob", "chat-1", "#exit"); r.Status != 500 {
			t.Errorf("the answer is %+v", r)
		}
		if got := w.read("bob"); slices.ContainsFunc(got, func(s string) bool { return hasPrefix(s, "chat-1: You have left") }) {
			t.Errorf("bob gets %q", got)
		}
	})
}
