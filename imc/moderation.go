package imc

import (
	"context"
	"slices"
	"strings"
	"time"

	"silod/sip"
)

// maxReason is the length of the longest reason of a ban or a mute, in characters.
const maxReason = 200

// checkReason returns a refusal if the reason of a command is too long.
func (c *invocation) checkReason(r *room) error {
	if len([]rune(c.text)) > maxReason {
		return refuse("bad_reason", "limit", itoa(maxReason)).in(r.name)
	}
	return nil
}

// sanctionEnd returns the time at which the sanction of a command ends, zero for never.
func (s *Service) sanctionEnd(c *invocation) time.Time {
	if c.term == 0 {
		return time.Time{}
	}
	return s.entryTime().Add(c.term)
}

// ban removes a member and prevents a return, or prevents a user from joining. In the
// second case only the caller is notified, because nothing changes for the members. The
// ban of a banned user replaces the end and the reason.
func (s *Service) ban(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	if m != nil && err != nil {
		return err
	}
	if err := c.checkReason(r); err != nil {
		return err
	}
	banned := s.newMember(r, c.user, Banned, c.by.user)
	banned.BannedUntil, banned.Reason = s.sanctionEnd(c), c.text
	change := Change{Room: r.Room}
	switch {
	case m == nil:
		if err := s.checkUser(r, c.user); err != nil {
			return err
		}
		change.Put = []Member{banned}
	case m.Role == Banned && m.BannedUntil.Equal(banned.BannedUntil) && (c.text == "" || m.Reason == c.text):
		banned = r.memberCopy(m)
	default:
		change.Put = []Member{banned}
	}
	if err := s.addOthers(c, r, &change, banned.copyBan); err != nil {
		return err
	}
	if len(change.Put) == 0 {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	terms := s.terms(r, banned.BannedUntil, banned.Reason)
	by, public := s.actorName(c.by, r), m.joined()
	if public {
		change.Notice = s.newNotice(c, r, "banned", "user", name, "by", by, "terms", terms)
	}
	_, leaving := r.membershipDiff(&change)
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	for _, u := range leaving {
		s.notifyUser(c, u, r.name, s.text("you_are_banned", r.name, "by", by, "terms", terms))
	}
	if !public {
		s.notifyCaller(c, r, "ban_set", "user", name, "terms", terms)
	}
	return nil
}

// copyBan makes the ban of a user that of another address of it. It reports whether anything
// has changed. copyMute does so for a mute, or for its end.
func (m *Member) copyBan(other *Member) bool {
	was := *other
	other.Role, other.BannedUntil, other.Reason, other.InvitedBy = Banned, m.BannedUntil, m.Reason, m.InvitedBy
	other.Voiced, other.Paused = false, false
	return *other != was
}

func (m *Member) copyMute(other *Member) bool {
	was := *other
	other.Muted, other.MutedUntil = m.Muted, m.MutedUntil
	if other.Role != Banned {
		other.Reason = m.Reason
	}
	return *other != was
}

// unban lifts a ban. A mute of the user stays.
func (s *Service) unban(ctx context.Context, c *invocation, r *room) error {
	s.findSanctioned(c, r, func(m *member) bool { return m.Role == Banned })
	m, name, _ := s.target(c, r)
	if m == nil || m.Role != Banned {
		return refuse("not_banned", "user", clip(name)).in(r.name)
	}
	change := Change{Room: r.Room}
	r.depart(&change, m)
	err := s.addOthers(c, r, &change, func(other *Member) bool {
		lifted := other.Role == Banned
		if lifted {
			other.Role, other.BannedUntil, other.Reason, other.InvitedBy = Former, time.Time{}, "", sip.AoR{}
		}
		return lifted
	})
	if err != nil {
		return err
	}
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.notifyCaller(c, r, "ban_lifted", "user", name)
	return nil
}

// mute mutes a member, or replaces the end and the reason of a mute.
func (s *Service) mute(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	if err == nil {
		err = c.checkReason(r)
	}
	until := s.sanctionEnd(c)
	switch {
	case err != nil:
		return err
	case !m.joined() && !m.Muted:
		return refuse("no_such_member", "user", name).in(r.name)
	}
	next := r.memberCopy(m)
	same := m.Muted && m.MutedUntil.Equal(until) && (c.text == "" || m.Reason == c.text)
	if !same {
		next.Muted, next.MutedUntil = true, until
	}
	if !same && next.Role != Banned {
		next.Reason = c.text
	}
	return s.commitMute(ctx, c, r, next, "muted", "user", name, "by", s.actorName(c.by, r), "terms", s.terms(r, until, c.text))
}

// unmute lifts a mute, also that of a user that has left.
func (s *Service) unmute(ctx context.Context, c *invocation, r *room) error {
	s.findSanctioned(c, r, func(m *member) bool { return m.Muted })
	m, name, err := s.target(c, r)
	switch {
	case err != nil:
		return err
	case !m.joined() && !m.Muted:
		return refuse("no_such_member", "user", name).in(r.name)
	}
	next := r.memberCopy(m)
	next.liftMute()
	return s.commitMute(ctx, c, r, next, "unmuted", "user", name, "by", s.actorName(c.by, r))
}

// commitMute writes a changed mute. Members are notified if it is that of a member, else
// only the caller: nothing changes for the others.
func (s *Service) commitMute(ctx context.Context, c *invocation, r *room, next Member, key textKey, args ...string) error {
	change := Change{Room: r.Room}
	switch {
	case next == r.memberCopy(r.find(next.User)):
	case next.Role == Former && !next.Muted:
		change.Remove = append(change.Remove, next.User)
	default:
		change.Put = append(change.Put, next)
	}
	if err := s.addOthers(c, r, &change, next.copyMute); err != nil {
		return err
	}
	if len(change.Put)+len(change.Remove) == 0 {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	if next.joined() {
		change.Notice = s.newNotice(c, r, key, args...)
		return s.commit(ctx, r, change)
	}
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.notifyCaller(c, r, key, args...)
	return nil
}

// listBans sends the caller the banned users, and the muted ones that are not members: in
// one message those that fit, and the command that shows the next ones.
func (s *Service) listBans(_ context.Context, c *invocation, r *room) error {
	var lines []string
	var names []string
	now := s.now()
	for _, m := range r.outsiders(now, c.from) {
		name := displayName(m.User, r.name)
		by := s.text("operator", r.name)
		if !m.InvitedBy.IsZero() {
			by = displayName(m.InvitedBy, r.name)
		}
		key, end := textKey("ban_listed"), m.BannedUntil
		if m.Role != Banned {
			key, end = "mute_listed", m.MutedUntil
		}
		names = append(names, name)
		lines = append(lines, s.text(key, r.name, "user", name, "by", by, "terms", s.terms(r, end, m.Reason)))
	}
	if len(lines) == 0 {
		s.notifyCaller(c, r, "no_bans")
		return nil
	}
	page := s.text("bans", r.name, "count", itoa(len(lines)))
	for i, line := range lines {
		more := s.text("more_bans", r.name, "count", itoa(len(lines)-i), "next", names[i])
		if i > 0 && len(page)+len(line)+len(more)+2 > pageBytes && (i < len(lines)-1 || len(page)+len(line)+1 > pageBytes) {
			page += "\n" + more
			break
		}
		page += "\n" + line
	}
	s.notifyUser(c, c.by.user, r.name, page)
	return nil
}

// parseOptional parses a parameter that may be missing, as the next words show.
func (s *Service) parseOptional(c *invocation, p param, words *wordReader) (refused *refusal) {
	next := words.peek()
	switch p {
	case termParam:
		c.term, refused = parseTerm(words)
	case reasonParam:
		c.text, words.rest = oneLine(strings.Trim(words.rest, blanks)), ""
	case fromParam:
		if next != "" {
			c.from, refused = s.parseRoom(words.next(), c.to.Domain)
		}
	case fromUserParam:
		if next != "" {
			c.from, refused = s.parseUser(words.next(), c.to.Domain)
		}
	}
	return refused
}

// outsiders returns the banned users, and the muted ones that are not members, in the order
// of their names, from a name on.
func (r *room) outsiders(now time.Time, from sip.AoR) []*member {
	var list []*member
	for _, m := range r.members {
		if (m.isBanned(now) || m.Role != Banned && !m.joined() && m.isMuted(now)) && compareNames(m.User, from) >= 0 {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *member) int { return compareNames(a.User, b.User) })
	return list
}

// namesRoom reports whether the next word is the name of a room, where a reason or another
// free text may follow instead. A room that does not exist for the caller must be the last word or
// precede "for".
func (s *Service) namesRoom(c *invocation, words wordReader) bool {
	a, refused := s.parseRoom(words.next(), c.to.Domain)
	if refused != nil || !s.IsRoom(a) || s.isManager(a) {
		return false
	}
	if next := words.peek(); next == "" || strings.EqualFold(next, "for") {
		return true
	}
	r := s.existingRoom(a)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !c.hides(r)
}

// maxTerm is the longest time of a sanction with an end.
const maxTerm = 3660 * 24 * time.Hour

// parseTerm reads the words "for" and a duration, which are optional. Where no number
// follows, "for" belongs to the reason. A duration alone is one too: otherwise "#mute bob 30m"
// would mute for ever, with the reason "30m".
func parseTerm(words *wordReader) (time.Duration, *refusal) {
	after := *words
	word := after.next()
	if !strings.EqualFold(word, "for") {
		d, ok := parseDays(word)
		if !ok || d < time.Second || d > maxTerm {
			return 0, nil
		}
		*words = after
		return d, nil
	}
	word = after.next()
	if word == "" || !strings.ContainsRune("+-0123456789", rune(word[0])) {
		return 0, nil
	}
	*words = after
	d, ok := parseDays(word)
	if !ok || d < time.Second || d > maxTerm {
		return 0, refuse("bad_term", "value", printable(clip(word)))
	}
	return d, nil
}

// parseDays parses a duration, which may be a number of days: 30m, 2h, 3d.
func parseDays(word string) (time.Duration, bool) {
	word = strings.ToLower(word)
	if days, found := strings.CutSuffix(word, "d"); found {
		n := 0
		for _, c := range days {
			if c < '0' || c > '9' || n >= 10000 {
				return 0, false
			}
			n = 10*n + int(c-'0')
		}
		return time.Duration(n) * 24 * time.Hour, days != "" && n < 10000
	}
	d, err := time.ParseDuration(word)
	return d, err == nil
}
