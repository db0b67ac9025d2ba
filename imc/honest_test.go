package imc_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestWithdrawnInvitation withdraws an invitation by mistake. Another #invite makes it valid again; the
// user gets no other message.
func TestWithdrawnInvitation(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		w.must("alice", "chat-1", "#create private")
		for range 5 {
			w.must("alice", "chat-1", "#invite bob")
			w.must("alice", "chat-1", "#remove bob")
		}
		if r := w.say("bob", "chat-1", "#accept"); r.Status != 500 {
			w.t.Errorf("a withdrawn invitation is accepted: %d", r.Status)
		}
		w.must("alice", "chat-1", "#invite bob")
		if n := strings.Count(strings.Join(w.read("bob"), "\n"), "invites you"); n != 1 {
			w.t.Errorf("bob gets %d invitations", n)
		}
		w.must("bob", "chat-1", "#accept")

		w.must("alice", "chat-1", "#invite carol")
		w.must("alice", "chat-1", "#remove carol")
		w.must("alice", "chat-1", "#invite carol")
		w.must("carol", "chat-1", "#deny")
		if r := w.say("alice", "chat-1", "#invite carol"); r.Reason != "Invited a short time ago" {
			w.t.Errorf("after #deny, #invite is answered %d %s", r.Status, r.Reason)
		}
	})
}

// TestTeams adds a team of 40 to three rooms, and a class of 150 to another, within an hour.
func TestTeams(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		for room, people := range []int{40, 40, 40, 150} {
			name := fmt.Sprint("chat-", room)
			w.must("alice", name, "#create")
			for i := range people {
				w.must("alice", name, fmt.Sprint("#add person", i))
			}
		}
	})
}
