package imc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"silod/imc"
	"silod/mi"
	"silod/sip"
)

// TestUnreadableMembersAreSkipped checks that members without a name or with an unknown role
// are skipped, whatever the Store, and that the others and their room are there.
func TestUnreadableMembersAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		for _, c := range []imc.Change{
			{Room: imc.Room{AoR: aor("chat-1")}, Put: []imc.Member{
				{User: sip.AoR{}, Role: imc.Owner},
				{User: aor("alice"), Role: imc.Owner},
				{User: sip.AoR{Domain: domain}, Role: imc.Banned},
				{User: aor("bob"), Role: imc.Former + 1},
				{User: aor("carol"), Role: -1},
				{User: sip.AoR{User: "dave"}, Role: imc.Plain},
				{User: aor("erin"), Role: imc.Plain},
			}},
			{Room: imc.Room{AoR: aor("chat-2")}, Put: []imc.Member{{User: sip.AoR{}, Role: imc.Owner}}},
			{Room: imc.Room{AoR: aor("chat-3")}, Put: []imc.Member{{User: sip.AoR{}, Role: imc.Owner}, {User: aor("bob"), Role: imc.Plain}}},
		} {
			if err := st.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		w := newWorld(t, st, nil)
		defer func() { w.stop() }()
		r := mi.NewRegistry(quiet)
		r.Add(w.rooms.Commands()...)
		got := strings.Join(strings.Fields(allRooms(t, r)), " ")
		want := ""
		for _, room := range []string{
			"sip:chat-1@example.test[{owner sip:alice@example.test} {members 2} {private false}] {topic } ",
			"[{user sip:alice@example.test} {role owner} {muted false} {paused false}] [{user sip:erin@example.test} {role member} {muted false} {paused false}] ",
			"sip:chat-3@example.test[{owner sip:bob@example.test} {members 1} {private false}] {topic } ",
			"[{user sip:bob@example.test} {role owner} {muted false} {paused false}]",
		} {
			want += room
		}
		if got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
		// The name of a room that was skipped is free.
		w.must("bob", "chat-2", "#create")
		if got := w.read("bob"); !strings.Contains(fmt.Sprint(got), "You have created chat-2") {
			t.Errorf("bob got %q", got)
		}
	})
}
