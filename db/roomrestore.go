package db

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"silod/imc"
	"silod/sip"
)

// Kamailio's imc empties imc_rooms and imc_members when it starts. silod has a copy of its own rooms
// in silod_room and silod_member, and Load compares the two. A room is lost if imc_rooms does not
// have it or imc_members has none of its members, or only one of at least three: its creator, where
// Kamailio has made a room of the name since. If more than half of the rooms are lost, the tables
// were emptied, and the lost rooms are restored from the copy. Otherwise another program has
// destroyed the rooms and removed the members that are missing, and the copy forgets them.

// noSuchRoom is the error for the row of a member without a room.
func noSuchRoom(uri string) error { return fmt.Errorf("row of imc_members: no such room: %s", uri) }

// lost reports whether Kamailio's tables have lost a room.
func (r *loadedRoom) lost() bool {
	return r.copy.room && (!r.listed || len(r.copy.missing) > 0 && (r.copy.shared == 0 || r.copy.shared == 1 && len(r.copy.missing) > 1))
}

// A verdict is the result of the comparison of Kamailio's tables with silod's own.
type verdict struct {
	emptied bool
	rooms   int // that are lost
	members int // that are missing in rooms that stay
}

// judge decides which rooms are restored. All others that imc_rooms does not have are removed from
// the loader, and all other members that imc_members does not have stay unused. With resuming, a
// restoration has ended early.
func (l *roomLoader) judge(resuming bool, skip func(error)) {
	own := 0
	for _, r := range l.order {
		if r.copy.room {
			own++
		}
		if r.lost() {
			l.verdict.rooms++
		}
	}
	l.resuming = resuming
	l.verdict.emptied = resuming || 2*l.verdict.rooms > own
	l.order = slices.DeleteFunc(l.order, func(r *loadedRoom) bool {
		switch {
		case l.verdict.emptied && r.copy.room && (!r.listed || len(r.copy.missing) > 0):
			l.restore(r)
		case r.copy.room && !r.listed:
			for range r.copy.orphans {
				skip(noSuchRoom(r.AoR.String()))
			}
			l.destroyed = append(l.destroyed, r.AoR)
			return true
		case !r.copy.room && !r.listed && len(r.copy.missing) > 0: // rows of an older room of the name
		default:
			if !l.verdict.emptied {
				l.verdict.members += len(r.copy.missing)
			}
			l.keepMutes(r)
			r.findUntold()
		}
		return false
	})
}

// keepMutes makes muted users that another program has removed from a room former members: that ends
// no mute.
func (l *roomLoader) keepMutes(r *loadedRoom) {
	c := &r.copy
	for user, m := range c.missing {
		if !m.Muted {
			continue
		}
		delete(c.missing, user)
		c.rows = slices.DeleteFunc(c.rows, func(row memberRow) bool { return l.layout.aor(row.user) == user })
		c.untold = append(c.untold, user)
		*r.member(user) = imc.Member{
			User: user, Role: imc.Former, Muted: true, MutedUntil: m.MutedUntil, Reason: m.Reason, Cursor: m.Cursor, Seen: m.Seen,
		}
	}
}

// restore makes a room as silod's own tables have it. Users that Kamailio has added become members of
// a public room; of a private one they are not.
func (l *roomLoader) restore(r *loadedRoom) {
	c := &r.copy
	c.restored = true
	l.restored++
	l.verdict.members += len(c.missing)
	r.setFlag(c.flag)
	known := c.known()
	r.members = slices.DeleteFunc(r.members, func(m *imc.Member) bool {
		role, differs := c.roles[m.User]
		switch {
		case m.Role == imc.Banned || m.Role == imc.Former:
		case differs:
			m.Role = role
		case known[m.User]:
		case r.Private:
			r.other.members = append(r.other.members, memberRow{"{members}", r.AoR.String(), l.layout.member(m.User)})
			return true
		default:
			m.Role = imc.Plain
		}
		return false
	})
	for _, m := range c.missing {
		r.members = append(r.members, m)
	}
	slices.SortStableFunc(r.members, func(a, b *imc.Member) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User.Domain, b.User.Domain), cmp.Compare(a.User.User, b.User.User))
	})
	r.index = nil
	if len(r.members) > fewMembers {
		r.index = make(map[sip.AoR]*imc.Member, len(r.members))
		for _, m := range r.members {
			r.index[m.User] = m
		}
	}
}

