package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"silod/imc"
	"silod/sip"
)

// roomStore implements imc.Store. A room is in Kamailio's imc_rooms while it has
// members, because Kamailio stops loading at the first room without any; in
// silod_room it always is, with what imc_rooms has no column for.
type roomStore struct{ db *DB }

// Rooms is the store of chat rooms.
func (db *DB) Rooms() imc.Store { return roomStore{db} }

// The flags of Kamailio's tables.
const (
	roomPrivate = 1
	roomDeleted = 2

	memberOwner   = 1
	memberAdmin   = 2
	memberInvited = 4
	memberDeleted = 8
)

var (
	roomTable = table{name: "silod_room", keys: 1, fields: []field{
		{name: "room"},
		{name: "flag", kind: kindInt},
		{name: "is_empty", kind: kindInt},
		{name: "topic", kind: kindBytes},
		{name: "created", kind: kindInt},
	}}
	memberTable = table{name: "silod_member", keys: 3, fields: []field{
		{name: "room"},
		{name: "username"},
		{name: "domain"},
		{name: "muted", kind: kindInt},
		{name: "paused", kind: kindInt},
		{name: "banned", kind: kindInt},
		{name: "invited_user"},
		{name: "invited_domain"},
	}}
	cursorTable = table{name: "silod_cursor", keys: 3, fields: []field{
		{name: "room"},
		{name: "username"},
		{name: "domain"},
		{name: "seq", kind: kindInt, max: true},
		{name: "seen", kind: kindInt, max: true},
	}}
)

// imcRooms and imcMembers are Kamailio's tables under their configured names.
func (db *DB) imcRooms() *table {
	return &table{name: db.roomsTable(), keys: 2, fields: []field{{name: "name"}, {name: "domain"}, {name: "flag", kind: kindInt}}}
}

func (db *DB) imcMembers() *table {
	return &table{name: db.membersTable(), keys: 3, fields: []field{
		{name: "username"}, {name: "domain"}, {name: "room"}, {name: "flag", kind: kindInt},
	}}
}

// roomsTable is imc's parameter rooms_table.
func (db *DB) roomsTable() string {
	if db.opts.RoomsTable != "" {
		return db.opts.RoomsTable
	}
	return "imc_rooms"
}

// membersTable is the parameter members_table.
func (db *DB) membersTable() string {
	if db.opts.MembersTable != "" {
		return db.opts.MembersTable
	}
	return "imc_members"
}

