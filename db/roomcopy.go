package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"silod/imc"
	"silod/sip"
)

// A roomCopy is the rows of a room in silod's own tables, as far as Kamailio's tables differ.
type roomCopy struct {
	room     bool // silod_room has the room, with members
	flag     int64
	orphans  int // rows of imc_members, if imc_rooms does not have the room
	shared   int // members that both have
	missing  map[sip.AoR]*imc.Member
	cursors  map[sip.AoR]*imc.Member // users of which only a cursor was read
	rows     []memberRow             // of the missing members and the other cursors
	roles    map[sip.AoR]imc.Role    // of shared members, where they differ
	told     []sip.AoR               // shared members with the same role, if it is not Plain
	plain    []sip.AoR               // the other shared members
	untold   []sip.AoR               // members with a row to write
	restored bool
}

// In most rows of silod_member a member has no values but those of silod_cursor and a role, which
// plainMember finds. Of them only those with a role other than Plain are read, unless imc_members
// lacks a member.
const (
	plainMember = "(muted = 0 AND paused = 0 AND banned = 0 AND invited_user = '' AND muted_until = 0 AND " +
		"banned_until = 0 AND reason = '' AND voiced = 0 AND nick = '' AND added_user = '')"
	selectMember = "SELECT room, username, domain, role, muted, paused, banned, invited_user, invited_domain, muted_until, " +
		"banned_until, reason, voiced, nick, added_user, added_domain FROM silod_member WHERE " + plainMember + " IS NOT TRUE " +
		"ORDER BY room, username, domain"
	selectRole = "SELECT room, username, domain, role FROM silod_member WHERE " + plainMember + " AND COALESCE(role, 0) "
	otherRole  = "NOT IN (0, 2) ORDER BY room, username, domain"
	plainRole  = "IN (0, 2) ORDER BY room, username, domain"
)

// unknownRole is the value of the column role in rows of an older silod, see storedRole.
const unknownRole = 0

// copiedRole returns the role that a row of silod_member has, Plain if it has none.
func copiedRole(role int64) imc.Role {
	if r := imc.Role(role - 1); hasFlag(r) {
		return r
	}
	return imc.Plain
}

// loadMissing reads the other rows of silod_member if imc_members may lack a member: silod_cursor has
// one, or silod_member has more rows. Each member has a row in both.
func (st *rooms) loadMissing(ctx context.Context, l *roomLoader, skip func(error)) error {
	n, err := st.reader.ints(ctx, "SELECT COUNT(*) FROM silod_member")
	if err != nil || !l.missing && len(n) > 0 && n[0] <= l.cursors {
		return err
	}
	return st.each(ctx, selectRole+plainRole, l.ownRole, skip)
}

// ownMember adds the values for which imc_members has no column.
func (l *roomLoader) ownMember(scan func(...any) error) error {
	var v imc.Member
	var row memberRow
	var by, adder rowName
	var role, muted, paused, banned, mutedUntil, bannedUntil, voiced int64
	err := scan(&row.room, &row.user.user, &row.user.domain, &role, &muted, &paused, &banned, &by.user, &by.domain,
		&mutedUntil, &bannedUntil, &v.Reason, &voiced, &v.Nick, &adder.user, &adder.domain)
	if err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	if role == unknownRole && by.user != "" {
		role = storedRole(imc.Invited)
	}
	m, err := l.copied(row, role, banned)
	if err != nil || m == nil {
		return err
	}
	v.Muted, v.Paused, v.Voiced = muted != 0, paused != 0, voiced != 0
	v.MutedUntil, v.BannedUntil = fromMillis(mutedUntil), fromMillis(bannedUntil)
	v.Reason, v.Nick, v.InvitedBy, v.AddedBy = held(v.Reason), held(v.Nick), l.named(by), l.named(adder)
	mergeMember(m, &v)
	return nil
}

// held returns a text that silod's own tables can hold, "" for another: SQLite has rows of any kind, and
// a room with such a value could not be changed.
func held(text string) string {
	if fits(ownName, text) {
		return text
	}
	return ""
}

// named returns the user that a row names besides its member, the zero AoR if it names none.
func (l *roomLoader) named(n rowName) sip.AoR {
	if n.user == "" {
		return sip.AoR{}
	}
	if a := l.layout.aor(n); fits(ownName, a.User) && fits(ownName, a.Domain) {
		return a
	}
	return sip.AoR{}
}

// ownRole adds the role of a member without other values.
func (l *roomLoader) ownRole(scan func(...any) error) error {
	v := &l.row
	if err := scan(&v.room, &v.user.user, &v.user.domain, &v.role); err != nil {
		return fmt.Errorf("row of silod_member: %w", err)
	}
	_, err := l.copied(v.memberRow, v.role, notExcluded)
	return err
}

// copied returns the member of a row of silod_member, nil if there is no room. A user that is missing
// in imc_members is banned or a former member, or else judge decides.
func (l *roomLoader) copied(row memberRow, role, banned int64) (*imc.Member, error) {
	row.table = "silod_member"
	r, a, err := l.find(row.table, row.room)
	if err != nil || r == nil {
		return nil, err
	}
	user := l.layout.aor(row.user)
	m := r.find(user)
	switch {
	case banned == excludedFormer && m != nil: // another program has added the user again
		r.copy.differs(user, imc.Former)
	case banned == excludedFormer:
		m = r.member(user)
		m.Role = imc.Former
	case banned != notExcluded:
		m = r.member(user)
		m.Role = imc.Banned
	case m == nil:
		l.missing = true
		m = r.copy.absent(user, row)
		m.Role = copiedRole(role)
		return m, nil
	default:
		r.copy.present(m, role)
	}
	r.other.member(row.table, row.room, a, row.user, l.layout.member(user))
	return m, nil
}

