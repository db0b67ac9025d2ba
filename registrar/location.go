// Package registrar knows which devices of a user are online and over which flow each can
// be reached. It has the rules of REGISTER (RFC 3261 section 10.3) and the location table.
// It does not know sockets: a flow is a value that package sip/transport made.
//
// Locks, in this order: shard.update, which keeps the REGISTERs of an AoR in order, is
// held while one is worked out and written to the store. shard.mu guards the maps, and is
// never held while the store is used, so that a lookup does not wait for it. flowIndex.mu
// guards the index of flows.
package registrar

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"silod/mi"
	"silod/sip"
)

// Options are what a Location needs.
type Options struct {
	Store Store // nil: bindings are kept in memory only
	// Shared is the same store, if other programs write it as well. Their bindings are followed
	// then, and Changed is called for users who are reached in another way, without a lock.
	Shared  Shared
	Changed func(sip.AoR)

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Earlier is the time at which rows of the store expire that other programs write or have written: while
	// the clock may be wrong, the earlier one of two times. nil: Now.
	Earlier func() time.Time

	// Alive reports whether the connection of a flow is open. If it is nil, all are.
	Alive func(sip.Flow) bool

	// KeepRows reports whether Load keeps the rows of bindings that have expired, because the clock
	// may be wrong. nil: they are deleted.
	KeepRows func() bool

	Own sip.OwnAddresses // see sip.OwnAddresses.Unusable
}

// Settings are what Configure can change while the table is in use.
type Settings struct {
	Default     time.Duration // life of a binding if the client asks for none; 0: 1 hour
	Min         time.Duration // shortest life that a client may ask for; 0: any
	Max         time.Duration // longest life; 0: no limit
	MaxContacts int           // of an AoR; 0: no limit
}

// A Location is the table of all bindings, in memory and, if there is a Store, there too.
// New returns one. A lookup asks memory only.
type Location struct {
	opt      Options
	settings atomic.Pointer[Settings]
	shards   [shards]shard
	flows    flowIndex
	stale    staleRows
	others   others
	restore  func(sip.Flow) (sip.Flow, bool) // of Load

	Expired mi.Counter // bindings that were not refreshed
}

// shards is the number of shards. While the store writes a REGISTER of one AoR, those of the
// other AoRs of its shard wait.
const shards = 64

// A shard has the bindings of some of the AoRs.
type shard struct {
	update sync.Mutex
	mu     sync.RWMutex
	users  map[sip.AoR][]Binding // a slice is replaced, never written to: see current
	dirty  map[string]sip.AoR    // by RUID: owners of bindings of which the rows differ, or may differ: refreshed, see rewrite
}

