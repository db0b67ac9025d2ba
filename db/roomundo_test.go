package db

import (
	"reflect"
	"testing"

	"silod/imc"
	"silod/sip"
)

// TestRoomUndone checks that the undo of a change restores each value of a room and of its members, with
// one exception: positions in the log only rise.
func TestRoomUndone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st, carol := &db.rooms, aor("carol@example.org")
		full := imc.Room{
			AoR: room1, Private: true, Topic: "tea", Created: noon.Local(), Title: "Tea", Moderated: true, OpenHistory: 5, Creator: alice,
		}
		old := []imc.Member{
			{User: alice, Role: imc.Owner, Cursor: 1, Seen: noon.Local(), Since: 1, Nick: "Ally"},
			{User: bob, Role: imc.Plain, Muted: true, MutedUntil: noon.Local(), Reason: "loud", InvitedBy: alice, AddedBy: alice, Voiced: true, Paused: true},
			{User: carol, Role: imc.Banned, BannedUntil: noon.Local(), Reason: "spam"},
		}
		bare := imc.Room{AoR: room1, Created: noon.Local()}
		now := []imc.Member{
			{User: alice, Role: imc.Plain, Cursor: 1, Seen: noon.Local(), Since: 1}, {User: bob, Role: imc.Former}, {User: carol, Role: imc.Owner},
		}
		for _, c := range []struct{ before, change imc.Change }{
			{imc.Change{Room: full, Put: old}, imc.Change{Room: bare, Put: now}},
			{imc.Change{Room: bare, Put: now}, imc.Change{Room: full, Put: old}},
			{imc.Change{Room: full, Put: old}, imc.Change{Room: full, Remove: []sip.AoR{alice, bob, carol}}},
		} {
			apply(t, st, c.before)
			before := loadRooms(t, st)
			apply(t, st, c.change)
			if reflect.DeepEqual(loadRooms(t, st), before) {
				t.Error("nothing has changed")
			}
			undo := imc.Change{Room: c.before.Room, Put: c.before.Put}
			if err := st.writer.step(t.Context(), 1, func(s *session) error { return changeRoom(s, &undo) }); err != nil {
				t.Fatal(err)
			}
			if after := loadRooms(t, st); !reflect.DeepEqual(after, before) {
				t.Errorf("\n got %+v\nwant %+v", after, before)
			}
		}
	})
}