// mergeMember adds the values of a row to a member, which may have those of another row with its name
// in another spelling. Sanctions end with the last of them.
func mergeMember(m, v *imc.Member) {
	if v.Muted || !m.Muted {
		m.MutedUntil = lastEnd(m.Muted, m.MutedUntil, v.MutedUntil)
	}
	if v.BannedUntil.After(m.BannedUntil) {
		m.BannedUntil = v.BannedUntil
	}
	m.Muted, m.Paused, m.Voiced = m.Muted || v.Muted, m.Paused || v.Paused, m.Voiced || v.Voiced
	if m.Reason == "" {
		m.Reason = v.Reason
	}
	if m.Nick == "" {
		m.Nick = v.Nick
	}
	if m.InvitedBy.IsZero() {
		m.InvitedBy = v.InvitedBy
	}
	if m.AddedBy.IsZero() {
		m.AddedBy = v.AddedBy
	}
}

// lastEnd returns the last of the ends of two sanctions, of which one may not exist. The zero time
// is no end.
func lastEnd(exists bool, end, other time.Time) time.Time {
	if exists && (end.IsZero() || !other.IsZero() && end.After(other)) {
		return end
	}
	return other
}

// cursor adds the cursor of a member, and keeps those of other users: they may be missing members.
// Of several the highest counts.
func (l *roomLoader) cursor(scan func(...any) error) error {
	v := &l.row
	if err := scan(&v.room, &v.user.user, &v.user.domain, &v.seq, &v.seen, &v.since); err != nil {
		return fmt.Errorf("row of silod_cursor: %w", err)
	}
	l.cursors++
	r, a, err := l.find("silod_cursor", v.room)
	if err != nil || r == nil {
		return err
	}
	user := l.layout.aor(v.user)
	m := r.find(user)
	switch {
	case m != nil:
		r.other.member("silod_cursor", v.room, a, v.user, l.layout.member(user))
	case r.copy.missing[user] != nil:
		m = r.copy.missing[user]
	default:
		l.missing = true
		m = r.copy.unknown(user, memberRow{"silod_cursor", v.room, v.user})
	}
	m.Cursor, m.Since = max(m.Cursor, v.seq), max(m.Since, v.since)
	if at := fromMillis(v.seen); at.After(m.Seen) {
		m.Seen = at
	}
	return nil
}

// unknown adds a user of which only a cursor was read.
func (c *roomCopy) unknown(user sip.AoR, row memberRow) *imc.Member {
	if c.cursors == nil {
		c.cursors = map[sip.AoR]*imc.Member{}
	}
	m := c.cursors[user]
	if m == nil {
		m = &imc.Member{User: user}
		c.cursors[user] = m
	}
	c.rows = append(c.rows, row)
	return m
}

// absent adds a member that imc_members does not have.
func (c *roomCopy) absent(user sip.AoR, row memberRow) *imc.Member {
	if c.missing == nil {
		c.missing = map[sip.AoR]*imc.Member{}
	}
	m := c.missing[user]
	if m == nil {
		if m = c.cursors[user]; m == nil {
			m = &imc.Member{User: user}
		}
		c.missing[user] = m
	}
	c.rows = append(c.rows, row)
	return m
}

// present adds a member that imc_members has, too.
func (c *roomCopy) present(m *imc.Member, role int64) {
	c.shared++
	switch {
	case role != unknownRole && copiedRole(role) != m.Role:
		c.differs(m.User, copiedRole(role))
	case role != unknownRole && m.Role != imc.Plain:
		c.told = append(c.told, m.User)
	default:
		c.plain = append(c.plain, m.User)
	}
}

// differs adds a member that silod_member has with another role.
func (c *roomCopy) differs(user sip.AoR, role imc.Role) {
	if c.roles == nil {
		c.roles = map[sip.AoR]imc.Role{}
	}
	c.roles[user] = role
}

// known returns the users of the rows that were read.
func (c *roomCopy) known() map[sip.AoR]bool {
	users := make(map[sip.AoR]bool, c.shared)
	for _, u := range slices.Concat(c.told, c.plain) {
		users[u] = true
	}
	for u := range c.roles {
		users[u] = true
	}
	return users
}

// findUntold finds the members with a role that silod_member lacks: an older silod has written the
// row, or another program has changed the role.
func (r *loadedRoom) findUntold() {
	c := &r.copy
	listed := 0
	for _, m := range r.members {
		if hasFlag(m.Role) {
			listed++
		}
	}
	if !c.room || listed == len(c.told) && len(c.roles) == 0 {
		return
	}
	told := make(map[sip.AoR]bool, len(c.told))
	for _, u := range c.told {
		told[u] = true
	}
	for _, m := range r.members {
		if _, differs := c.roles[m.User]; differs || hasFlag(m.Role) && !told[m.User] {
			c.untold = append(c.untold, m.User)
		}
	}
}

// hasFlag reports whether imc_members has a flag for a role.
func hasFlag(r imc.Role) bool { return r == imc.Invited || r == imc.Admin || r == imc.Owner }
