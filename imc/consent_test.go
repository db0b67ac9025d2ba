package imc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/sip"
)

// count returns how often a user got a message that contains text.
func (w *world) count(user, text string) (n int) {
	for _, line := range w.read(user) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// TestInvitationLimits checks the limits for invitations and additions, per inviter, per invited
// user and per room.
func TestInvitationLimits(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		t := w.t
		invite := func(by string, room int, user string) imc.Reply {
			t.Helper()
			name := fmt.Sprint("chat-", room)
			w.say(by, name, "#create")
			return w.say(by, name, "#invite "+user)
		}
		// Of the invitations of one user to another, five may be unanswered.
		for i := range 8 {
			want := 200
			if i >= 5 {
				want = 500
			}
			if got := invite("mallory", i, "bob"); got.Status != want {
				t.Errorf("invitation %d of mallory: %d %s", i, got.Status, got.Reason)
			}
		}
		// Others can still invite bob, up to 50.
		sent := 0
		for i := range 60 {
			if invite(fmt.Sprint("friend", i), 100+i, "bob").Status == 200 {
				sent++
			}
		}
		if sent != 45 {
			t.Errorf("%d friends could invite bob, want 45", sent)
		}
		if n := w.count("bob", "invites you"); n != 50 {
			t.Errorf("bob has got %d invitations", n)
		}

		// A user invites and adds at most 300 others at once.
		w.must("mallory", "chat-900", "#create")
		ok := 0
		for i := range 350 {
			r := w.say("mallory", "chat-900", []string{"#invite ", "#add "}[i%2]+fmt.Sprint("user", i))
			if r.Status == 200 {
				ok++
			} else if r.Reason != "Too many invitations" || r.RetryAfter <= 0 {
				t.Fatalf("answered %+v", r)
			}
		}
		if ok < 290 || ok > 300 {
			t.Errorf("mallory has invited and added %d users", ok)
		}
		time.Sleep(time.Hour)
		w.must("mallory", "chat-900", "#add late")
	})
}

// TestAdditionsCountForTheAdder checks that a user cannot add any number of members, and that an
// operator can.
func TestAdditionsCountForTheAdder(t *testing.T) {
	onMemory(t, func(c *imc.Config) { c.MaxRoomsPerUser = 1 }, func(w *world, _ *memStore) {
		t := w.t
		w.must("mallory", "chat-1", "#create")
		for i := range 12 {
			r := w.say("mallory", "chat-1", fmt.Sprint("#add user", i))
			if want := i < 10; (r.Status == 200) != want {
				t.Errorf("addition %d: %d %s", i, r.Status, r.Reason)
			}
		}
		w.must("user0", "chat-2", "#create") // the limit of the victim is its own
		w.crash()
		if r := w.say("mallory", "chat-1", "#add user20"); r.Reason != "Too many users added" {
			t.Errorf("after a restart: %d %s", r.Status, r.Reason)
		}
		w.must("user0", "chat-1", "#exit")
		w.must("mallory", "chat-1", "#add user20")
		w.must("user20", "chat-3", "#create")
		w.must("user20", "chat-3", "#destroy")
		w.must("user20", "chat-4", "#create")
	})
}

// TestFailedInvitationIsRepeated checks that an invitation that was not stored can be sent again at
// once.
func TestFailedInvitationIsRepeated(t *testing.T) {
	onMemory(t, nil, func(w *world, st *memStore) {
		w.must("alice", "chat-1", "#create")
		for _, command := range []string{"#invite bob", "#add carol"} {
			st.fails = func(string) error { return imc.ErrBusy }
			for range 3 {
				if r := w.say("alice", "chat-1", command); r.Status != 503 {
					w.t.Errorf("%s is answered %d %s without a database", command, r.Status, r.Reason)
				}
			}
			st.fails = nil
			w.must("alice", "chat-1", command)
		}
	})
}

// TestBlocksAreBounded checks that a user can block a limited number of rooms and users, and leave
// any number of rooms.
func TestBlocksAreBounded(t *testing.T) {
	onMemory(t, nil, func(w *world, st *memStore) {
		t := w.t
		for i := range 110 {
			r := w.say("bob", "chat-manager", fmt.Sprint("#block user", i))
			if want := i < 100; (r.Status == 200) != want {
				t.Errorf("block %d: %d %s", i, r.Status, r.Reason)
			}
			room := fmt.Sprint("chat-", i)
			w.must(fmt.Sprint("owner", i), room, "#create")
			w.must("bob", room, "#join")
			w.must("bob", room, "#exit")
		}
		if n := len(st.block); n != 200 {
			t.Errorf("%d blocks and marks are stored", n)
		}
		if err := w.rooms.ForgetBlocks(t.Context(), aor("bob")); err != nil || len(st.block) != 0 {
			t.Errorf("%d blocks are left, %v", len(st.block), err)
		}
	})
}

