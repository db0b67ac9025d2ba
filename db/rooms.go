package db

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"silod/imc"
	"silod/sip"
)

// rooms implements imc.Store. A room is in Kamailio's imc_rooms while it has members,
// because Kamailio stops loading at the first room without one. In silod_room every room
// has a row, with the values for which imc_rooms has no column.
type rooms struct {
	layout *layout
	writer *writer
	reader *reader
	notes  *notes
	log    *slog.Logger
	slots  chan struct{} // has an element for each read of logs that is under way
}

// Flags in Kamailio's tables.
const (
	roomPrivate = 1
	roomDeleted = 2

	memberOwner   = 1
	memberAdmin   = 2
	memberInvited = 4
	memberDeleted = 8
	memberSkip    = 16 // of Kamailio in memory
)

var (
	roomTable = table{name: "silod_room", keys: 1, fields: []field{
		{name: "room"},
		{name: "flag", kind: kindInt},
		{name: "is_empty", kind: kindInt},
		{name: "topic", kind: kindBytes},
		{name: "created", kind: kindInt},
		{name: "title"},
		{name: "moderated", kind: kindInt},
		{name: "open_history", kind: kindInt},
		{name: "creator_user"},
		{name: "creator_domain"},
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
		{name: "role", kind: kindInt}, // see storedRole
		{name: "muted_until", kind: kindInt},
		{name: "banned_until", kind: kindInt},
		{name: "reason"},
		{name: "voiced", kind: kindInt},
		{name: "nick"},
		{name: "added_user"},
		{name: "added_domain"},
	}}
	cursorTable = table{name: "silod_cursor", keys: 3, fields: []field{
		{name: "room"},
		{name: "username"},
		{name: "domain"},
		{name: "seq", kind: kindInt, max: true},
		{name: "seen", kind: kindInt, max: true},
		{name: "since", kind: kindInt, max: true},
	}}
	// movedTable is cursorTable for cursors that move: since stays the same.
	movedTable = table{name: cursorTable.name, keys: cursorTable.keys, fields: cursorTable.fields[:5]}

	blockTable = table{name: "silod_block", keys: 4, fields: []field{
		{name: "username"},
		{name: "domain"},
		{name: "blocked_user"},
		{name: "blocked_domain"},
	}}
)

