package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"silod/address"
	"silod/imc"
	"silod/silo"
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
		{name: "room"}, {name: "flag", kind: kindInt}, {name: "empty", kind: kindInt},
		{name: "topic", kind: kindBytes}, {name: "created", kind: kindInt},
	}}
	memberTable = table{name: "silod_member", keys: 3, fields: []field{
		{name: "room"}, {name: "username"}, {name: "domain"},
		{name: "muted", kind: kindInt}, {name: "paused", kind: kindInt}, {name: "banned", kind: kindInt},
	}}
	cursorTable = table{name: "silod_cursor", keys: 3, fields: []field{
		{name: "room"}, {name: "username"}, {name: "domain"},
		{name: "seq", kind: kindInt, max: true}, {name: "seen", kind: kindInt, max: true},
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

func (db *DB) roomsTable() string {
	if db.opts.RoomsTable != "" {
		return db.opts.RoomsTable
	}
	return "imc_rooms"
}

func (db *DB) membersTable() string {
	if db.opts.MembersTable != "" {
		return db.opts.MembersTable
	}
	return "imc_members"
}

func (st roomStore) Apply(ctx context.Context, c imc.Change) error {
	if err := st.check(&c); err != nil {
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	work := func(s *session) error { return st.put(s, &c) }
	if c.Delete {
		work = func(s *session) error { return st.destroy(s, c.Room.AoR) }
	}
	if err := st.db.step(ctx, 1+len(c.Put)+len(c.Remove), work); err != nil {
		return fmt.Errorf("room %s: %w", c.Room.AoR, err)
	}
	return nil
}

// check refuses what the tables cannot hold.
func (st roomStore) check(c *imc.Change) error {
	too := func(what, value string) error {
		return fmt.Errorf("%w: %s %q is too long for Kamailio's tables", silo.ErrInvalid, what, value)
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
	}
	return nil
}

func (st roomStore) destroy(s *session, room address.AoR) error {
	if err := st.deleteRoom(s, room); err != nil {
		return err
	}
	for _, t := range []string{st.db.membersTable(), "silod_room", "silod_member", "silod_cursor", "silod_room_log"} {
		if _, err := s.exec("DELETE FROM "+t+" WHERE room = $1", room.String()); err != nil {
			return err
		}
	}
	return nil
}

// deleteRoom takes a room out of Kamailio's table, however its name is spelled there.
func (st roomStore) deleteRoom(s *session, room address.AoR) error {
	_, err := s.exec("DELETE FROM "+st.db.roomsTable()+" WHERE name = $1 AND domain = $2", room.User, room.Domain)
	return err
}

// put writes the room, its changed members, and whether it has any.
func (st roomStore) put(s *session, c *imc.Change) error {
	room := c.Room.AoR.String()
	if err := st.putMembers(s, room, c.Put); err != nil {
		return err
	}
	for _, u := range c.Remove {
		for _, t := range []string{st.db.membersTable(), "silod_member", "silod_cursor"} {
			if _, err := s.exec("DELETE FROM "+t+" WHERE room = $1 AND username = $2 AND domain = $3", room, u.User, u.Domain); err != nil {
				return err
			}
		}
	}
	n, err := s.ints("SELECT COUNT(*) FROM "+st.db.membersTable()+" WHERE room = $1", room)
	if err != nil {
		return err
	}
	flag := int64(0)
	if c.Room.Private {
		flag = roomPrivate
	}
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

func (st roomStore) putMembers(s *session, room string, put []imc.Member) error {
	if len(put) == 0 {
		return nil
	}
	seen := map[address.AoR]int{}
	var listed, flags, cursors [][]any
	for i, m := range put { // the last word on a user counts
		seen[m.User] = i
	}
	for i, m := range put {
		if seen[m.User] != i {
			continue
		}
		u, d := m.User.User, m.User.Domain
		flags = append(flags, []any{room, u, d, oneIf(m.Muted), oneIf(m.Paused), oneIf(m.Role == imc.Banned)})
		cursors = append(cursors, []any{room, u, d, m.Cursor, millis(m.Seen)})
		if m.Role != imc.Banned {
			listed = append(listed, []any{u, d, room, memberFlag(m.Role)})
			continue
		}
		_, err := s.exec("DELETE FROM "+st.db.membersTable()+" WHERE room = $1 AND username = $2 AND domain = $3", room, u, d)
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

// roomLoad puts rooms together from the tables that know of them.
type roomLoad struct {
	order   []address.AoR
	rooms   map[address.AoR]*imc.Room
	members map[address.AoR]map[address.AoR]*imc.Member
	skip    func(error)
}

func (st roomStore) Load(ctx context.Context, f func(imc.Room, []imc.Member), skip func(error)) error {
	l := &roomLoad{rooms: map[address.AoR]*imc.Room{}, members: map[address.AoR]map[address.AoR]*imc.Member{}, skip: skip}
	for _, part := range []struct {
		text string
		row  func(scan func(...any) error) error
	}{
		{"SELECT name, domain, flag FROM " + st.db.roomsTable() + " ORDER BY id", l.kamailioRoom},
		{"SELECT room, flag, empty, topic, created FROM silod_room ORDER BY room", l.ownRoom},
		{"SELECT username, domain, room, flag FROM " + st.db.membersTable() + " ORDER BY id", l.kamailioMember},
		{"SELECT room, username, domain, muted, paused, banned FROM silod_member", l.ownMember},
		{"SELECT room, username, domain, seq, seen FROM silod_cursor", l.cursor},
	} {
		if err := st.each(ctx, part.text, part.row, skip); err != nil {
			return fmt.Errorf("load rooms: %w", isBusy(err))
		}
	}
	for _, a := range l.order {
		members := make([]imc.Member, 0, len(l.members[a]))
		for _, m := range l.members[a] {
			members = append(members, *m)
		}
		sortMembers(members)
		f(*l.rooms[a], members)
	}
	return nil
}

// each calls f for every row; what f says of a row goes to skip.
func (st roomStore) each(ctx context.Context, text string, f func(func(...any) error) error, skip func(error)) error {
	rows, err := st.db.read.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			skip(err)
		}
	}
	return rows.Err()
}

func (l *roomLoad) kamailioRoom(scan func(...any) error) error {
	var name, domain string
	var flag int64
	if err := scan(&name, &domain, &flag); err != nil {
		return fmt.Errorf("row of imc_rooms: %w", err)
	}
	a, err := roomAoR("sip:" + name + "@" + domain)
	if err != nil {
		return fmt.Errorf("row of imc_rooms: %w", err)
	}
	if flag&roomDeleted == 0 {
		l.room(a).Private = flag&roomPrivate != 0
	}
	return nil
}

func (l *roomLoad) ownRoom(scan func(...any) error) error {
	var uri string
	var flag, empty, created int64
	var topic []byte
	if err := scan(&uri, &flag, &empty, &topic, &created); err != nil {
		return fmt.Errorf("row of silod_room: %w", err)
	}
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_room: %w", err)
	}
	r, known := l.rooms[a]
	if !known {
		if empty == 0 {
			return nil // somebody else destroyed it
		}
		r = l.room(a)
		r.Private = flag&roomPrivate != 0
	}
	r.Topic, r.Created = string(topic), fromMillis(created)
	return nil
}

func (l *roomLoad) kamailioMember(scan func(...any) error) error {
	var user, domain, uri string
	var flag int64
	if err := scan(&user, &domain, &uri, &flag); err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	a, err := roomAoR(uri)
	if err == nil && l.rooms[a] == nil {
		err = fmt.Errorf("no such room: %s", uri)
	}
	if err == nil && user == "" {
		err = errors.New("no user name")
	}
	if err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	if flag&memberDeleted == 0 {
		l.member(a, owner(user, strings.ToLower(domain))).Role = roleOf(flag)
	}
	return nil
}

func (l *roomLoad) ownMember(scan func(...any) error) error {
	var uri, user, domain string
	var muted, paused, banned int64
	if err := scan(&uri, &user, &domain, &muted, &paused, &banned); err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	m := l.members[a][owner(user, domain)]
	if m == nil {
		if banned == 0 || l.rooms[a] == nil {
			return nil // somebody else took them out
		}
		m = l.member(a, owner(user, domain))
		m.Role = imc.Banned
	}
	m.Muted, m.Paused = muted != 0, paused != 0
	return nil
}

func (l *roomLoad) cursor(scan func(...any) error) error {
	var uri, user, domain string
	var seq, seen int64
	if err := scan(&uri, &user, &domain, &seq, &seen); err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	if m := l.members[a][owner(user, domain)]; m != nil {
		m.Cursor, m.Seen = seq, fromMillis(seen)
	}
	return nil
}

func (l *roomLoad) room(a address.AoR) *imc.Room {
	if l.rooms[a] == nil {
		l.rooms[a] = &imc.Room{AoR: a}
		l.members[a] = map[address.AoR]*imc.Member{}
		l.order = append(l.order, a)
	}
	return l.rooms[a]
}

func (l *roomLoad) member(room, user address.AoR) *imc.Member {
	m := l.members[room][user]
	if m == nil {
		m = &imc.Member{User: user, Role: imc.Plain}
		l.members[room][user] = m
	}
	return m
}

// roomAoR reads a room's URI; rooms are lower case throughout.
func roomAoR(uri string) (address.AoR, error) {
	return address.ParseAoR(strings.ToLower(uri))
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