// Apply is one step of the writer's, so rooms change in one order everywhere.
func (st roomStore) Apply(ctx context.Context, c imc.Change) error {
	if err := st.check(&c); err != nil {
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	work := func(s *session) error {
		if err := st.put(s, &c); err != nil || c.Notice == nil {
			return err
		}
		return st.db.appendEntries(s, []*imc.Entry{c.Notice})
	}
	if c.Delete {
		work = func(s *session) error { return st.destroy(s, c.Room.AoR) }
	}
	if err := st.db.step(ctx, 1+len(c.Put)+len(c.Remove), work); err != nil {
		if c.Notice != nil {
			c.Notice.Seq = 0
		}
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	return nil
}

// check refuses what the tables cannot hold.
func (st roomStore) check(c *imc.Change) error {
	too := func(what, value string) error {
		return fmt.Errorf("%w: %s %q is too long for Kamailio's tables", errInvalid, what, value)
	}
	rooms, members := st.db.roomInfo, st.db.memberInfo
	if uri := c.Room.AoR.String(); !fits(members["room"], uri) {
		return too("room", uri)
	}
	if !fits(rooms["name"], c.Room.AoR.User) || !fits(rooms["domain"], c.Room.AoR.Domain) {
		return too("room", c.Room.AoR.String())
	}
	for _, m := range c.Put {
		if !fits(members["username"], m.User.User) || !fits(members["domain"], m.User.Domain) {
			return too("user", m.User.String())
		}
		if !fits(ownName, m.InvitedBy.User) || !fits(ownName, m.InvitedBy.Domain) {
			return too("inviter", m.InvitedBy.String())
		}
	}
	if c.Notice != nil {
		return checkEntry(c.Notice)
	}
	return nil
}

// ownName is the width of names in our own tables.
var ownName = columnInfo{width: 255}

// destroy removes every trace of a room.
func (st roomStore) destroy(s *session, room sip.AoR) error {
	if err := st.deleteRoom(s, room); err != nil {
		return err
	}
	for _, t := range roomTables {
		if _, err := s.exec("DELETE FROM "+t+" WHERE room = $1", room.String()); err != nil {
			return err
		}
	}
	return nil
}

// deleteRoom takes a room out of Kamailio's table, however its name is spelled there.
func (st roomStore) deleteRoom(s *session, room sip.AoR) error {
	_, err := s.exec("DELETE FROM {rooms} WHERE name = $1 AND domain = $2", room.User, room.Domain)
	return err
}

// roomTables are those with a column for a room's URI.
var roomTables = []string{"{members}", "silod_room", "silod_member", "silod_cursor", "silod_room_log"}

// move keeps all of a room under another AoR. Its row in Kamailio's table is written
// anew behind this.
func (st roomStore) move(s *session, was, now sip.AoR) error {
	for _, t := range roomTables {
		if _, err := s.exec("UPDATE "+t+" SET room = $1 WHERE room = $2", now.String(), was.String()); err != nil {
			return err
		}
	}
	return st.deleteRoom(s, was)
}

// put writes the room, its changed members, and whether it has any.
func (st roomStore) put(s *session, c *imc.Change) error {
	room := c.Room.AoR.String()
	if !c.Was.IsZero() {
		if err := st.move(s, c.Was, c.Room.AoR); err != nil {
			return err
		}
	}
	if err := st.putMembers(s, room, c.Put); err != nil {
		return err
	}
	for _, u := range c.Remove {
		for _, t := range []string{"{members}", "silod_member", "silod_cursor"} {
			if _, err := s.exec("DELETE FROM "+t+" WHERE room = $1 AND username = $2 AND domain = $3", room, u.User, u.Domain); err != nil {
				return err
			}
		}
	}
	n, err := s.ints("SELECT COUNT(*) FROM {members} WHERE room = $1", room)
	if err != nil {
		return err
	}
	flag := oneIf(c.Room.Private)*roomPrivate | oneIf(c.Room.Closed)*roomDeleted
	empty := n[0] == 0
	err = st.db.d.upsert(s, &roomTable, [][]any{{room, flag, oneIf(empty), []byte(c.Room.Topic), millis(c.Room.Created)}})
	if err != nil {
		return err
	}
	if empty {
		return st.deleteRoom(s, c.Room.AoR)
	}
	return st.db.d.upsert(s, st.db.imcRooms(), [][]any{{c.Room.AoR.User, c.Room.AoR.Domain, flag}})
}

// putMembers writes members, the last word on each. Who is banned is no member for
// Kamailio, and stays on record with us only.
func (st roomStore) putMembers(s *session, room string, put []imc.Member) error {
	if len(put) == 0 {
		return nil
	}
	seen := map[sip.AoR]int{}
	var listed, flags, cursors [][]any
	for i, m := range put { // the last word on a user counts
		seen[m.User] = i
	}
	for i, m := range put {
		if seen[m.User] != i {
			continue
		}
		u, d := m.User.User, m.User.Domain
		by := m.InvitedBy
		flags = append(flags, []any{room, u, d, oneIf(m.Muted), oneIf(m.Paused), oneIf(m.Role == imc.Banned), by.User, by.Domain})
		cursors = append(cursors, []any{room, u, d, m.Cursor, millis(m.Seen)})
		if m.Role != imc.Banned {
			listed = append(listed, []any{u, d, room, memberFlag(m.Role)})
			continue
		}
		_, err := s.exec("DELETE FROM {members} WHERE room = $1 AND username = $2 AND domain = $3", room, u, d)
		if err != nil {
			return err
		}
	}
	if len(listed) > 0 {
		if err := st.db.d.upsert(s, st.db.imcMembers(), listed); err != nil {
			return err
		}
	}
	if err := st.db.d.upsert(s, &memberTable, flags); err != nil {
		return err
	}
	return st.db.d.upsert(s, &cursorTable, cursors)
}

// memberFlag and roleOf translate roles; a plain member has no flag.
func memberFlag(r imc.Role) int64 {
	switch r {
	case imc.Owner:
		return memberOwner
	case imc.Admin:
		return memberAdmin
	case imc.Invited:
		return memberInvited
	}
	return 0
}

func roleOf(flag int64) imc.Role {
	switch {
	case flag&memberOwner != 0:
		return imc.Owner
	case flag&memberAdmin != 0:
		return imc.Admin
	case flag&memberInvited != 0:
		return imc.Invited
	}
	return imc.Plain
}

// roomAoR reads a room's URI; rooms are lower case throughout.
func roomAoR(uri string) (sip.AoR, error) {
	return sip.ParseAoR(strings.ToLower(uri))
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
