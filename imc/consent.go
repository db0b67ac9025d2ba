package imc

import (
	"context"
	"slices"
	"time"

	"silod/limit"
	"silod/sip"
)

// The limits for invitations and additions by users. They are counted in memory.
var (
	// approachRate limits how many users a user invites and adds: those of a few teams or classes.
	approachRate = limit.Rate{N: 300, Per: time.Hour}

	// targetRate limits how often a user is invited and added, and pairRate how often by one user.
	targetRate = limit.Rate{N: 60, Per: time.Hour}
	pairRate   = limit.Rate{N: 10, Per: time.Hour}

	// invitationRate limits the invitations of a user to one room, and additionRate how often a
	// user is added to one room.
	invitationRate = limit.Rate{N: 1, Per: time.Hour}
	additionRate   = limit.Rate{N: 2, Per: time.Hour}

	// creationRate limits how many rooms a user creates.
	creationRate = limit.Rate{N: 100, Per: time.Hour}
)

// Limits of the invitations that a user has not answered.
const (
	maxInvitations     = 50
	maxInvitationsFrom = 5 // by one user
)

// consentMeters count what users do to others.
type consentMeters struct {
	approaches  *limit.Meter[userRoom] // by inviter, by invited user, and by both
	invitations *limit.Meter[userRoom] // of a user to a room
	additions   *limit.Meter[userRoom] // of a user to a room
	withdrawn   *limit.Meter[userRoom] // invitations of a user to a room
	creations   *limit.Meter[userRoom] // by creator
}

func newConsentMeters() consentMeters {
	return consentMeters{
		approaches: newMeter(), invitations: newMeter(), additions: newMeter(), withdrawn: newMeter(), creations: newMeter(),
	}
}

// sweep removes the users that have their whole limit again.
func (m *consentMeters) sweep(now time.Time) {
	m.approaches.Sweep(approachRate, now)
	m.invitations.Sweep(invitationRate, now)
	m.additions.Sweep(additionRate, now)
	m.withdrawn.Sweep(invitationRate, now)
	m.creations.Sweep(creationRate, now)
}

// declined notes that a user has declined an invitation to a room: it is not invited again at once.
func (m *consentMeters) declined(by userRoom, now time.Time) {
	m.invitations.Forget(by)
	m.invitations.Take(by, invitationRate, now)
	m.withdrawn.Forget(by)
}

// wasWithdrawn reports whether the invitation of a user was withdrawn after the user has got it. Then
// another #invite makes it valid again without a message.
func (m *consentMeters) wasWithdrawn(of userRoom, now time.Time) bool {
	_, first, _ := m.withdrawn.Take(of, invitationRate, now)
	if first {
		m.withdrawn.Forget(of)
	}
	return !first
}

// checkConsent checks whether the caller may invite or add a user: whether the user exists, lets
// itself be invited or added, and has been left alone long enough. The caller holds r.stateMu.
func (s *Service) checkConsent(ctx context.Context, c *invocation, r *room, adds bool) error {
	if err := s.mayReach(ctx, c, r); err != nil {
		return err
	}
	name := displayName(c.user, r.name)
	switch {
	case s.blocks.has(c.user, r.name), s.blocks.has(c.user, c.by.user):
		return refuse("unwilling", "user", name).in(r.name)
	case c.by.operator:
		return nil
	case adds && s.blocks.has(c.user, leftMark(r.name)):
		return refuse("has_left", "user", name).in(r.name)
	case !adds && !r.isInvited(c.user):
		if err := s.checkUnanswered(c, r); err != nil {
			return err
		}
	}
	return s.checkApproach(c, r, adds)
}

// isInvited reports whether a user has an invitation.
func (r *room) isInvited(u sip.AoR) bool {
	m := r.find(u)
	return m != nil && m.Role == Invited
}

