package silo

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Errors of Put for the messages of strangers.
var (
	ErrSourceQuota    = errors.New("enough messages from this address are stored")
	ErrStrangersQuota = errors.New("enough messages of unauthenticated senders are stored")
)

// A Charge is the part of a stored message of a stranger in the limits of strangers.
type Charge struct {
	ID     int64        // of the message
	Source netip.Prefix // the address or network that it came from
	Bytes  int64
}

// An Observer is told of each committed transaction that has stored or deleted messages of
// strangers, in the order of the commits: the new charges, and the IDs of deleted messages,
// which may be those of others too. If both are empty, any may have changed.
type Observer func(stored []Charge, gone []int64)

// A ledger holds the charges of all stored messages of strangers. It is bounded by the limits
// that it enforces. The zero ledger is empty.
type ledger struct {
	mu      sync.Mutex
	charges map[int64]Charge     // by ID of the message
	feigned map[Charge]time.Time // of messages that were not stored, see UnknownHide, until these times
	pending map[*Charge]bool     // of messages that are being stored
	sources map[netip.Prefix]Usage
	all     Usage
	serial  int64 // of the last feigned charge
	stale   bool  // charges must be read again

	reading bool     // charges are being read, and the changes since are kept
	stored  []Charge // since
	gone    []int64
	readAt  time.Time
}

// reserve counts a message that is about to be stored, unless a limit forbids it.
func (l *ledger) reserve(c *Charge, source, all Usage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !source.admits(l.sources[c.Source], c.Bytes):
		return ErrSourceQuota
	case !all.admits(l.all, c.Bytes):
		return ErrStrangersQuota
	}
	if l.pending == nil {
		l.pending = map[*Charge]bool{}
	}
	l.pending[c] = true
	l.count(*c, 1)
	return nil
}

// settle ends a reservation. If the message was stored, observe has counted it before.
func (l *ledger) settle(c *Charge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, c)
	l.count(*c, -1)
}

// feign keeps the reservation of a message that was not stored, until it would have expired.
func (l *ledger) feign(c *Charge, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, c)
	l.serial++
	if l.feigned == nil {
		l.feigned = map[Charge]time.Time{}
	}
	l.feigned[Charge{ID: l.serial, Source: c.Source, Bytes: c.Bytes}] = until
}

// observe follows a transaction. It is an Observer.
func (l *ledger) observe(stored []Charge, gone []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(stored)+len(gone) == 0 {
		l.stale = true
		return
	}
	if l.reading {
		l.stored, l.gone = append(l.stored, stored...), append(l.gone, gone...)
	}
	l.change(stored, gone)
}

// change adds and removes charges. A message may be stored and deleted by one transaction.
func (l *ledger) change(stored []Charge, gone []int64) {
	if l.charges == nil {
		l.charges = map[int64]Charge{}
	}
	for _, c := range stored {
		if _, ok := l.charges[c.ID]; !ok {
			l.charges[c.ID] = c
			l.count(c, 1)
		}
	}
	for _, id := range gone {
		if c, ok := l.charges[id]; ok {
			delete(l.charges, id)
			l.count(c, -1)
		}
	}
}

// count adds a charge n times.
func (l *ledger) count(c Charge, n int64) {
	if l.sources == nil {
		l.sources = map[netip.Prefix]Usage{}
	}
	l.all = l.all.plus(n, n*c.Bytes)
	if u := l.sources[c.Source].plus(n, n*c.Bytes); u.Messages > 0 {
		l.sources[c.Source] = u
	} else {
		delete(l.sources, c.Source)
	}
}

// due reports whether the charges should be read: they may have changed in a way that was not
// observed, or another program may have deleted messages since they were read. Then the caller
// must call load.
func (l *ledger) due(now time.Time, every time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading || !l.stale && now.Sub(l.readAt).Abs() < every {
		return false
	}
	l.reading, l.readAt = true, now
	return true
}

// load replaces the charges of stored messages by those that read returns.
func (l *ledger) load(ctx context.Context, read func(context.Context) ([]Charge, error)) error {
	l.mu.Lock()
	l.reading, l.stale = true, false
	l.mu.Unlock()
	list, err := read(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, gone := l.stored, l.gone
	l.reading, l.stored, l.gone = false, nil, nil
	if err != nil {
		l.stale = true
		return err
	}
	l.charges, l.sources, l.all = nil, nil, Usage{}
	l.change(list, nil)
	l.change(stored, gone)
	for c := range l.feigned {
		l.count(c, 1)
	}
	for c := range l.pending {
		l.count(*c, 1)
	}
	return nil
}

// sweep forgets the feigned charges that have expired.
func (l *ledger) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, until := range l.feigned {
		if !until.After(now) {
			delete(l.feigned, c)
			l.count(c, -1)
		}
	}
}

// used returns the usage of all strangers.
func (l *ledger) used() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
