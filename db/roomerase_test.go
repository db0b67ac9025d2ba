package db

import (
	"fmt"
	"testing"
	"time"

	"silod/imc"
	"silod/sip"
)

// TestEraseInSteps checks that a room is erased in small steps, in which Kamailio always finds each
// room with a member and each member with a room.
func TestEraseInSteps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		var put []imc.Member
		for i := range 7 {
			put = append(put, imc.Member{User: aor(fmt.Sprintf("user%d@example.org", i)), Role: imc.Plain, Cursor: 3})
		}
		for _, room := range []string{"chat-1@example.org", "chat-2@example.org"} {
			apply(t, st, imc.Change{Room: imc.Room{AoR: aor(room), Closed: true}, Put: put})
		}
		count := func(from string) int64 { return asInt(rawValue(t, db, "SELECT COUNT(*) FROM "+from)) }
		steps, before := 0, int64(14*3)
		for done := false; !done; steps++ {
			var err error
			if steps == 5 { // the cursors are deleted
				late := imc.Cursor{Room: room1, User: put[0].User, Seq: 4}
				if err := st.SaveCursors(t.Context(), []imc.Cursor{late}); err != nil {
					t.Fatal(err)
				}
				before++
			}
			if done, err = st.Erase(t.Context(), room1, 2); err != nil {
				t.Fatal(err)
			}
			rooms, members := count("imc_rooms"), count("imc_members")
			if (rooms == 2) != (members > 7) {
				t.Errorf("step %d: %d rooms with %d members", steps, rooms, members)
			}
			left := members + count("silod_member") + count("silod_cursor")
			if before-left > 6 {
				t.Errorf("step %d deleted %d rows", steps, before-left)
			}
			before = left
		}
		if n := count("silod_room"); before != 7*3 || n != 1 || steps < 9 {
			t.Errorf("%d rows of members and %d rooms are left after %d steps", before, n, steps)
		}
	})
}

// TestRoomPositions checks the reads by which package imc finds entries to delete.
func TestRoomPositions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		var seqs []int64
		for i := range 6 {
			e := &imc.Entry{Room: aor(fmt.Sprintf("chat-%d@example.org", 1+i%2)), From: alice, At: noon.Add(time.Duration(i) * time.Second)}
			if err := st.Append(t.Context(), e, func() {}); err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, e.Seq)
		}
		check := func(name string, ps []imc.Position, err error, want ...int) {
			t.Helper()
			if err != nil || len(ps) != len(want) {
				t.Errorf("%s: %v, %v, want %v", name, ps, err, want)
				return
			}
			for i, n := range want {
				if ps[i].Seq != seqs[n] || !ps[i].At.Equal(noon.Add(time.Duration(n)*time.Second)) || ps[i].Room != aor(fmt.Sprintf("chat-%d@example.org", 1+n%2)) {
					t.Errorf("%s: %+v, want the entries %v", name, ps, want)
				}
			}
		}
		ps, err := st.Positions(t.Context(), room1, seqs[0], 10)
		check("room", ps, err, 2, 4)
		ps, err = st.Positions(t.Context(), sip.AoR{}, seqs[1], 3)
		check("all", ps, err, 2, 3, 4)
		ps, err = st.Oldest(t.Context(), noon.Add(time.Second), noon.Add(4*time.Second), 2)
		check("oldest", ps, err, 1, 2)
		last, err := st.LastBefore(t.Context(), noon.Add(4*time.Second))
		if err != nil || last != seqs[3] {
			t.Errorf("LastBefore: %d, %v, want %d", last, err, seqs[3])
		}
		ends := map[string]int64{}
		if err := st.Ends(t.Context(), func(a sip.AoR, last int64) { ends[a.User] = last }); err != nil || len(ends) != 2 || ends["chat-1"] != seqs[4] || ends["chat-2"] != seqs[5] {
			t.Errorf("Ends: %v, %v", ends, err)
		}
		if err := st.DeleteEntries(t.Context(), append(seqs[:5:5], 999_999)); err != nil {
			t.Fatal(err)
		}
		ps, err = st.Positions(t.Context(), sip.AoR{}, 0, 10)
		check("left", ps, err, 5)
	})
}
