package silo

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"silod/limit"
	"silod/sip"
)

// accounts remember how much is in the mailboxes that were last written to, so that a message
// is not counted among a million others before it is stored. An account counts the messages
// that silod stores and deletes. It is read again from the store once a minute, because other
// programs store and delete too, and sooner if it is full. Where that takes long, messages do not
// wait for it: the account counts as it is until it has been read.
type accounts struct {
	seed  maphash.Seed
	table *limit.Table[uint64, *account] // by the hash of an accountKey

	reading    semaphore // of readings for which messages wait
	refreshing semaphore // of the others
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
	again   bool          // it is being read again, and no message waits for that
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

// slow reports whether a tally was read, and reading it again takes long because the mailbox is
// large, and not only because the database was slow.
func (a *account) slow(t *tally) bool {
	return !t.read.IsZero() && t.cost > slowReading && a.all.stored.Messages > fewMessages
}

const (
	maxAccounts = 1 << 15
	maxSenders  = 256             // in an account
	accountLife = time.Minute     // after that an account is read again
	fullLife    = 5 * time.Second // the same if it is full
	costLife    = 20              // or after so many times the time that the reading took, if that is longer
	restLife    = 2               // the same for an account from which a command has removed messages

	slowReading = 20 * time.Millisecond // messages do not wait for another one,
	fewMessages = 256                   // unless the mailbox has so few
	// Connections for readings, fewer than there are, so that other readers find one.
	maxReadings   = 3
	maxRefreshing = 1
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
	return accounts{
		seed: maphash.MakeSeed(), table: limit.NewTable[uint64](maxAccounts, worth),
		reading: make(semaphore, maxReadings), refreshing: make(semaphore, maxRefreshing),
	}
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

// removed notes that messages were removed from a mailbox, or are not counted any more.
func (as *accounts) removed(owner sip.AoR) {
	as.table.Find(maphash.Comparable(as.seed, accountKey{owner, false}), func(p **account) { (*p).forget() })
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
	stale   need // what should be read again
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
		if d.stale != enough {
			s.refreshAccount(&d, key, now)
		}
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
	a.used, d.stale = now, enough
	used := a.all.total()
	ok := mailbox.admits(used, d.bytes)
	if !feign && !a.all.fresh(a, now, ok) && d.mustRead(&a.all, needOwner) {
		return needOwner, nil
	}
	if !ok {
		return enough, ErrQuota
	}
	if !sender.admits(used, d.bytes) { // else this sender cannot have more than all together
		from := a.sender(d.from)
		ok := sender.admits(from.total(), d.bytes)
		if !feign && (from.read.Before(a.all.read) || !from.fresh(a, now, ok)) && d.mustRead(from, needSender) {
			return needSender, nil
		}
		if !ok {
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

// mustRead reports whether a message has to wait until a tally has been read. Otherwise it notes
// that the tally should be read again.
func (d *deposit) mustRead(t *tally, n need) bool {
	if d.account.slow(t) {
		d.stale = n
		return false
	}
	return true
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
