package imc

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"silod/sip"
)

// A sanction is a ban or a mute. It has the time at which it ends, or holds until it is
// lifted. Nothing waits for that time: it is compared with the clock when the sanction is
// used. Before a command changes a room, and once a minute, the sanctions that have ended
// are removed from the room.
//
// A mute outlives its membership: when a muted user leaves or is removed, its row remains,
// with the role Former, and the next membership begins with it.

// isMuted reports whether a mute holds. An owner cannot be muted.
func (m *Member) isMuted(now time.Time) bool {
	return m.Muted && m.Role != Owner && (m.MutedUntil.IsZero() || now.Before(m.MutedUntil))
}

// isBanned reports whether a ban holds.
func (m *Member) isBanned(now time.Time) bool {
	return m.Role == Banned && (m.BannedUntil.IsZero() || now.Before(m.BannedUntil))
}

// isOutside reports whether the user is neither a member nor invited: the row is that of a
// sanction.
func (m *Member) isOutside() bool { return m.Role == Banned || m.Role == Former }

// isSanctioned reports whether the row counts towards the limit of sanctions. Leaving a room
// does not change that, so a muted member can leave a room with any number of them.
func (m *Member) isSanctioned() bool { return m.Role == Banned || m.Muted }

// nextEnd returns the time at which the first sanction of a member ends, zero for never.
func (m *Member) nextEnd() time.Time {
	end := time.Time{}
	if m.Muted {
		end = m.MutedUntil
	}
	if m.Role == Banned && !m.BannedUntil.IsZero() && (end.IsZero() || m.BannedUntil.Before(end)) {
		end = m.BannedUntil
	}
	return end
}

// known returns the row of a user. If there is none, it returns that of a user outside whose
// name differs in case only: domains elsewhere may not tell them apart.
func (r *room) known(u sip.AoR) *member {
	if m := r.find(u); m != nil {
		return m
	}
	if m := r.sanctionedLike(u); m != nil && m.isOutside() {
		return m
	}
	return nil
}

// sanctionedLike returns the row of a sanctioned user with a name, or one that differs in case
// only.
func (r *room) sanctionedLike(u sip.AoR) *member {
	if m := r.find(u); m != nil || r.sanctions == 0 {
		return m
	}
	for _, m := range r.members {
		if m.isSanctioned() && isLike(m.User, u) {
			return m
		}
	}
	return nil
}

// isInvited reports whether the user is invited. It is false for a nil member.
func (m *member) isInvited() bool { return m != nil && m.Role == Invited }

// isBannedAt reports whether the user is banned. It is false for a nil member.
func (m *member) isBannedAt(now time.Time) bool { return m != nil && m.isBanned(now) }

// isMutedAt reports whether the user is muted. It is false for a nil member.
func (m *member) isMutedAt(now time.Time) bool { return m != nil && m.isMuted(now) }

// depart adds to a change that a user is not a member any more, nor invited nor banned. The
// row of a muted user remains.
func (r *room) depart(c *Change, m *member) {
	if !m.Muted || m.Role == Owner {
		c.Remove = append(c.Remove, m.User)
		return
	}
	was := r.memberCopy(m)
	former := Member{
		User: was.User, Role: Former, Muted: true, MutedUntil: was.MutedUntil, Reason: was.Reason,
		Cursor: was.Cursor, Seen: was.Seen,
	}
	if was.Role == Banned { // the reason is that of the ban
		former.Reason = ""
	}
	c.Put = append(c.Put, former)
}

// liftMute ends the mute of a member.
func (m *Member) liftMute() {
	m.Muted, m.MutedUntil = false, time.Time{}
	if m.Role != Banned {
		m.Reason = ""
	}
}

// endSanctions removes the sanctions of a room that have ended. The caller holds r.stateMu
// exclusively.
func (s *Service) endSanctions(ctx context.Context, r *room) error {
	now := s.now()
	if r.nextEnd.IsZero() || now.Before(r.nextEnd) || !r.exists() {
		return nil
	}
	var ended []*member
	for _, m := range r.members {
		if end := m.nextEnd(); !end.IsZero() && !now.Before(end) {
			ended = append(ended, m)
		}
	}
	for some := range slices.Chunk(ended, purgeBatch) {
		c := Change{Room: r.Room}
		for _, m := range some {
			r.endSanction(&c, m, now)
		}
		if err := s.commit(ctx, r, c); err != nil {
			return err
		}
	}
	return nil
}

// endSanction adds to a change that the sanctions of a member that have ended are removed.
func (r *room) endSanction(c *Change, m *member, now time.Time) {
	next := r.memberCopy(m)
	if next.Muted && !next.isMuted(now) {
		next.liftMute()
	}
	switch {
	case next.Role == Former && !next.Muted, next.Role == Banned && !next.isBanned(now) && !next.Muted:
		c.Remove = append(c.Remove, next.User)
	case next.Role == Banned && !next.isBanned(now):
		r.depart(c, m)
	default:
		c.Put = append(c.Put, next)
	}
}

// sweepSanctions removes the sanctions that have ended, of all rooms.
func (s *Service) sweepSanctions(ctx context.Context) {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		due := !r.nextEnd.IsZero() && !s.now().Before(r.nextEnd)
		r.mu.Unlock()
		if !due {
			continue
		}
		r.stateMu.Lock()
		sctx, cancel := storeContext(ctx)
		err := s.endSanctions(sctx, r)
		cancel()
		r.stateMu.Unlock()
		if err != nil && ctx.Err() == nil {
			s.stats.StoreErrors.Add(1)
			s.log.Error("ended bans and mutes not removed", slog.String("room", r.name.String()), slog.Any("error", err))
			return
		}
	}
}

// countRows sets the numbers of members by kind, and the time at which the first sanction
// ends. The caller holds mu.
func (r *room) countRows() {
	r.cachedAudience, r.joined, r.outside, r.sanctions, r.nextEnd = nil, 0, 0, 0, time.Time{}
	for _, m := range r.members {
		switch {
		case m.joined():
			r.joined++
		case m.isOutside():
			r.outside++
		}
		if !m.isSanctioned() {
			continue
		}
		r.sanctions++
		if end := m.nextEnd(); !end.IsZero() && (r.nextEnd.IsZero() || end.Before(r.nextEnd)) {
			r.nextEnd = end
		}
	}
}

// terms returns the end and the reason of a sanction as its texts show them, with a blank
// before each.
func (s *Service) terms(r *room, until time.Time, reason string) string {
	text := s.until(r, until)
	if reason != "" {
		text += s.text("reason", r.name, "reason", reason)
	}
	return text
}

// until returns the end of a sanction as its texts show it. It is rounded up to a minute.
func (s *Service) until(r *room, end time.Time) string {
	if end.IsZero() {
		return ""
	}
	end = end.Add(time.Minute - 1).Truncate(time.Minute).In(s.now().Location())
	return s.text("until", r.name, "time", end.Format("2006-01-02 15:04 MST"))
}

// banRefusal returns the refusal for a banned user.
func (s *Service) banRefusal(r *room, m *member) error {
	return refuse("you_banned", "terms", s.terms(r, m.BannedUntil, m.Reason)).in(r.name)
}
