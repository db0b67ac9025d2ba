package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"silod/imc"
	"silod/sip"
)

// A roomLoader assembles rooms from the rows of their tables, which are read one after the
// other. Each of its methods reads one row.
type roomLoader struct {
	layout *layout
	order  []*loadedRoom
	rooms  map[sip.AoR]*loadedRoom
	uris   map[string]*loadedRoom // by the URIs in rows
	texts  map[string]string      // one copy of each text that occurs often
	// repeated has the URIs of rooms that are another row's room in another spelling. They may
	// have other members, so none of their rows is used.
	repeated map[string]bool

	row struct { // the values of a row: all rows use these variables
		memberRow
		flag, role, seq, seen, since int64
	}
	cursors   int64 // rows of silod_cursor
	missing   bool  // Kamailio's tables lack a room or a member of them
	verdict   verdict
	restored  int       // rooms
	destroyed []sip.AoR // rooms that another program has destroyed
	resuming  bool      // a restoration has ended early
}

// A loadedRoom is a room with its members in the order of their rows.
type loadedRoom struct {
	imc.Room
	members []*imc.Member
	index   map[sip.AoR]*imc.Member // nil while there are few members

	listed bool      // a row of imc_rooms has been read
	other  otherRows // those to write again
	copy   roomCopy
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
	l.tell(st.log)
	if err := st.forgetRemoved(ctx, l); err != nil {
		st.log.Error("rows of removed rooms and members not deleted", slog.Any("error", err))
	}
	failed := st.rewriteAll(ctx, l)
	for _, r := range l.order {
		if err := failed[r.AoR]; err != nil {
			skip(fmt.Errorf("room %s has rows in another spelling that cannot be replaced; it is not used before the next start: %w", r.AoR, err))
			continue
		}
		f(r.Room, r.list())
		r.members, r.index = nil, nil // the caller has them
	}
	return nil
}

// load reads the rows of all tables.
func (st *rooms) load(ctx context.Context, skip func(error)) (*roomLoader, error) {
	l := &roomLoader{
		layout: st.layout, rooms: map[sip.AoR]*loadedRoom{}, repeated: map[string]bool{},
		uris: map[string]*loadedRoom{}, texts: map[string]string{},
	}
	if err := st.loadNames(ctx, l, skip); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		text string
		row  func(scan func(...any) error) error
	}{
		{"SELECT room, flag, is_empty, topic, created, title, moderated, open_history, creator_user, creator_domain FROM silod_room ORDER BY room", l.ownRoom},
		{"SELECT username, domain, room, flag FROM {members} ORDER BY id", l.kamailioMember},
		{selectMember, l.ownMember},
		{selectRole + otherRole, l.ownRole},
		{"SELECT room, username, domain, seq, seen, since FROM silod_cursor", l.cursor},
	} {
		if err := st.each(ctx, part.text, part.row, skip); err != nil {
			return nil, err
		}
	}
	if err := st.loadMissing(ctx, l, skip); err != nil {
		return nil, err
	}
	restoring, err := st.notes.load(ctx, noteRestoring)
	if err != nil {
		return nil, err
	}
	l.judge(restoring != 0, skip)
	return l, nil
}