// note returns in words what Kamailio's tables have lost, "" if that is nothing.
func (l *roomLoader) note() string {
	switch v := &l.verdict; {
	case l.restored > 0:
		return fmt.Sprintf("%d rooms of silod with %d members are missing here, as after a start of Kamailio's imc, which empties these tables: "+
			"silod restores them when it starts", l.restored, v.members)
	case len(l.destroyed) > 0 || v.members > 0:
		return fmt.Sprintf("another program has removed %d rooms of silod and %d members of others: silod removes them when it starts",
			len(l.destroyed), v.members)
	}
	return ""
}

// tell logs the result of the comparison.
func (l *roomLoader) tell(log *slog.Logger) {
	switch v := &l.verdict; {
	case l.restored > 0:
		log.Error("rooms were missing in the tables of Kamailio's imc and are restored",
			slog.Int("rooms", l.restored), slog.Int("members", v.members),
			slog.String("detail", "Kamailio's imc empties these tables when it starts: remove it from Kamailio's configuration, or give it others"))
	case len(l.destroyed) > 0 || v.members > 0:
		log.Warn("another program has removed rooms and members",
			slog.Int("rooms", len(l.destroyed)), slog.Int("members", v.members))
	}
}

// rewriteAll writes the rooms that are restored, and those with rows in another spelling. It returns
// the rooms for which that has failed.
func (st *rooms) rewriteAll(ctx context.Context, l *roomLoader) map[sip.AoR]error {
	if l.restored > 0 {
		// Rooms that are complete would make the next start take the others for destroyed.
		if err := st.notes.save(ctx, noteRestoring, 1); err != nil {
			st.log.Error("rooms not restored", slog.Any("error", err))
			failed := map[sip.AoR]error{}
			for _, r := range l.order {
				if r.copy.restored {
					failed[r.AoR] = err
				}
			}
			return failed
		}
	}
	failed := st.respellAll(ctx, l.order)
	if len(failed) > 0 || !l.resuming && l.restored == 0 {
		return failed
	}
	if err := st.notes.save(ctx, noteRestoring, 0); err != nil {
		st.log.Error("end of the restoration of rooms not saved", slog.Any("error", err))
	}
	return failed
}

// forgetRemoved deletes silod's own rows of rooms and members that another program has removed, so
// that no later restoration brings them back, and completes the roles in rows of an older silod.
func (st *rooms) forgetRemoved(ctx context.Context, l *roomLoader) error {
	for _, a := range l.destroyed {
		for done := false; !done; {
			var err error
			if done, err = st.Erase(ctx, a, respellRows); err != nil {
				return err
			}
		}
	}
	var put []ownRows
	for _, r := range l.order {
		if r.copy.restored {
			continue
		}
		for some := range slices.Chunk(r.copy.rows, respellRows) {
			if err := st.writer.step(ctx, len(some), func(s *session) error { return deleteCopies(s, some) }); err != nil {
				return err
			}
		}
		if !r.other.empty() {
			continue // all its rows are written again
		}
		for _, u := range r.copy.untold {
			put = append(put, st.layout.ownRows(r.AoR.String(), r.find(u)))
		}
	}
	for some := range slices.Chunk(put, respellRows) {
		if err := st.writer.step(ctx, len(some), func(s *session) error { return putOwn(s, some) }); err != nil {
			return err
		}
	}
	return nil
}

// deleteCopies deletes silod's own rows of members.
func deleteCopies(s *session, rows []memberRow) error {
	for _, m := range rows {
		for _, table := range []string{"silod_cursor", "silod_member"} {
			if err := deleteMember(s, table, m.room, m.user); err != nil {
				return err
			}
		}
	}
	return nil
}
