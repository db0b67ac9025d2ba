package db

import (
	"testing"

	"silod/imc"
	"silod/sip"
)

// TestMutesOutliveOtherPrograms checks that a mute holds when another program removes a member
// from imc_members, or adds a former one.
func TestMutesOutliveOtherPrograms(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		carol, dave := aor("carol@example.org"), aor("dave@example.org")
		apply(t, st, imc.Change{Room: imc.Room{AoR: room1, Created: noon.Local()}, Put: []imc.Member{
			{User: alice, Role: imc.Owner},
			{User: bob, Role: imc.Admin, Muted: true, Reason: "loud"},
			{User: carol, Role: imc.Former, Muted: true},
			{User: dave, Role: imc.Plain},
			{User: aor("erin@example.org"), Role: imc.Plain},
		}})
		rawExec(t, db, "DELETE FROM imc_members WHERE username IN ('bob', 'dave')")
		rawExec(t, db, "INSERT INTO imc_members (username, domain, room, flag) VALUES ('carol', 'example.org', '"+room1.String()+"', 0)")
		got := loadRooms(t, st)[room1].Members
		for u, want := range map[sip.AoR]imc.Member{
			bob:   {User: bob, Role: imc.Former, Muted: true, Reason: "loud"},
			carol: {User: carol, Role: imc.Plain, Muted: true},
			dave:  {},
		} {
			if got[u] != want {
				t.Errorf("%s is loaded as %+v, want %+v", u, got[u], want)
			}
		}
	})
}
