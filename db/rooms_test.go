package db

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/im"
	"silod/imc"
	"silod/silo"
	"silod/sip"
)

var (
	room1 = aor("chat-1@example.org")
	alice = aor("alice@example.org")
	bob   = aor("bob@example.org")
)

// loaded is a room as a restart finds it.
type loaded struct {
	Room    imc.Room
	Members map[sip.AoR]imc.Member
}

func loadRooms(t testing.TB, st imc.Store) map[sip.AoR]loaded {
	t.Helper()
	out := map[sip.AoR]loaded{}
	err := st.Load(t.Context(), func(r imc.Room, ms []imc.Member) {
		l := loaded{r, map[sip.AoR]imc.Member{}}
		for _, m := range ms {
			l.Members[m.User] = m
		}
		out[r.AoR] = l
	}, func(err error) { t.Errorf("skipped: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(t testing.TB, st imc.Store, c imc.Change) {
	t.Helper()
	if err := st.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestRoomsRoundTrip(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		room := imc.Room{
			AoR: room1, Private: true, Topic: "Tópic '\"\xff", Created: noon.Local(),
			Title: "Größe", Moderated: true, OpenHistory: 1 << 40, Creator: alice,
		}
		members := []imc.Member{
			{User: alice, Role: imc.Owner, Cursor: 5, Seen: noon.Local(), Since: 3, Nick: "Ally '"},
			{User: bob, Role: imc.Plain, Muted: true, InvitedBy: alice, MutedUntil: noon.Local(), Reason: "löud"},
			{User: aor("Bob2@example.org"), Role: imc.Admin, Paused: true},
			{User: aor("carol@other.example:5070"), Role: imc.Invited},
			{User: aor("mallory@example.org"), Role: imc.Banned},
			{User: aor("fred@example.org"), Role: imc.Plain, Voiced: true},
			{User: aor("gina@example.org"), Role: imc.Plain, AddedBy: alice},
			{User: aor("hugo@example.org"), Role: imc.Former, Muted: true, MutedUntil: noon.Local(), Reason: "spam"},
			{User: aor("ines@example.org"), Role: imc.Banned, BannedUntil: noon.Local(), Reason: "spam"},
		}
		apply(t, st, imc.Change{Room: room, Put: members})
		want := loaded{room, map[sip.AoR]imc.Member{}}
		for _, m := range members {
			want.Members[m.User] = m
		}
		if got := loadRooms(t, st)[room1]; !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
		if n := rawValue(t, db, "SELECT COUNT(*) FROM imc_members WHERE username = 'mallory'"); fmt.Sprint(n) != "0" {
			t.Error("a banned user is in imc_members")
		}

		// One change of everything.
		room.Private, room.Topic = false, ""
		members[0].Role, members[1].Role, members[1].Muted = imc.Admin, imc.Owner, false
		members[4].Role = imc.Plain
		members[2].Role = imc.Banned
		apply(t, st, imc.Change{Room: room, Put: members, Remove: []sip.AoR{members[3].User}})
		want = loaded{room, map[sip.AoR]imc.Member{}}
		for i, m := range members {
			if i != 3 {
				want.Members[m.User] = m
			}
		}
		if got := loadRooms(t, st)[room1]; !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	})
}

// TestRoomsClosed: a destroyed room keeps its members until they have read its last
// entry, which is written in the same step.
func TestRoomsClosed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		room := imc.Room{AoR: room1, Closed: true, Created: noon.Local()}
		notice := &imc.Entry{Room: room1, From: room1, At: noon, Message: im.Message{Body: []byte("destroyed")}}
		apply(t, st, imc.Change{Room: room, Put: []imc.Member{{User: bob, Role: imc.Owner}}, Notice: notice})
		if got := loadRooms(t, st)[room1]; got.Room != room || len(got.Members) != 1 {
			t.Errorf("got %+v", got)
		}
		es, err := st.Log(t.Context(), room1, notice.Seq-1, 10)
		if err != nil || said(es) != "destroyed" {
			t.Errorf("log: %v, %v", es, err)
		}
		if got := rawValue(t, db, "SELECT flag FROM imc_rooms"); asInt(got) != roomDeleted {
			t.Errorf("flag = %v", got)
		}
		notice = &imc.Entry{Room: room1, From: room1, Message: im.Message{From: "a\nb"}}
		err = st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: room1}, Notice: notice})
		if !errors.Is(err, imc.ErrInvalid) || !loadRooms(t, st)[room1].Room.Closed {
			t.Errorf("a change with a bad notice: %v", err)
		}
	})
}

