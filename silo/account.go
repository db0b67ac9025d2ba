package silo

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"silod/limit"
	"silod/sip"
)

// accounts remember how much is in the mailboxes that were last written to, so that a message
// is not counted among a million others before it is stored. An account counts the messages
// that silod stores and delivers. It is read again from the store once a minute, because other
// programs store and delete too, and sooner if it is full.
type accounts struct {
	seed  maphash.Seed
	table *limit.Table[uint64, *account] // by the hash of an accountKey
}

// An accountKey names the messages or the reminders of a mailbox, which have the same quota.
type accountKey struct {
	owner     sip.AoR
	reminders bool
}

// An account is the usage of a mailbox.
type account struct {
	mu       sync.Mutex
	all      tally
	senders  map[string]*tally // of those that have messages under way, or had to be counted
	removals int               // from the mailbox
	used     time.Time
}

// A tally is a number of messages, which may be too large until it is read again.
type tally struct {
	stored  Usage
	pending Usage         // of messages that are being stored
	added   Usage         // change of stored since the last reading began; may be below 0
	read    time.Time     // zero: not yet
	asOf    int           // removals when the reading began
	cost    time.Duration // of the reading
}

func (t *tally) total() Usage { return t.stored.plus(t.pending.Messages, t.pending.Bytes) }

// fresh reports whether a tally need not be read again. admitted reports whether it permits
// another message. A reading that took long, of many messages, counts for longer.
func (t *tally) fresh(a *account, now time.Time, admitted bool) bool {
	if t.read.IsZero() {
		return false
	}
	age, least := now.Sub(t.read).Abs(), costLife*t.cost
	return age < max(accountLife, least) && (admitted || t.asOf == a.removals && age < max(fullLife, least))
}

const (
	maxAccounts = 1 << 15
	maxSenders  = 256             // in an account
	accountLife = time.Minute     // after that an account is read again
	fullLife    = 5 * time.Second // the same if it is full
	costLife    = 20              // or after so many times the time that the reading took, if that is longer
)

func newAccounts() accounts {
	worth := func(a **account, now time.Time) float64 {
		(*a).mu.Lock()
		defer (*a).mu.Unlock()
		if (*a).all.pending.Messages > 0 {
			return 1
		}
		return -now.Sub((*a).used).Seconds()
	}
	return accounts{seed: maphash.MakeSeed(), table: limit.NewTable[uint64](maxAccounts, worth)}
}

// of returns the account of a mailbox.
func (as *accounts) of(k accountKey, now time.Time) (a *account) {
	as.table.Update(maphash.Comparable(as.seed, k), now, func(p **account) {
		if *p == nil {
			*p = &account{used: now}
		}
		a = *p
	})
	return a
}

// change adds n messages of a sender, which have a size together, to those of an account. n may
// be below 0.
func (as *accounts) change(k accountKey, from string, n, bytes int64) {
	as.table.Find(maphash.Comparable(as.seed, k), func(p **account) { (*p).change(from, n, bytes) })
}

// removed notes that something was removed from a mailbox.
func (as *accounts) removed(owner sip.AoR) {
	for _, reminders := range []bool{false, true} {
		as.table.Find(maphash.Comparable(as.seed, accountKey{owner, reminders}), func(p **account) { (*p).forget() })
	}
}

// removedAny notes that something was removed from some mailboxes.
func (as *accounts) removedAny() {
	as.table.Select(func(_ uint64, p **account) bool {
		(*p).forget()
		return false
	})
}

// change adds n messages, which have a size together, to those that are stored.
func (a *account) change(from string, n, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.change(n, bytes)
	if t := a.senders[from]; t != nil {
		t.change(n, bytes)
	}
}

func (t *tally) change(n, bytes int64) {
	t.stored = t.stored.plus(n, bytes)
	t.added.Messages += n
	t.added.Bytes += bytes
}

// forget has the account read again if it is full.
func (a *account) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removals++
}

// A deposit is a message that is about to be stored in an account; the zero deposit is none.
type deposit struct {
	account *account
	from    string
	bytes   int64
	tracked bool // also in the tally of its sender
}

// reserve counts a message in the account of its mailbox, unless a quota forbids it. If the
// account cannot be read, the error is ErrBusy. A feigned message is for a mailbox that does
// not exist, which is counted in memory only.
func (s *Service) reserve(ctx context.Context, cfg *Settings, row *Message, bytes int64, feign bool) (deposit, error) {
	if cfg.Mailbox.unlimited() && cfg.PerSender.unlimited() {
		return deposit{}, nil
	}
	now := s.opt.Now()
	key := accountKey{row.Owner, !row.SendAt.IsZero()}
	d := deposit{account: s.accounts.of(key, now), from: row.Src, bytes: bytes}
	for {
		need, err := d.try(cfg.Mailbox, cfg.PerSender, now, feign)
		if need == enough || err != nil {
			if err != nil {
				return deposit{}, s.overQuota(err)
			}
			return d, nil
		}
		if err := s.readAccount(ctx, &d, key, need, now); err != nil {
			return deposit{}, err
		}
	}
}

