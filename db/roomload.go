package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"silod/imc"
	"silod/sip"
)

// A roomLoader assembles rooms from the rows of their tables, which are read one after the
// other. Each of its methods reads one row.
type roomLoader struct {
	order []*loadedRoom
	rooms map[sip.AoR]*loadedRoom
}

// A loadedRoom is a room with its members in the order of their rows.
type loadedRoom struct {
	imc.Room
	members []*imc.Member
	index   map[sip.AoR]*imc.Member
}

// Load implements imc.Store. A room with members, and a member that is not banned, exist only
// if Kamailio's tables have them: another program may have removed them there.
func (st *rooms) Load(ctx context.Context, f func(imc.Room, []imc.Member), skip func(error)) error {
	l := &roomLoader{rooms: map[sip.AoR]*loadedRoom{}}
	for _, part := range []struct {
		text string
		row  func(scan func(...any) error) error
	}{
		{"SELECT name, domain, flag FROM {rooms} ORDER BY id", l.kamailioRoom},
		{"SELECT room, flag, is_empty, topic, created FROM silod_room ORDER BY room", l.ownRoom},
		{"SELECT username, domain, room, flag FROM {members} ORDER BY id", l.kamailioMember},
		{"SELECT room, username, domain, muted, paused, banned, invited_user, invited_domain FROM silod_member " +
			"ORDER BY room, username, domain", l.ownMember},
		{"SELECT room, username, domain, seq, seen FROM silod_cursor", l.cursor},
	} {
		if err := st.each(ctx, part.text, part.row, skip); err != nil {
			return fmt.Errorf("load rooms: %w", busy(err))
		}
	}
	for _, r := range l.order {
		members := make([]imc.Member, len(r.members))
		for i, m := range r.members {
			members[i] = *m
		}
		f(r.Room, members)
	}
	return nil
}

// each calls f for every row, and skip for the errors of f.
func (st *rooms) each(ctx context.Context, text string, f func(func(...any) error) error, skip func(error)) error {
	rows, err := st.reader.query(ctx, text)
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

// kamailioRoom reads a row of imc_rooms: the room exists.
func (l *roomLoader) kamailioRoom(scan func(...any) error) error {
	var name, domain string
	var flag int64
	if err := scan(&name, &domain, &flag); err != nil {
		return fmt.Errorf("row of imc_rooms: %w", err)
	}
	a, err := roomAoR("sip:" + name + "@" + domain)
	if err != nil {
		return fmt.Errorf("row of imc_rooms: %w", err)
	}
	l.room(a).setFlag(flag)
	return nil
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
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_room: %w", err)
	}
	r, known := l.rooms[a]
	if !known {
		if empty == 0 {
			return nil // destroyed by another program
		}
		r = l.room(a)
		r.setFlag(flag)
	}
	r.Topic, r.Created = string(topic), fromMillis(created)
	return nil
}

// kamailioMember reads a row of imc_members. It returns an error where the room does not
// exist.
func (l *roomLoader) kamailioMember(scan func(...any) error) error {
	var user, domain, uri string
	var flag int64
	if err := scan(&user, &domain, &uri, &flag); err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	a, err := roomAoR(uri)
	if err == nil && l.rooms[a] == nil {
		err = fmt.Errorf("no such room: %s", uri)
	}
	switch {
	case err == nil && user == "":
		err = errors.New("no user name")
	case err == nil && flag&^(memberOwner|memberAdmin|memberInvited|memberDeleted|memberSkip) != 0:
		err = fmt.Errorf("unknown flag %d of %s", flag, user)
	}
	if err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	if flag&memberDeleted == 0 {
		l.rooms[a].member(sip.AoR{User: user, Domain: strings.ToLower(domain)}).Role = roleOf(flag)
	}
	return nil
}

// ownMember adds the values for which imc_members has no column. A user that is missing in
// imc_members was removed by another program, or is banned.
func (l *roomLoader) ownMember(scan func(...any) error) error {
	var uri, user, domain string
	var muted, paused, banned int64
	var by sip.AoR
	if err := scan(&uri, &user, &domain, &muted, &paused, &banned, &by.User, &by.Domain); err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	r := l.rooms[a]
	if r == nil || r.index[sip.AoR{User: user, Domain: domain}] == nil && banned == 0 {
		return nil // removed by another program
	}
	m := r.member(sip.AoR{User: user, Domain: domain})
	if banned != 0 {
		m.Role = imc.Banned
	}
	m.Muted, m.Paused, m.InvitedBy = muted != 0, paused != 0, by
	return nil
}

// cursor adds the cursor of a member and skips the cursors of former members.
func (l *roomLoader) cursor(scan func(...any) error) error {
	var uri, user, domain string
	var seq, seen int64
	if err := scan(&uri, &user, &domain, &seq, &seen); err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	a, err := roomAoR(uri)
	if err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	if r := l.rooms[a]; r != nil && r.index[sip.AoR{User: user, Domain: domain}] != nil {
		m := r.index[sip.AoR{User: user, Domain: domain}]
		m.Cursor, m.Seen = seq, fromMillis(seen)
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