// checkUnanswered limits the invitations that a user has not answered.
func (s *Service) checkUnanswered(c *invocation, r *room) error {
	s.mu.RLock()
	rooms := slices.Clone(s.invited[c.user])
	s.mu.RUnlock()
	from := 0
	for _, x := range rooms {
		x.mu.Lock()
		if m := x.find(c.user); m != nil && m.InvitedBy == c.by.user {
			from++
		}
		x.mu.Unlock()
	}
	if len(rooms) >= maxInvitations || from >= maxInvitationsFrom {
		return refuse("too_many_invitations", "user", displayName(c.user, r.name)).in(r.name)
	}
	return nil
}

// checkApproach counts an invitation or an addition against its limits.
func (s *Service) checkApproach(c *invocation, r *room, adds bool) error {
	now, name := s.now(), displayName(c.user, r.name)
	meter, rate, again := s.consent.invitations, invitationRate, textKey("was_invited")
	if adds {
		meter, rate, again = s.consent.additions, additionRate, "was_added"
	}
	for _, x := range []struct {
		meter *limit.Meter[userRoom]
		key   userRoom
		rate  limit.Rate
		text  textKey
	}{
		{meter, userRoom{c.user, r.name}, rate, again},
		{s.consent.approaches, userRoom{c.by.user, sip.AoR{}}, approachRate, "too_many_approaches"},
		{s.consent.approaches, userRoom{c.by.user, c.user}, pairRate, "approached_often"},
		{s.consent.approaches, userRoom{sip.AoR{}, c.user}, targetRate, "approached_often"},
	} {
		if wait, ok, _ := x.meter.Take(x.key, x.rate, now); !ok {
			refused := refuse(x.text, "user", name, "limit", itoa(approachRate.N)).in(r.name)
			refused.wait = wait
			return refused
		}
	}
	return nil
}

// checkJoin checks whether the caller may join a room, or add another user. It returns the AddedBy of
// the new member.
func (s *Service) checkJoin(ctx context.Context, c *invocation, r *room) (addedBy sip.AoR, err error) {
	m := r.find(c.user)
	switch {
	case c.by.operator:
		return r.name, s.checkConsent(ctx, c, r, true)
	case c.user != c.by.user:
		return c.by.user, s.checkConsent(ctx, c, r, true)
	case c.by.unproven && m != nil && m.Role == Invited: // the inviter may write to it
		return m.InvitedBy, nil
	}
	return sip.AoR{}, s.checkOwn(c, r)
}

// checkOwn checks whether the caller may become a member by its own command.
func (s *Service) checkOwn(c *invocation, r *room) error {
	switch {
	case c.user != c.by.user:
		return nil
	case c.by.unproven:
		return refuse("no_relay", "user", clip(displayName(c.user, r.name))).in(r.name)
	case s.blocks.has(c.user, r.name):
		return refuse("you_block").in(r.name)
	}
	return nil
}

// isAdded reports whether a user has added a member that has not joined or accepted itself.
func (m *member) isAdded(r *room) bool { return !m.AddedBy.IsZero() && m.AddedBy != r.name }

// confirm notes that a member that was added is in the room of its own accord. It counts towards
// the member's own rooms from then on.
func (s *Service) confirm(ctx context.Context, c *invocation, r *room) error {
	if m := r.find(c.user); m.isAdded(r) && !c.by.unproven {
		next := r.memberCopy(m)
		next.AddedBy = sip.AoR{}
		if err := s.commit(ctx, r, Change{Room: r.Room, Put: []Member{next}}); err != nil {
			return err
		}
	}
	s.notifyUser(c, c.user, r.name, s.text("already_in", r.name))
	return nil
}

// checkCreationRate counts a new room against the limit of its creator.
func (s *Service) checkCreationRate(c *invocation, r *room) error {
	if c.by.operator {
		return nil
	}
	wait, ok, _ := s.consent.creations.Take(userRoom{user: c.by.user}, creationRate, s.now())
	if ok {
		return nil
	}
	refused := refuse("too_many_created", "limit", itoa(creationRate.N)).in(r.name)
	refused.wait = wait
	return refused
}
