package imc

import (
	"context"
	"time"

	"silod/sip"
)

// silence is the reason for which a user may not speak in a room.
type silence int

const (
	maySpeak silence = iota
	outside          // not a member
	banned
	muted
	voiceless // the room is moderated
)

// speech decides whether a user may speak in a room. m is the row of the user and account
// that of the account which it has authenticated as under another name; both may be nil.
func speech(r *Room, m, account *member, now time.Time) silence {
	switch {
	case m.isBannedAt(now), account.isBannedAt(now):
		return banned
	case !m.joined():
		return outside
	case m.Role == Owner:
		return maySpeak
	case m.isMutedAt(now), account.isMutedAt(now):
		return muted
	case r.Moderated && m.Role == Plain && !m.Voiced:
		return voiceless
	}
	return maySpeak
}

// checkSpeech returns a refusal unless a user may speak in a room; whenMuted is its text for a
// muted user. The caller holds stateMu.
func (s *Service) checkSpeech(r *room, user, account sip.AoR, whenMuted textKey) error {
	m, a := r.find(user), (*member)(nil)
	if !account.IsZero() {
		a = r.find(account)
	}
	if m != nil && !m.Muted && a == nil && !r.Moderated && m.joined() { // most messages: without the time
		return nil
	}
	now := s.now()
	switch speech(&r.Room, m, a, now) {
	case banned:
		if !m.isBannedAt(now) {
			m = a
		}
		return s.banRefusal(r, m)
	case outside:
		return refuse("not_member").in(r.name)
	case muted:
		if !m.isMutedAt(now) {
			m = a
		}
		return refuse(whenMuted, "terms", s.terms(r, m.MutedUntil, m.Reason)).in(r.name)
	case voiceless:
		return refuse("no_voice").in(r.name)
	case maySpeak:
	}
	return nil
}

func (s *Service) moderate(ctx context.Context, c *invocation, r *room) error {
	return s.setModerated(ctx, c, r, true, "moderated")
}

func (s *Service) unmoderate(ctx context.Context, c *invocation, r *room) error {
	return s.setModerated(ctx, c, r, false, "unmoderated")
}

// setModerated makes the room moderated or ends that; key is the notice to the members.
func (s *Service) setModerated(ctx context.Context, c *invocation, r *room, moderated bool, key textKey) error {
	if r.Moderated == moderated {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	next := r.Room
	next.Moderated = moderated
	return s.commit(ctx, r, Change{Room: next, Notice: s.newNotice(c, r, key, "by", s.actorName(c.by, r))})
}

func (s *Service) voice(ctx context.Context, c *invocation, r *room) error {
	return s.setVoiced(ctx, c, r, true, "voiced")
}

func (s *Service) devoice(ctx context.Context, c *invocation, r *room) error {
	return s.setVoiced(ctx, c, r, false, "devoiced")
}

// setVoiced gives a member voice in moderated rooms, or takes it; key is the notice to the
// members. Voice ends with the membership.
func (s *Service) setVoiced(ctx context.Context, c *invocation, r *room, voiced bool, key textKey) error {
	m, name, err := s.target(c, r)
	switch {
	case err != nil:
		return err
	case !m.joined():
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Voiced == voiced:
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	next := r.memberCopy(m)
	next.Voiced = voiced
	return s.commit(ctx, r, Change{
		Room: r.Room, Put: []Member{next},
		Notice: s.newNotice(c, r, key, "user", name, "by", s.actorName(c.by, r)),
	})
}