// TestRoomsOrder: members are loaded in the order in which they joined.
func TestRoomsOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		for _, u := range []string{"zoe", "adam", "mia"} {
			apply(t, st, imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: aor(u + "@example.org"), Role: imc.Plain}}})
		}
		apply(t, st, imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: aor("zoe@example.org"), Role: imc.Owner}}})
		var got []string
		err := st.Load(t.Context(), func(_ imc.Room, ms []imc.Member) {
			for _, m := range ms {
				got = append(got, m.User.User)
			}
		}, func(err error) { t.Error(err) })
		if err != nil || strings.Join(got, " ") != "zoe adam mia" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestRoomsEmpty: Kamailio stops loading at a room without members. Such a room is only
// in silod's own table.
func TestRoomsEmpty(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		count := func() string { return fmt.Sprint(rawValue(t, db, "SELECT COUNT(*) FROM imc_rooms")) }
		room := imc.Room{AoR: room1, Private: true}
		apply(t, st, imc.Change{Room: room})
		if count() != "0" {
			t.Error("imc_rooms has a room without members")
		}
		if got, ok := loadRooms(t, st)[room1]; !ok || !got.Room.Private {
			t.Errorf("the empty room is lost: %+v", got)
		}
		apply(t, st, imc.Change{Room: room, Put: []imc.Member{{User: bob, Role: imc.Owner}}})
		if count() != "1" {
			t.Error("imc_rooms has no room")
		}
		apply(t, st, imc.Change{Room: room, Remove: []sip.AoR{bob}})
		if count() != "0" {
			t.Error("imc_rooms has a room whose last member left")
		}
		apply(t, st, imc.Change{Room: room, Put: []imc.Member{{User: bob, Role: imc.Banned}}})
		if count() != "0" || len(loadRooms(t, st)[room1].Members) != 1 {
			t.Error("a banned user counts as a member")
		}
	})
}

func TestRoomsDestroy(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		other := aor("chat-2@example.org")
		for _, r := range []sip.AoR{room1, other} {
			apply(t, st, imc.Change{Room: imc.Room{AoR: r}, Put: []imc.Member{{User: bob, Role: imc.Owner, Cursor: 1}, {User: alice, Role: imc.Banned}}})
			appendTo(t, st, r, "hello")
		}
		erase(t, st, room1)
		if got := loadRooms(t, st); len(got) != 1 || len(got[other].Members) != 2 {
			t.Errorf("left: %+v", got)
		}
		for _, table := range []string{"imc_rooms", "imc_members", "silod_room", "silod_room_log"} {
			if n := fmt.Sprint(rawValue(t, db, "SELECT COUNT(*) FROM "+table)); n != "1" {
				t.Errorf("%s has %s rows, want 1", table, n)
			}
		}
	})
}

// erase deletes a room and its log as package imc does, in small steps.
func erase(t testing.TB, st imc.Store, room sip.AoR) {
	t.Helper()
	for {
		ps, err := st.Positions(t.Context(), room, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(ps) == 0 {
			break
		}
		if err := st.DeleteEntries(t.Context(), seqsOf(ps)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		done, err := st.Erase(t.Context(), room, 2)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
}

func seqsOf(ps []imc.Position) (seqs []int64) {
	for _, p := range ps {
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

func appendTo(t testing.TB, st imc.Store, room sip.AoR, body string) *imc.Entry {
	t.Helper()
	e := &imc.Entry{Room: room, From: alice, At: noon.Local(), Message: im.Message{
		From: `"A" <sip:alice@example.org>;tag=1`, To: "<" + room.String() + ">", CallID: "c@x", CSeq: 7,
		Headers: []sip.Header{{Name: "Subject", Value: "s\xff"}, {Name: "Content-Type", Value: "text/plain; charset=x"}},
		Body:    []byte(body),
	}}
	if err := st.Append(t.Context(), e, func() {}); err != nil {
		t.Fatal(err)
	}
	return e
}

func said(es []imc.Entry) string {
	var out []string
	for _, e := range es {
		out = append(out, string(e.Body))
	}
	return strings.Join(out, " ")
}

func TestRoomLog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		first := appendTo(t, st, room1, "\x00\xff")
		es, err := st.Log(t.Context(), room1, 0, 10)
		if err != nil || len(es) != 1 || !reflect.DeepEqual(&es[0], first) {
			t.Fatalf("\n got %#v, %v\nwant %#v", es, err, first)
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				r := room1
				if i%2 == 1 {
					r = aor("chat-2@example.org")
				}
				e := appendTo(t, st, r, fmt.Sprint(i))
				if got, err := st.Log(t.Context(), r, e.Seq-1, 1); err != nil || len(got) != 1 || got[0].Seq != e.Seq || string(got[0].Body) != fmt.Sprint(i) {
					t.Errorf("entry %d: %v, %v", e.Seq, got, err)
				}
			})
		}
		wg.Wait()
		es, err = st.Log(t.Context(), room1, first.Seq, 100)
		if err != nil || len(es) != 20 {
			t.Fatalf("%d entries, %v", len(es), err)
		}
		recent, err := st.Recent(t.Context(), room1, 0, noon, 3)
		if err != nil || said(recent) != said(es[17:]) {
			t.Errorf("Recent = %q, want %q, %v", said(recent), said(es[17:]), err)
		}
		if recent, err = st.Recent(t.Context(), room1, 0, noon.Add(time.Millisecond), 3); err != nil || len(recent) != 0 {
			t.Errorf("Recent returns an entry that is too old: %q, %v", said(recent), err)
		}
	})
}