// each calls f for every row, and skip for the errors of f.
func (st *rooms) each(ctx context.Context, text string, f func(func(...any) error) error, skip func(error), args ...any) error {
	rows, err := st.reader.query(ctx, text, args...)
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

// loadNames reads imc_rooms. Of several rows of a room, that in silod's spelling counts, or else
// the first, so the others are read last.
func (st *rooms) loadNames(ctx context.Context, l *roomLoader, skip func(error)) error {
	type row struct {
		name rowName
		flag int64
	}
	var others []row
	err := st.each(ctx, "SELECT name, domain, flag FROM {rooms} ORDER BY id", func(scan func(...any) error) error {
		var r row
		if err := scan(&r.name.user, &r.name.domain, &r.flag); err != nil {
			return fmt.Errorf("row of imc_rooms: %w", err)
		}
		if a := l.layout.room(r.name); (r.name != rowName{a.User, a.Domain}) {
			others = append(others, r)
			return nil
		}
		return l.kamailioRoom(r.name, r.flag)
	}, skip)
	for _, r := range others {
		if err := l.kamailioRoom(r.name, r.flag); err != nil {
			skip(err)
		}
	}
	return err
}

// kamailioRoom adds the room of a row of imc_rooms.
func (l *roomLoader) kamailioRoom(n rowName, flag int64) error {
	a := l.layout.room(n)
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
	if (n != rowName{a.User, a.Domain}) {
		r.other.names = append(r.other.names, n)
	}
	return nil
}

// uriOf returns the URI of a room as Kamailio writes it into imc_members.
func uriOf(n rowName) string { return "sip:" + n.user + "@" + n.domain }

// find returns the room with a URI, nil if there is none. table is that of the row.
func (l *roomLoader) find(table, uri string) (r *loadedRoom, a sip.AoR, err error) {
	if known := l.uris[uri]; known != nil {
		return known, known.AoR, nil
	}
	if a, err = l.layout.roomOf(uri); err != nil {
		return nil, a, fmt.Errorf("row of %s: %w", table, err)
	}
	if l.repeated[uri] {
		return nil, a, nil
	}
	if r = l.rooms[a]; r != nil {
		l.uris[uri] = r
	}
	return r, a, nil
}

// shared returns one copy of a text that occurs in many rows.
func (l *roomLoader) shared(text string) string {
	if t, ok := l.texts[text]; ok {
		return t
	}
	if len(l.texts) < maxShared {
		text = strings.Clone(text)
		l.texts[text] = text
	}
	return text
}

// maxShared limits the texts of shared.
const maxShared = 100_000

// ownRoom adds the values for which imc_rooms has no column. Where silod_room says that
// the room has members, but imc_rooms does not have it, judge decides.
func (l *roomLoader) ownRoom(scan func(...any) error) error {
	var uri string
	var flag, empty, created, moderated, open int64
	var topic []byte
	var title string
	var creator rowName
	err := scan(&uri, &flag, &empty, &topic, &created, &title, &moderated, &open, &creator.user, &creator.domain)
	if err != nil {
		return fmt.Errorf("row of silod_room: %w", err)
	}
	r, a, err := l.find("silod_room", uri)
	if err != nil || l.repeated[uri] {
		return err
	}
	if r == nil {
		r = l.room(a)
		r.setFlag(flag)
	}
	r.copy.room, r.copy.flag = empty == 0, flag
	l.missing = l.missing || r.copy.room && !r.listed
	same := r.other.room(uri, a)
	if same || r.Created.IsZero() {
		r.Topic, r.Created, r.Title = string(topic), fromMillis(created), held(title)
		r.Moderated, r.OpenHistory = moderated != 0, open
		r.Creator = l.named(creator)
	}
	return nil
}

// kamailioMember reads a row of imc_members. It returns an error where the room does not
// exist. Of several rows of a user the highest role counts.
func (l *roomLoader) kamailioMember(scan func(...any) error) error {
	v := &l.row
	if err := scan(&v.user.user, &v.user.domain, &v.room, &v.flag); err != nil {
		return fmt.Errorf("row of imc_members: %w", err)
	}
	uri, flag, n := v.room, v.flag, rowName{l.shared(v.user.user), l.shared(v.user.domain)}
	r, a, err := l.find("imc_members", uri)
	switch {
	case err != nil:
		return err
	case l.repeated[uri]:
		return nil
	case r == nil:
		return noSuchRoom(uri)
	case n.user == "":
		return errors.New("row of imc_members: no user name")
	case flag&^(memberOwner|memberAdmin|memberInvited|memberDeleted|memberSkip) != 0:
		return fmt.Errorf("row of imc_members: unknown flag %d of %s", flag, n.user)
	case flag&memberDeleted != 0:
		return nil
	}
	user, role := l.layout.aor(n), roleOf(flag)
	if old := r.find(user); old != nil {
		role = max(role, old.Role)
	}
	r.member(user).Role = role
	if !r.listed {
		r.copy.orphans++
	}
	r.other.member("{members}", uri, a, n, l.layout.member(user))
	return nil
}

// room returns a room, a new one if it was not read before.
func (l *roomLoader) room(a sip.AoR) *loadedRoom {
	r := l.rooms[a]
	if r == nil {
		r = &loadedRoom{Room: imc.Room{AoR: a}}
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

// fewMembers is the number of members up to which a room has no index.
const fewMembers = 16

// find returns a member, nil if it was not read before.
func (r *loadedRoom) find(user sip.AoR) *imc.Member {
	if r.index != nil {
		return r.index[user]
	}
	for _, m := range r.members {
		if m.User == user {
			return m
		}
	}
	return nil
}

// member returns a member, a new one if it was not read before.
func (r *loadedRoom) member(user sip.AoR) *imc.Member {
	m := r.find(user)
	if m != nil {
		return m
	}
	m = &imc.Member{User: user, Role: imc.Plain}
	r.members = append(r.members, m)
	switch {
	case r.index != nil:
		r.index[user] = m
	case len(r.members) > fewMembers:
		r.index = make(map[sip.AoR]*imc.Member, 2*len(r.members))
		for _, m := range r.members {
			r.index[m.User] = m
		}
	}
	return m
}
