package imc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"silod/imc"
	"silod/sip"
)

// usersOf returns the users that have a place in a room, as scripts write them.
func (w *world) usersOf() (list []string) {
	w.rooms.Users(func(u sip.AoR, _ bool) { list = append(list, short(u)) })
	slices.Sort(list)
	return list
}

// TestSuccession removes the account of an owner. Each step of a case is said to chat-1.
func TestSuccession(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps [][2]string
		owner string // "": the room is closed
		told  string // to the successor
	}{
		{
			"oldest admin",
			[][2]string{{"bob", "#join"}, {"carol", "#join"}, {"dave", "#join"}, {"alice", "#modify dave admin"}, {"alice", "#modify carol admin"}},
			"carol", "alice, the owner of chat-1, has left: the account has been removed. carol is now the owner.",
		},
		{
			"oldest member",
			[][2]string{{"bob", "#join"}, {"carol", "#join"}},
			"bob", "alice, the owner of chat-1, has left: the account has been removed. bob is now the owner.",
		},
		{
			"a muted member comes last",
			[][2]string{{"bob", "#join"}, {"carol", "#join"}, {"alice", "#mute bob"}},
			"carol", "alice, the owner of chat-1, has left: the account has been removed. carol is now the owner.",
		},
		{"only invited and banned users", [][2]string{{"alice", "#invite bob"}, {"alice", "#ban carol"}}, "", ""},
		{"no other member", nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			within(t, nil, func(w *world) {
				t := w.t
				w.must("alice", "chat-1", "#create")
				for _, s := range c.steps {
					w.must(s[0], "chat-1", s[1])
				}
				w.must("alice", "chat-1", "before the end")
				w.ignore()
				if err := w.rooms.RemoveAccount(t.Context(), aor("alice")); err != nil {
					t.Fatal(err)
				}
				if w.rooms.HasUser(aor("alice")) || slices.Contains(w.usersOf(), "alice") {
					t.Error("alice is in a room")
				}
				w.restart()
				w.settleDown()
				if got := w.read("alice"); len(got) > 0 {
					t.Errorf("alice got %q", got)
				}
				if c.owner == "" {
					w.must("zoe", "chat-1", "#create") // the name is free
					w.settleDown()
					if got := w.read("alice"); len(got) > 0 {
						t.Errorf("alice got %q", got)
					}
					return
				}
				if got := w.read(c.owner); !slices.Equal(got, []string{"chat-1: " + c.told}) && !slices.Equal(got, []string{c.told}) {
					t.Errorf("%s got %q", c.owner, got)
				}
				if r := w.say("alice", "chat-1", "hello"); r.Status == 200 {
					t.Error("the new alice may speak")
				}
				w.must(c.owner, "chat-1", "#destroy")
			})
		})
	}
}

// TestRemovedAccountLeavesNothing removes a user with each standing: bans stay, all else is gone.
func TestRemovedAccountLeavesNothing(t *testing.T) {
	within(t, nil, func(w *world) {
		t := w.t
		for i, text := range []string{"#join", "", "", ""} {
			room := fmt.Sprintf("chat-%d", i+1)
			w.must("alice", room, "#create")
			if text != "" {
				w.must("bob", room, text)
			}
		}
		w.must("alice", "chat-1", "#modify bob admin")
		w.must("bob", "chat-1", "#invite dave")
		w.must("alice", "chat-1", "#mute bob")
		w.must("alice", "chat-2", "#invite bob")
		w.must("alice", "chat-3", "#ban bob")
		w.ignore()
		if err := w.rooms.RemoveAccount(t.Context(), aor("bob")); err != nil {
			t.Fatal(err)
		}
		w.settleDown()
		if got := w.read("alice"); len(got) != 1 {
			t.Errorf("alice got %q", got)
		}
		if err := w.rooms.RemoveAccount(t.Context(), aor("bob")); err != nil {
			t.Fatal(err)
		}
		w.settleDown()
		w.restart()
		if got := w.read("alice"); len(got) != 0 {
			t.Errorf("the second removal told alice %q", got)
		}
		for room, want := range map[string]int{"chat-2": 500, "chat-3": 500} {
			if r := w.say("bob", room, "#accept"); r.Status != want {
				t.Errorf("#accept in %s is answered %d", room, r.Status)
			}
		}
		if r := w.say("bob", "chat-3", "#join"); r.Status != 500 {
			t.Error("the ban is gone")
		}
		w.must("bob", "chat-1", "#join")
		w.must("bob", "chat-1", "hello") // is not muted
		w.ignore()
		w.must("dave", "chat-1", "#deny")
		w.settleDown()
		if got := w.read("bob"); len(got) != 0 {
			t.Errorf("the answer to an invitation of the removed bob reached the new one: %q", got)
		}
	})
}

// failing is a Store of which some changes fail.
type failing struct {
	imc.Store
	left int // changes until they fail
}

func (f *failing) Apply(ctx context.Context, c imc.Change) error {
	if f.left--; f.left < 0 {
		return imc.ErrBusy
	}
	return f.Store.Apply(ctx, c)
}

// TestRemovalFails removes a user from many rooms while the store fails: the next call completes it,
// and no member is told twice.
func TestRemovalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemStore(), nil)
		defer func() { w.stop() }()
		const rooms = 20
		for i := range rooms {
			room := fmt.Sprintf("chat-%d", i+1)
			w.must("alice", room, "#create")
			w.must("bob", room, "#join")
		}
		w.ignore()
		f := &failing{left: rooms / 2}
		w.wrap = func(st imc.Store) imc.Store { f.Store = st; return f }
		w.restart()
		if err := w.rooms.RemoveAccount(t.Context(), aor("alice")); !errors.Is(err, imc.ErrBusy) {
			t.Fatalf("got %v", err)
		}
		if got := w.usersOf(); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("users are %q", got)
		}
		f.left = 1000
		w.restart()
		if err := w.rooms.RemoveAccount(t.Context(), aor("alice")); err != nil {
			t.Fatal(err)
		}
		if got := w.usersOf(); !slices.Equal(got, []string{"bob"}) {
			t.Errorf("users are %q", got)
		}
		w.settleDown()
		if got := w.read("bob"); len(got) != rooms {
			t.Errorf("bob got %d notices, want %d", len(got), rooms)
		}
	})
}
