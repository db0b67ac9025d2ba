package imc

import (
	"context"
	"fmt"
	"time"

	"silod/im"
	"silod/sip"
)

// storeTimeout limits the time from the arrival of a request to its commit, and a call of the
// Store in the background. It is far below the 32 s after which a sender gives up (Timer F).
const storeTimeout = 10 * time.Second

// storeContext returns a context that ends after storeTimeout.
func storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTimeout)
}

// commit writes a change, then applies it in memory and wakes the members. After an
// error nothing has changed. The caller holds r.stateMu exclusively, so that the
// state from which it made the change is still the room's state.
func (s *Service) commit(ctx context.Context, r *room, c Change) error {
	joining, leaving := r.membershipDiff(&c)
	invited, ended := r.invitations(&c)
	seats := r.seatsOf(&c)
	if err := s.reserve(r, &c, seats); err != nil {
		return err
	}
	c.Put = append(c.Put, r.nicksLost(joining)...)
	c.Undo = r.undoOf(&c)
	if err := s.store.Apply(ctx, c); err != nil {
		s.cancelReservation(r, &c, seats)
		return fmt.Errorf("change room %s: %w", r.name, err)
	}
	s.addMemberships(r, joining) // before members are woken: Next looks there
	var posts []*post
	if c.Notice != nil {
		posts = append(posts, s.compose(r, c.Notice))
		s.stats.Notices.Add(1)
	}
	r.mu.Lock()
	closes, from := c.Room.Closed && !r.Closed, s.listing(r)
	r.apply(&c)
	to := s.listing(r)
	audience := s.publish(r, posts)
	r.mu.Unlock()
	s.relist(r, from, to)
	s.setInvitations(r, invited, ended)
	s.freeSeats(seats)
	if closes {
		s.freePlace(r)
	}
	s.removeMemberships(r, leaving)
	if s.left != nil {
		for _, u := range leaving {
			s.left(u)
		}
	}
	s.wake(r, audience, posts)
	return nil
}

// membershipDiff returns the users that a change makes members, and the members that
// it removes.
func (r *room) membershipDiff(c *Change) (joining, leaving []sip.AoR) {
	for _, p := range c.Put {
		next := member{Member: p}
		switch was := r.find(p.User).joined(); {
		case next.joined() && !was:
			joining = append(joining, p.User)
		case !next.joined() && was:
			leaving = append(leaving, p.User)
		}
	}
	for _, u := range c.Remove {
		if r.find(u).joined() {
			leaving = append(leaving, u)
		}
	}
	return joining, leaving
}

// newNotice returns an entry in which the room itself speaks to its members.
func (s *Service) newNotice(c *invocation, r *room, key textKey, a ...string) *Entry {
	return &Entry{Room: r.name, From: r.name, At: s.entryTime(), Message: im.Message{
		From:    "<" + r.name.String() + ">",
		To:      "<" + r.name.String() + ">",
		CallID:  c.by.callID,
		Headers: []sip.Header{plainText},
		Body:    []byte(s.text(key, r.name, a...)),
	}}
}

// newMember returns a member whose cursor is at the end of the log, where its history begins. A
// mute of the user holds on.
func (s *Service) newMember(r *room, u sip.AoR, role Role, by sip.AoR) Member {
	m := Member{User: u, Role: role, InvitedBy: by, Cursor: r.last, Since: r.last, Seen: s.now()}
	if was := r.sanctionedLike(u); was != nil && was.Muted {
		m.Muted, m.MutedUntil, m.Reason = true, was.MutedUntil, was.Reason
	}
	return m
}
