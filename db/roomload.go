package db

import (
	"context"
	"errors"
	"fmt"

	"silod/imc"
	"silod/sip"
)

// A roomLoader assembles rooms from the rows of their tables, which are read one after the
// other. Each of its methods reads one row.
type roomLoader struct {
	layout *layout
	order  []*loadedRoom
	rooms  map[sip.AoR]*loadedRoom
	// repeated has the URIs of rooms that are another row's room in another spelling. They may
	// have other members, so none of their rows is used.
	repeated map[string]bool
}

// A loadedRoom is a room with its members in the order of their rows.
type loadedRoom struct {
	imc.Room
	members []*imc.Member
	index   map[sip.AoR]*imc.Member

	listed bool      // a row of imc_rooms has been read
	other  otherRows // those to write again
}

// Load implements imc.Store. A room with members, and a member that is not banned, exist only
// if Kamailio's tables have them: another program may have removed them there. Rows in another
// spelling than silod's are replaced before. A room for which that fails is skipped, and its
// rows stay: later changes would not hit them. If the database does not accept writes, no other
// room is tried.
func (st *rooms) Load(ctx context.Context, f func(imc.Room, []imc.Member), skip func(error)) error {
	l, err := st.load(ctx, skip)
	if err != nil {
		return fmt.Errorf("load rooms: %w", busy(err))
	}
	failed := st.respellAll(ctx, l.order)
	for _, r := range l.order {
		if err := failed[r.AoR]; err != nil {
			skip(fmt.Errorf("room %s has rows in another spelling that cannot be replaced; it is not used before the next start: %w", r.AoR, err))
			continue
		}
		f(r.Room, r.list())
	}
	return nil
}