func TestRoomCursors(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		apply(t, st, imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: bob, Role: imc.Owner}, {User: alice, Cursor: 3}}})
		save := func(cs ...imc.Cursor) {
			t.Helper()
			if err := st.SaveCursors(t.Context(), cs); err != nil {
				t.Fatal(err)
			}
		}
		save(imc.Cursor{Room: room1, User: bob, Seq: 9, Seen: noon}, imc.Cursor{Room: room1, User: bob, Seq: 8},
			imc.Cursor{Room: room1, User: alice, Seq: 2, Seen: noon.Add(time.Second)})
		save(imc.Cursor{Room: room1, User: bob, Seq: 4, Seen: noon.Add(-time.Hour)})
		got := loadRooms(t, st)[room1].Members
		if m := got[bob]; m.Cursor != 9 || !m.Seen.Equal(noon) {
			t.Errorf("bob: %+v", m)
		}
		if m := got[alice]; m.Cursor != 3 || !m.Seen.Equal(noon.Add(time.Second)) {
			t.Errorf("alice: %+v", m)
		}
	})
}

func TestRoomInvalid(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		for name, c := range map[string]imc.Change{
			"long room": {Room: imc.Room{AoR: aor(strings.Repeat("r", 60) + "@example.org")}},
			"long user": {Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: aor(strings.Repeat("u", 65) + "@example.org")}}},
		} {
			if err := st.Apply(t.Context(), c); !errors.Is(err, silo.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		e := &imc.Entry{Room: room1, From: alice, At: noon, Message: im.Message{From: "a\r\nb"}}
		if err := st.Append(t.Context(), e, func() {}); !errors.Is(err, silo.ErrInvalid) {
			t.Errorf("line break: %v", err)
		}
		if got := loadRooms(t, st); len(got) != 0 {
			t.Errorf("stored all the same: %+v", got)
		}
	})
}

// TestRoomsOfKamailio: rows of Kamailio, and damaged rows.
func TestRoomsOfKamailio(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		rawExec(t, db,
			"INSERT INTO imc_rooms (name, domain, flag) VALUES ('chat-1', 'example.org', 1), ('gone', 'example.org', 2), ('', 'example.org', 0)",
			`INSERT INTO imc_members (username, domain, room, flag) VALUES ('alice', 'example.org', 'sip:chat-1@example.org', 1),
			 ('bob', 'Example.Org', 'sip:chat-1@example.org', 4), ('x', 'example.org', 'sip:chat-1@example.org', 8),
			 ('y', 'example.org', 'sip:none@example.org', 0), ('', '', 'sip:chat-1@example.org', 0)`)
		var rooms []imc.Room
		var members []imc.Member
		var skipped []string
		err := db.Rooms().Load(t.Context(), func(r imc.Room, ms []imc.Member) { rooms, members = append(rooms, r), append(members, ms...) },
			func(err error) { skipped = append(skipped, err.Error()) })
		if err != nil {
			t.Fatal(err)
		}
		want := []imc.Member{{User: alice, Role: imc.Owner}, {User: bob, Role: imc.Invited}}
		if len(rooms) != 2 || rooms[0].AoR != room1 || !rooms[0].Private || !rooms[1].Closed || !reflect.DeepEqual(members, want) {
			t.Errorf("%+v %+v", rooms, members)
		}
		if len(skipped) != 3 {
			t.Errorf("skipped: %q", skipped)
		}
	})
}
