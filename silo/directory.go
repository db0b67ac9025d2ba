package silo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"silod/limit"
	"silod/sip"
)

// ErrUnknownUser is the error of Put if the owner of the mailbox is not a user.
var ErrUnknownUser = errors.New("no such user")

// A Directory remembers for a short time which users exist, in memory of fixed size. Unknown
// names are in a table of their own, so that a flood of them does not replace users.
type Directory struct {
	find           func(context.Context, sip.AoR) (bool, error)
	now            func() time.Time
	known, unknown *limit.Table[sip.AoR, time.Time] // the time until which the entry counts
	locks          mailboxLocks
}

const (
	directorySize = 1 << 14
	knownFor      = time.Minute
	unknownFor    = 2 * time.Second // an administrator or another program may add the user
)

// NewDirectory returns an empty Directory. find looks up a user.
func NewDirectory(find func(context.Context, sip.AoR) (bool, error), now func() time.Time) *Directory {
	worth := func(until *time.Time, now time.Time) float64 { return until.Sub(now).Seconds() }
	return &Directory{
		find: find, now: now,
		known:   limit.NewTable[sip.AoR](directorySize, worth),
		unknown: limit.NewTable[sip.AoR](directorySize, worth),
	}
}

// Exists reports whether an AoR is a user. It may wait for the database, for readTimeout at most.
// One goroutine at a time looks up a name.
func (d *Directory) Exists(ctx context.Context, a sip.AoR) (bool, error) {
	if exists, ok := d.remembered(a); ok {
		return exists, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	unlock, err := d.locks.lock(ctx, a)
	if err != nil {
		return false, err
	}
	defer unlock()
	if exists, ok := d.remembered(a); ok { // looked up by another goroutine
		return exists, nil
	}
	now := d.now()
	exists, err := d.find(ctx, a)
	if err != nil {
		return false, err
	}
	t, life := d.unknown, unknownFor
	if exists {
		t, life = d.known, knownFor
	}
	t.Update(a, now, func(until *time.Time) { *until = now.Add(life) })
	return exists, nil
}

// remembered returns whether an AoR is a user, if ok.
func (d *Directory) remembered(a sip.AoR) (exists, ok bool) {
	now := d.now()
	fresh := func(t *limit.Table[sip.AoR, time.Time]) (ok bool) {
		t.Find(a, func(until *time.Time) { ok = now.Before(*until) })
		return ok
	}
	exists = fresh(d.known)
	return exists, exists || fresh(d.unknown)
}

// Forget forgets a user that was added or removed.
func (d *Directory) Forget(a sip.AoR) {
	d.known.Delete(a)
	d.unknown.Delete(a)
}

// UnknownUsers says what becomes of a message for an owner that is not a user.
type UnknownUsers int

// The values of UnknownUsers.
const (
	UnknownStore  UnknownUsers = iota // it is stored
	UnknownReject                     // Put returns ErrUnknownUser
	UnknownHide                       // Put returns as if it were stored
)

// IsUser reports whether an AoR of ours counts as a user: with UnknownUsers other than
// UnknownReject each does, so that senders do not learn more than from messages.
func (s *Service) IsUser(ctx context.Context, a sip.AoR) (bool, error) {
	if s.opt.Exists == nil || s.cfg().UnknownUsers != UnknownReject {
		return true, nil
	}
	return s.opt.Exists(ctx, a)
}

// checkOwner returns ErrUnknownUser if a message is for a name that is not a user, and reports
// whether the sender must not see that. Messages of administrators are stored for any owner.
func (s *Service) checkOwner(ctx context.Context, cfg *Settings, in *Incoming) (feign bool, err error) {
	byAdmin := in.Standing == Unchecked && !in.Own
	if s.opt.Exists == nil || cfg.UnknownUsers == UnknownStore || byAdmin || !s.opt.Domains.Has(in.Owner.Domain) {
		return false, nil
	}
	ok, err := s.opt.Exists(ctx, in.Owner)
	switch {
	case err != nil:
		return false, fmt.Errorf("look up recipient: %w: %w", ErrBusy, err)
	case ok:
		return false, nil
	}
	s.Stats.UnknownUsers.Inc()
	if cfg.UnknownUsers == UnknownHide && !in.Own {
		return true, nil
	}
	return false, ErrUnknownUser
}
