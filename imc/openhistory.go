package imc

import (
	"context"

	"silod/sip"
)

// A member reads the entries from the time at which it joined on. Where the history of a room is
// open, it also reads those from the time on at which the history was opened, but none that were
// said before: their speakers were told otherwise.

// readFrom returns the Seq of the last entry that a user cannot read with #history. Its error is a
// refusal if the user is not a member.
func (s *Service) readFrom(r *room, user sip.AoR) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.find(user)
	switch {
	case !r.exists() || r.isHiddenFrom(user):
		return 0, refuse("no_room").in(r.name)
	case !m.joined():
		return 0, refuse("not_member").in(r.name)
	}
	from := m.Since
	if s.isOpen(&r.Room) {
		from = min(from, r.OpenHistory-1)
	}
	return max(from, r.base), nil
}

// isOpen reports whether members of a room may read entries of the time before they joined.
func (s *Service) isOpen(r *Room) bool {
	return r.OpenHistory > 0 && s.config().OpenHistory != OpenHistoryNever
}

// openFrom returns Room.OpenHistory of a room that is opened now. The caller holds stateMu.
func (r *room) openFrom() int64 { return r.last + 1 }

// tellOpen tells a user that has become a member of a room that its history is open.
func (s *Service) tellOpen(c *invocation, r *room) {
	if s.isOpen(&r.Room) {
		s.notifyUser(c, c.user, r.name, s.text("open_history", r.name))
	}
}

func (s *Service) openHistory(ctx context.Context, c *invocation, r *room) error {
	if s.config().OpenHistory == OpenHistoryNever {
		return refuse("never_open").in(r.name)
	}
	return s.setOpenHistory(ctx, c, r, r.openFrom(), "history_open")
}

func (s *Service) closeHistory(ctx context.Context, c *invocation, r *room) error {
	return s.setOpenHistory(ctx, c, r, 0, "history_shut")
}

// setOpenHistory opens the history of a room from a Seq on, or closes it; key is the notice to the
// members.
func (s *Service) setOpenHistory(ctx context.Context, c *invocation, r *room, from int64, key textKey) error {
	if (r.OpenHistory > 0) == (from > 0) {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	next := r.Room
	next.OpenHistory = from
	return s.commit(ctx, r, Change{Room: next, Notice: s.newNotice(c, r, key, "by", s.actorName(c.by, r))})
}