// overQuota counts a message that was refused with an error.
func (s *Service) overQuota(err error) error {
	if errors.Is(err, ErrQuota) {
		s.Stats.OverQuota.Inc()
	} else {
		s.Stats.OverSenderQuota.Inc()
	}
	return err
}

// A need says what must be read before it is known whether a message can be stored.
type need int

const (
	enough     need = iota // nothing
	needOwner              // the usage of the mailbox
	needSender             // that of the sender in it
)

// try counts a message, or returns what must be read first, or the error for a quota.
func (d *deposit) try(mailbox, sender Usage, now time.Time, feign bool) (need, error) {
	a := d.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = now
	used := a.all.total()
	ok := mailbox.admits(used, d.bytes)
	switch {
	case !feign && !a.all.fresh(a, now, ok):
		return needOwner, nil
	case !ok:
		return enough, ErrQuota
	}
	if !sender.admits(used, d.bytes) { // else this sender cannot have more than all together
		from := a.sender(d.from)
		ok := sender.admits(from.total(), d.bytes)
		switch {
		case !feign && (from.read.Before(a.all.read) || !from.fresh(a, now, ok)):
			return needSender, nil
		case !ok:
			return enough, ErrSenderQuota
		}
	}
	a.all.pending = a.all.pending.plus(1, d.bytes)
	if d.tracked = !sender.part().admits(used, d.bytes); d.tracked {
		from := a.sender(d.from)
		from.pending = from.pending.plus(1, d.bytes)
	}
	return enough, nil
}

// part returns a limit that is far below u, 0 for a small one: what a sender has under way must
// be known when a mailbox has as much as one sender may have in it, and before that need not.
func (u Usage) part() Usage {
	const many = 256
	if u.Messages > 0 && u.Messages < many || u.Bytes > 0 && u.Bytes < many*many {
		return Usage{1, 1}
	}
	return Usage{u.Messages / 2, u.Bytes / 2}
}

// sender returns the tally of a sender, which is added if necessary.
func (a *account) sender(from string) *tally {
	t := a.senders[from]
	if t == nil {
		if len(a.senders) >= maxSenders {
			maps.DeleteFunc(a.senders, func(_ string, t *tally) bool { return t.pending.Messages == 0 })
		}
		if a.senders == nil {
			a.senders = map[string]*tally{}
		}
		t = new(tally)
		a.senders[from] = t
	}
	return t
}

// settle ends the reservation of a message that was stored, or could not be.
func (d *deposit) settle(stored bool) {
	a := d.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.settle(d, stored)
	if d.tracked {
		a.sender(d.from).settle(d, stored)
	} else if t := a.senders[d.from]; t != nil && stored {
		t.change(1, d.bytes)
	}
}

func (t *tally) settle(d *deposit, stored bool) {
	t.pending = t.pending.plus(-1, -d.bytes)
	if stored {
		t.change(1, d.bytes)
	}
}

// readAccount reads the usage that a deposit needs. One goroutine at a time reads a mailbox.
func (s *Service) readAccount(ctx context.Context, d *deposit, k accountKey, need need, now time.Time) error {
	a, from := d.account, ""
	a.mu.Lock()
	t := &a.all
	if need == needSender {
		from = d.from
		t = a.sender(from)
	}
	before := t.read
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	unlock, err := s.locks.lock(ctx, k.owner)
	if err != nil {
		return fmt.Errorf("wait for mailbox: %w: %w", ErrBusy, err)
	}
	defer unlock()
	a.mu.Lock()
	if !t.read.Equal(before) { // by another goroutine
		a.mu.Unlock()
		return nil
	}
	t.added, t.asOf = Usage{}, a.removals
	a.mu.Unlock()
	start := time.Now()
	u, err := s.opt.Store.Usage(ctx, k.owner, from, k.reminders)
	if err != nil {
		return fmt.Errorf("count mailbox: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t.read, t.cost = now, time.Since(start)
	if need == needSender && a.all.read.After(now) { // for a message that came later
		t.read = a.all.read // that reading has ended before this one began
	}
	t.stored = u.plus(t.added.Messages, t.added.Bytes)
	return nil
}