// load reads the rows of all tables.
func (st *rooms) load(ctx context.Context, skip func(error)) (*roomLoader, error) {
	l := &roomLoader{layout: st.layout, rooms: map[sip.AoR]*loadedRoom{}, repeated: map[string]bool{}}
	if err := st.loadNames(ctx, l, skip); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		text string
		row  func(scan func(...any) error) error
	}{
		{"SELECT room, flag, is_empty, topic, created FROM silod_room ORDER BY room", l.ownRoom},
		{"SELECT username, domain, room, flag FROM {members} ORDER BY id", l.kamailioMember},
		{"SELECT room, username, domain, muted, paused, banned, invited_user, invited_domain FROM silod_member " +
			"ORDER BY room, username, domain", l.ownMember},
		{"SELECT room, username, domain, seq, seen FROM silod_cursor", l.cursor},
	} {
		if err := st.each(ctx, part.text, part.row, skip); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// each calls f for every row, and skip for the errors of f.
func (st *rooms) each(ctx context.Context, text string, f func(func(...any) error) error, skip func(error)) error {
	rows, err := st.reader.query(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(func(dest ...any) error { return scan(rows, dest...) }); err != nil {
			skip(err)
		}
	}
	return rows.Err()
}

// loadNames reads imc_rooms twice: of several rows of a room, that in silod's spelling counts,
// or else the first.
func (st *rooms) loadNames(ctx context.Context, l *roomLoader, skip func(error)) error {
	const text = "SELECT name, domain, flag FROM {rooms} ORDER BY id"
	for _, exact := range []bool{true, false} {
		if err := st.each(ctx, text, func(scan func(...any) error) error { return l.kamailioRoom(scan, exact) }, skip); err != nil {
			return err
		}
	}
	return nil
}

// kamailioRoom reads a row of imc_rooms: the room exists. With exact it reads only rows in
// silod's spelling, else only others.
func (l *roomLoader) kamailioRoom(scan func(...any) error, exact bool) error {
	var n rowName
	var flag int64
	if err := scan(&n.user, &n.domain, &flag); err != nil {
		if exact {
			return nil // the other reading reports it
		}
		return fmt.Errorf("row of imc_rooms: %w", err)
	}
	a := l.layout.room(n)
	if (n == rowName{a.User, a.Domain}) != exact {
		return nil
	}
	if n.user == "" || a.Domain == "" {
		return fmt.Errorf("row of imc_rooms: no name or no domain: %q", uriOf(n))
	}
	r := l.room(a)
	if r.listed {
		l.repeated[uriOf(n)] = true
		return fmt.Errorf("row of imc_rooms: room %q is %s in another spelling: it is not used until it has another name", uriOf(n), a)
	}
	r.listed = true
	r.setFlag(flag)
	if !exact {
		r.other.names = append(r.other.names, n)
	}
	return nil
}

// uriOf returns the URI of a room as Kamailio writes it into imc_members.
func uriOf(n rowName) string { return "sip:" + n.user + "@" + n.domain }

// find returns the room with a URI, nil if there is none. table is that of the row.
func (l *roomLoader) find(table, uri string) (r *loadedRoom, a sip.AoR, err error) {
	if a, err = l.layout.roomOf(uri); err != nil {
		return nil, a, fmt.Errorf("row of %s: %w", table, err)
	}
	if l.repeated[uri] {
		return nil, a, nil
	}
	return l.rooms[a], a, nil
}

// ownRoom adds the values for which imc_rooms has no column. Where silod_room says that
// the room has members, but imc_rooms does not have it, another program has destroyed it.
func (l *roomLoader) ownRoom(scan func(...any) error) error {
	var uri string
	var flag, empty, created int64
	var topic []byte
	if err := scan(&uri, &flag, &empty, &topic, &created); err != nil {
		return fmt.Errorf("row of silod_room: %w", err)
	}
	r, a, err := l.find("silod_room", uri)
	if err != nil || l.repeated[uri] {
		return err
	}
	if r == nil {
		if empty == 0 {
			return nil // destroyed by another program
		}
		r = l.room(a)
		r.setFlag(flag)
	}
	same := r.other.room(uri, a)
	if same || r.Created.IsZero() {
		r.Topic, r.Created = string(topic), fromMillis(created)
	}
	return nil
}

// kamailioMember reads a row of imc_members. It returns an error where the room does not
// exist. Of several rows of a user the highest role counts.
func (l *roomLoader) kamailioMember(scan func(...any) error) error {
	var n rowName
	var uri string
	var flag int64
	if err := scan(&n.user, &n.domain, &uri, &flag); err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	r, a, err := l.find("imc_members", uri)
	switch {
	case err != nil:
		return err
	case l.repeated[uri]:
		return nil
	case r == nil:
		return fmt.Errorf("row of imc_members: no such room: %s", uri)
	case n.user == "":
		return errors.New("row of imc_members: no user name")
	case flag&^(memberOwner|memberAdmin|memberInvited|memberDeleted|memberSkip) != 0:
		return fmt.Errorf("row of imc_members: unknown flag %d of %s", flag, n.user)
	case flag&memberDeleted != 0:
		return nil
	}
	user, role := l.layout.aor(n), roleOf(flag)
	if old := r.index[user]; old != nil {
		role = max(role, old.Role)
	}
	r.member(user).Role = role
	r.other.member("{members}", uri, a, n, l.layout.member(user))
	return nil
}

// ownMember adds the values for which imc_members has no column. A user that is missing in
// imc_members was removed by another program, or is banned.
func (l *roomLoader) ownMember(scan func(...any) error) error {
	var uri string
	var n, by rowName
	var muted, paused, banned int64
	if err := scan(&uri, &n.user, &n.domain, &muted, &paused, &banned, &by.user, &by.domain); err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	r, a, err := l.find("silod_member", uri)
	if err != nil || r == nil {
		return err
	}
	user := l.layout.aor(n)
	if r.index[user] == nil && banned == 0 {
		return nil // removed by another program
	}
	m := r.member(user)
	if banned != 0 {
		m.Role = imc.Banned
	}
	m.Muted, m.Paused = m.Muted || muted != 0, m.Paused || paused != 0
	if by.user != "" {
		m.InvitedBy = l.layout.aor(by)
	}
	r.other.member("silod_member", uri, a, n, l.layout.member(user))
	return nil
}

// cursor adds the cursor of a member and skips the cursors of former members. Of several the
// highest counts.
func (l *roomLoader) cursor(scan func(...any) error) error {
	var uri string
	var n rowName
	var seq, seen int64
	if err := scan(&uri, &n.user, &n.domain, &seq, &seen); err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	r, a, err := l.find("silod_cursor", uri)
	if err != nil || r == nil {
		return err
	}
	user := l.layout.aor(n)
	if m := r.index[user]; m != nil {
		m.Cursor = max(m.Cursor, seq)
		if at := fromMillis(seen); at.After(m.Seen) {
			m.Seen = at
		}
		r.other.member("silod_cursor", uri, a, n, l.layout.member(user))
	}
	return nil
}

// room returns a room, a new one if it was not read before.
func (l *roomLoader) room(a sip.AoR) *loadedRoom {
	r := l.rooms[a]
	if r == nil {
		r = &loadedRoom{Room: imc.Room{AoR: a}, index: map[sip.AoR]*imc.Member{}}
		l.rooms[a] = r
		l.order = append(l.order, r)
	}
	return r
}

// list returns the members.
func (r *loadedRoom) list() []imc.Member {
	members := make([]imc.Member, len(r.members))
	for i, m := range r.members {
		members[i] = *m
	}
	return members
}

// setFlag sets the values of the column flag.
func (r *loadedRoom) setFlag(flag int64) {
	r.Private, r.Closed = flag&roomPrivate != 0, flag&roomDeleted != 0
}

// member returns a member, a new one if it was not read before.
func (r *loadedRoom) member(user sip.AoR) *imc.Member {
	m := r.index[user]
	if m == nil {
		m = &imc.Member{User: user, Role: imc.Plain}
		r.index[user] = m
		r.members = append(r.members, m)
	}
	return m
}