// TestCreationRate checks that a user creates a limited number of rooms in an hour.
func TestCreationRate(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		t := w.t
		ok := 0
		for range 130 {
			if r := w.say("mallory", "chat-1", "#create"); r.Status == 200 {
				ok++
				w.must("mallory", "chat-1", "#destroy")
			} else if r.Reason != "Too many rooms created" {
				t.Fatalf("answered %d %s", r.Status, r.Reason)
			}
		}
		if ok != 100 {
			t.Errorf("%d rooms were created", ok)
		}
		w.must("alice", "chat-2", "#create")
	})
}

// rules is a Policy for tests.
type rules struct{ relays, strangers bool }

func (rules) Exists(_ context.Context, u sip.AoR) (bool, error) {
	if u.User == "unlucky" {
		return false, imc.ErrBusy
	}
	return u.User != "ghost", nil
}

func (r rules) Relays() bool    { return r.relays }
func (r rules) Strangers() bool { return r.strangers }

// TestPolicy checks who can have rooms send to whom.
func TestPolicy(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		t := w.t
		w.stop()
		w.policy = &rules{}
		w.start()
		say := func(from, text string, mayRelay, unproven bool) string {
			t.Helper()
			req := w.message(from, "chat-1", "text/plain", text)
			req.MayRelay, req.Unproven = mayRelay, unproven
			r := w.handle(req)
			return fmt.Sprint(r.Status, " ", r.Reason)
		}
		for _, step := range []struct {
			from, text         string
			mayRelay, unproven bool
			want               string
		}{
			{"alice", "#create", false, false, "200 OK"},
			{"alice", "#invite zoe@far.test", false, false, "500 No messages to that domain"},
			{"alice", "#add zoe@far.test:9", false, false, "500 No messages to that domain"},
			{"alice", "#add ghost", false, false, "500 No such user"},
			{"alice", "#invite unlucky", false, false, "503 Rooms are not available, try again"},
			{"alice", "#add bob@other.test", false, false, "200 OK"},
			{"?zoe@far.test", "#join", false, true, "403 Forbidden, only users of this server may use rooms"},
			{"alice", "#ban zoe@far.test", false, false, "200 OK"},
			{"alice", "#unban zoe@far.test", false, false, "200 OK"},
		} {
			if got := say(step.from, step.text, step.mayRelay, step.unproven); got != step.want {
				t.Errorf("%s: %s is answered %s, want %s", step.from, step.text, got, step.want)
			}
		}
		if got := w.read("zoe@far.test"); len(got) > 0 {
			t.Errorf("zoe got %q", got)
		}

		// A sender that may relay can add it. It gets words as long as the policy allows that.
		w.policy.relays = true
		if got := say("alice", "#add zoe@far.test", true, false); got != "200 OK" {
			t.Errorf("#add is answered %s", got)
		}
		w.must("alice", "chat-1", "one")
		w.policy.relays = false
		w.must("alice", "chat-1", "two")
		if got := strings.Join(w.read("zoe@far.test"), ", "); got != "chat-1: zoe@far.test has joined chat-1., chat-1: [alice]: one" {
			t.Errorf("zoe got %s", got)
		}
		w.policy.relays = true
		w.must("alice", "chat-1", "three")
		if got := strings.Join(w.read("zoe@far.test"), ", "); got != "chat-1: [alice]: two, chat-1: [alice]: three" {
			t.Errorf("zoe got %s", got)
		}

		// An invited user of another domain may accept, in the name of the inviter.
		if got := say("alice", "#invite yan@far.test", true, false); got != "200 OK" {
			t.Errorf("#invite is answered %s", got)
		}
		if got := say("?yan@far.test", "#accept", false, true); got != "200 OK" {
			t.Errorf("#accept is answered %s", got)
		}
		w.ignore()
		w.policy.relays = false
		w.must("alice", "chat-1", "four")
		if got := w.read("yan@far.test"); len(got) > 0 {
			t.Errorf("yan got %q", got)
		}
	})
}