// Apply implements imc.Store. A change is one step of the writer: it is made completely or
// not at all, and changes are made in the order of the calls.
func (st *rooms) Apply(ctx context.Context, c imc.Change) error {
	var notice []*entryRow
	err := checkMembers(&c)
	if err == nil {
		err = st.check(&c)
	}
	if err == nil && c.Notice != nil {
		var row *entryRow
		row, err = newEntryRow(c.Notice)
		notice = []*entryRow{row}
	}
	if err != nil {
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	o := newStep(1+len(c.Put)+len(c.Remove), func(s *session) error {
		if err := changeRoom(s, &c); err != nil {
			return err
		}
		return appendEntries(s, notice)
	})
	if c.Undo != nil {
		o.undo = func(s *session) error { return changeRoom(s, c.Undo) }
	}
	if err := st.writer.do(ctx, o); err != nil {
		if c.Notice != nil {
			c.Notice.Seq = 0
		}
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	return nil
}

// changeRoom makes a change, except for its notice.
func changeRoom(s *session, c *imc.Change) error {
	if err := putRoom(s, c); err != nil || !c.Delete {
		return err
	}
	return deleteOwnRows(s, "silod_room", c.Room.AoR.String())
}

// check returns errInvalid where the tables cannot hold the change.
func (st *rooms) check(c *imc.Change) error {
	tooLong := func(kind, value string) error {
		return fmt.Errorf("%w: %s %q is too long for Kamailio's tables", errInvalid, kind, value)
	}
	rooms, members := st.layout.rooms.roomColumns, st.layout.rooms.memberColumns
	if uri := c.Room.AoR.String(); !fits(members["room"], uri) {
		return tooLong("room", uri)
	}
	if !fits(rooms["name"], c.Room.AoR.User) || !fits(rooms["domain"], c.Room.AoR.Domain) {
		return tooLong("room", c.Room.AoR.String())
	}
	if c := c.Room; !fits(ownName, c.Title) || !fits(ownName, c.Creator.User) || !fits(ownName, c.Creator.Domain) {
		return fmt.Errorf("%w: title or creator of %s is too long", errInvalid, c.AoR)
	}
	for _, m := range c.Put {
		if n := st.layout.member(m.User); !fits(members["username"], n.user) || !fits(members["domain"], n.domain) {
			return tooLong("user", m.User.String())
		}
		for _, by := range []sip.AoR{m.InvitedBy, m.AddedBy} {
			if !fits(ownName, by.User) || !fits(ownName, by.Domain) {
				return tooLong("inviter", by.String())
			}
		}
		if !fits(ownName, m.Reason) || !fits(ownName, m.Nick) {
			return fmt.Errorf("%w: nick or reason of %s is too long", errInvalid, m.User)
		}
	}
	return nil
}

// checkMembers returns errInvalid if a member has no name: Load would skip it.
func checkMembers(c *imc.Change) error {
	for _, m := range c.Put {
		if m.User.User == "" || m.User.Domain == "" {
			return fmt.Errorf("%w: member without a name", errInvalid)
		}
	}
	return nil
}

// ownName is the width of names in silod's own tables.
var ownName = columnInfo{width: 255}

// deleteRoom deletes the row of a room in imc_rooms.
func deleteRoom(s *session, room rowName) error {
	return s.exec("DELETE FROM {rooms} WHERE name = $1 AND domain = $2", room.user, room.domain)
}

// deleteOwnRows deletes the rows of a room in one of silod's own tables.
func deleteOwnRows(s *session, table, uri string) error {
	return s.exec("DELETE FROM "+table+" WHERE room = $1", uri)
}

// deleteMember deletes the row of a member in one of the memberTables.
func deleteMember(s *session, table, room string, user rowName) error {
	return s.exec("DELETE FROM "+table+" WHERE room = $1 AND username = $2 AND domain = $3", room, user.user, user.domain)
}

// memberTables are the tables with a row for each member.
var memberTables = []string{"silod_cursor", "silod_member", "{members}"}

// putRoom writes a room and its changed members. Whether the room is empty follows from the
// table: a Change has only the members that have changed.
func putRoom(s *session, c *imc.Change) error {
	room := c.Room.AoR.String()
	if err := putMembers(s, room, c.Put); err != nil {
		return err
	}
	for _, a := range c.Remove {
		u := s.layout.member(a)
		for _, t := range memberTables {
			if err := deleteMember(s, t, room, u); err != nil {
				return err
			}
		}
	}
	if err := s.byIndex(); err != nil {
		return err
	}
	some, err := s.ints("SELECT 1 FROM {members} WHERE room = $1 LIMIT 1", room)
	if err != nil {
		return err
	}
	flag := oneIf(c.Room.Private)*roomPrivate | oneIf(c.Room.Closed)*roomDeleted
	empty := len(some) == 0
	err = s.upsert(&roomTable, [][]any{{
		room, flag, oneIf(empty), []byte(c.Room.Topic), millis(c.Room.Created), c.Room.Title, oneIf(c.Room.Moderated),
		c.Room.OpenHistory, c.Room.Creator.User, c.Room.Creator.Domain,
	}})
	if err != nil {
		return err
	}
	if empty {
		return deleteRoom(s, rowName{c.Room.AoR.User, c.Room.AoR.Domain})
	}
	return s.upsert(&s.layout.rooms.rooms, [][]any{{c.Room.AoR.User, c.Room.AoR.Domain, flag}})
}

// putMembers writes members, the last value of each. A banned user or a former member is not a
// member for Kamailio; only silod's own tables have the row.
func putMembers(s *session, room string, put []imc.Member) error {
	if len(put) == 0 {
		return nil
	}
	seen := map[sip.AoR]int{}
	var listed [][]any
	own := make([]ownRows, 0, len(put))
	for i, m := range put {
		seen[m.User] = i
	}
	for i := range put {
		m := &put[i]
		if seen[m.User] != i {
			continue
		}
		own = append(own, s.layout.ownRows(room, m))
		u := s.layout.member(m.User)
		if exclusion(m.Role) == notExcluded {
			listed = append(listed, []any{u.user, u.domain, room, memberFlag(m.Role)})
		} else if err := deleteMember(s, "{members}", room, u); err != nil {
			return err
		}
	}
	if len(listed) > 0 {
		if err := s.upsert(&s.layout.rooms.members, listed); err != nil {
			return err
		}
	}
	return putOwn(s, own)
}

// ownRows are the rows of a member in silod's own tables.
type ownRows struct{ member, cursor []any }

func (l *layout) ownRows(room string, m *imc.Member) ownRows {
	n, by := l.member(m.User), m.InvitedBy
	return ownRows{
		member: []any{
			room, n.user, n.domain, oneIf(m.Muted), oneIf(m.Paused), exclusion(m.Role), by.User, by.Domain, storedRole(m.Role),
			millis(m.MutedUntil), millis(m.BannedUntil), m.Reason, oneIf(m.Voiced), m.Nick, m.AddedBy.User, m.AddedBy.Domain,
		},
		cursor: []any{room, n.user, n.domain, m.Cursor, millis(m.Seen), m.Since},
	}
}

// putOwn writes rows of members in silod's own tables.
func putOwn(s *session, rows []ownRows) error {
	members, cursors := make([][]any, len(rows)), make([][]any, len(rows))
	for i, r := range rows {
		members[i], cursors[i] = r.member, r.cursor
	}
	if err := s.upsert(&memberTable, members); err != nil {
		return err
	}
	return s.upsert(&cursorTable, cursors)
}

// memberFlag returns the flag of a role in imc_members, 0 for a plain member.
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

// The values of the column banned of silod_member: users that are not in imc_members.
const (
	notExcluded int64 = iota
	excludedBanned
	excludedFormer
)

// exclusion returns the value of the column banned for a role.
func exclusion(r imc.Role) int64 {
	switch r {
	case imc.Banned:
		return excludedBanned
	case imc.Former:
		return excludedFormer
	}
	return notExcluded
}

// storedRole returns the value of the column role for a role. 0 stands for rows that an older
// silod has written. roleOf reads imc_members instead; the column serves where that table was
// emptied by another program.
func storedRole(r imc.Role) int64 { return int64(r) + 1 }

// roleOf returns the role for a flag of imc_members.
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

// oneIf returns 1 for true and 0 for false.
func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// millis returns a time as unix milliseconds, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMillis is the reverse of millis.
func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