// New returns an empty table.
func New(opt Options, set Settings) *Location {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Earlier == nil {
		opt.Earlier = opt.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.KeepRows == nil {
		opt.KeepRows = func() bool { return false }
	}
	if opt.Alive == nil {
		opt.Alive = func(sip.Flow) bool { return true }
	}
	l := &Location{opt: opt}
	l.Configure(set)
	for i := range l.shards {
		l.shards[i].users = make(map[sip.AoR][]Binding)
		l.shards[i].dirty = make(map[string]sip.AoR)
	}
	return l
}

// Configure changes the settings. Existing bindings stay as they are.
func (l *Location) Configure(set Settings) {
	if set.Default == 0 {
		set.Default = time.Hour
	}
	l.settings.Store(&set)
}

// Settings returns the current settings.
func (l *Location) Settings() Settings { return *l.settings.Load() }

var seed = maphash.MakeSeed()

func (l *Location) shard(a sip.AoR) *shard {
	return &l.shards[maphash.Comparable(seed, a)%shards]
}

// Load fills the table from the store and returns the number of bindings. It is called
// before requests are served. The function restore returns the flow to use in place of one of
// an earlier process, or reports that there is none: its connection is closed. Bindings that
// cannot be reached without it are left out, and Run deletes their rows. Rows of other programs
// with an address that no host can have are left out too. The error is the store's.
func (l *Location) Load(ctx context.Context, restore func(sip.Flow) (sip.Flow, bool)) (n int, err error) {
	if l.opt.Store == nil {
		return 0, nil
	}
	now, stale := l.opt.Now(), l.stale.add
	if l.opt.KeepRows() {
		stale = func(string) {}
	}
	l.restore = restore
	if l.opt.Shared != nil {
		last, err := l.opt.Shared.LastRow(ctx)
		if err != nil {
			return 0, err
		}
		l.others.ends = [2]int64{last, last} // the first pass over new rows begins there
	}
	err = l.opt.Store.Load(ctx, now, func(a sip.AoR, b Binding) {
		b.Foreign = !strings.HasPrefix(b.RUID, RUIDPrefix)
		b.Expires = seenFrom(now, b.Expires)
		if !revive(&b, restore) {
			if b.Flow.Transport.Reliable() { // else another listener can make it usable
				l.stale.add(b.RUID)
			}
			return
		}
		if why := l.unreachable(&b); why != "" {
			l.unreadable(fmt.Errorf("contact %s of %s: %s", b.Contact, a, why))
			return
		}
		a, b.UserAgent, b.Methods = clone(a), intern(b.UserAgent), intern(b.Methods)
		s := l.shard(a)
		s.mu.Lock()
		s.users[a] = append(s.users[a], b)
		s.mu.Unlock()
		l.flows.add(b.Flow, a)
		n++
	}, stale, l.unreadable)
	l.tellUnread()
	return n - l.mergeLoaded(), err
}

// seenFrom returns the end of a binding from the store with the monotonic reading of now, if it has one:
// the end does not follow the clock when that is set.
func seenFrom(now, end time.Time) time.Time {
	left := end.Sub(now)
	if left >= forever/2 {
		return end
	}
	return now.Add(left)
}

// Bindings returns an AoR's bindings that have not expired. They must not be changed.
func (l *Location) Bindings(a sip.AoR) []Binding {
	now := l.opt.Now()
	s := l.shard(a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return current(s.users[a], now)
}

// Online reports whether an AoR has a binding that has not expired.
func (l *Location) Online(a sip.AoR) bool {
	now := l.opt.Now()
	s := l.shard(a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.users[a] {
		if s.users[a][i].Expires.After(now) {
			return true
		}
	}
	return false
}

// current returns the bindings that have not expired: all of them without a copy if none
// has, because a change replaces an AoR's slice and does not write to it.
func current(all []Binding, now time.Time) []Binding {
	for i := range all {
		if !all[i].Expires.After(now) {
			return slices.DeleteFunc(slices.Clone(all), func(b Binding) bool { return !b.Expires.After(now) })
		}
	}
	return slices.Clip(all)
}

// Counts returns the numbers of AoRs and bindings in the table.
func (l *Location) Counts() (aors, bindings int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		aors += len(s.users)
		for _, bs := range s.users {
			bindings += len(bs)
		}
		s.mu.RUnlock()
	}
	return aors, bindings
}

// largestShard returns the number of AoRs in the largest shard.
func (l *Location) largestShard() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n = max(n, len(s.users))
		s.mu.RUnlock()
	}
	return n
}

// Each calls f for each AoR with its bindings until f returns false. No lock is held
// while f runs.
func (l *Location) Each(f func(sip.AoR, []Binding) bool) {
	now := l.opt.Now()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		snapshot := make(map[sip.AoR][]Binding, len(s.users))
		for a, bs := range s.users {
			if bs = current(bs, now); len(bs) > 0 {
				snapshot[a] = bs
			}
		}
		s.mu.RUnlock()
		for a, bs := range snapshot {
			if !f(a, bs) {
				return
			}
		}
	}
}

// remove removes the bindings for which del returns true, from memory and then from the
// store. A row that stays in the store after an error is dropped by the next Load.
// s.update is held.
func (l *Location) remove(ctx context.Context, s *shard, a sip.AoR, del func(*Binding) bool) error {
	s.mu.Lock()
	changes := l.removeWhere(s, a, del)
	s.mu.Unlock()
	return l.save(ctx, changes)
}

// removeWhere removes the bindings for which del returns true from memory, and returns
// the changes for the store. s.update and s.mu are held.
func (l *Location) removeWhere(s *shard, a sip.AoR, del func(*Binding) bool) (changes []Change) {
	bs := s.users[a]
	first := 0
	for first < len(bs) && !del(&bs[first]) {
		first++
	}
	if first == len(bs) {
		return nil // without a copy: a sweep asks about all AoRs, and nearly all keep their bindings
	}
	left := slices.Clone(bs[:first])
	for _, b := range bs[first:] {
		if !del(&b) {
			left = append(left, b)
			continue
		}
		delete(s.dirty, b.RUID)
		changes = append(changes, Change{AoR: a, Binding: b, Removed: true})
	}
	for i := range changes {
		l.leave(changes[i].Binding.Flow, a, left)
	}
	s.set(a, left)
	return changes
}

// leave removes an AoR from the index of a flow, unless one of bindings uses the flow.
func (l *Location) leave(flow sip.Flow, a sip.AoR, bindings []Binding) {
	for i := range bindings {
		if bindings[i].Flow == flow {
			return
		}
	}
	l.flows.drop(flow, a)
}

// set makes bs the bindings of a. s.mu is held.
func (s *shard) set(a sip.AoR, bs []Binding) {
	if len(bs) == 0 {
		delete(s.users, a)
	} else {
		s.users[a] = bs
	}
}

// save writes changes to the store, if there is one.
func (l *Location) save(ctx context.Context, changes []Change) error {
	if l.opt.Store == nil || len(changes) == 0 {
		return nil
	}
	return l.opt.Store.Save(ctx, changes)
}
