package db

import (
	"errors"
	"strings"
	"testing"

	"silod/imc"
	"silod/sip"
)

// TestRoomMembersHaveNames checks that a member that Load would skip is not stored, and that
// an unknown flag is skipped and told.
func TestRoomMembersHaveNames(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		apply(t, st, imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: alice, Role: imc.Owner}}})
		for _, u := range []sip.AoR{{}, {User: "bob"}, {Domain: "example.org"}} {
			for _, role := range []imc.Role{imc.Plain, imc.Banned} {
				err := st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: u, Role: role}}})
				if !errors.Is(err, imc.ErrInvalid) {
					t.Errorf("%+v: %v", u, err)
				}
			}
		}
		rawExec(t, db, `INSERT INTO imc_members (username, domain, room, flag) VALUES ('carol', 'example.org', 'sip:chat-1@example.org', 64),
			('dave', 'example.org', 'sip:chat-1@example.org', 16)`)
		var skipped []string
		var got []imc.Member
		err := st.Load(t.Context(), func(_ imc.Room, ms []imc.Member) { got = ms }, func(err error) { skipped = append(skipped, err.Error()) })
		if err != nil || len(got) != 2 || got[0].User != alice || got[1].User.User != "dave" {
			t.Errorf("%+v, %v", got, err)
		}
		if len(skipped) != 1 || !strings.Contains(skipped[0], "unknown flag 64 of carol") {
			t.Errorf("skipped: %q", skipped)
		}
	})
}
