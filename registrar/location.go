// Package registrar knows which devices of a user are online and over which flow
// each can be reached: the rules of REGISTER (RFC 3261 section 10.3) and the
// location table. It knows nothing of sockets: a flow is a text that somebody
// else understands.
//
// Locks: an update lock per group of AoRs, held while a REGISTER is worked out and
// written to the store, which keeps the REGISTERs of one AoR in order; under it a
// lock per shard of the table, held for map work only, so that a lookup never waits
// for the store; and under that the flow index's.
package registrar

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/mi"
	"silod/sip"
)

// Options are what a Location needs. Zero values stand for the defaults given.
type Options struct {
	Store Store // nil: bindings are kept in memory only
	Log   *slog.Logger
	Now   func() time.Time
	Rules Rules
}

// Rules are what can be changed while the table is in use.
type Rules struct {
	Default time.Duration // life of a binding that asks for none; 0: 1 h
	Min     time.Duration // shortest life that may be asked for; 0: any
	Max     time.Duration // longest life that is given; 0: no limit
	Most    int           // contacts an AoR may have; 0: no limit
}

// Location is the table of all bindings.
type Location struct {
	opt    Options
	rules  atomic.Pointer[Rules]
	shards [shards]shard
	flows  flowIndex

	Expired mi.Counter // bindings that were not refreshed
}

const shards = 64

type shard struct {
	update sync.Mutex
	mu     sync.RWMutex
	users  map[sip.AoR][]Binding
	dirty  map[string]sip.AoR // whose binding of that RUID was refreshed since it was written
}

// New makes an empty table.
func New(opt Options) *Location {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	l := &Location{opt: opt}
	l.Configure(opt.Rules)
	for i := range l.shards {
		l.shards[i].users = make(map[sip.AoR][]Binding)
		l.shards[i].dirty = make(map[string]sip.AoR)
	}
	return l
}

// Configure takes other rules from now on. Bindings that there are stay as they are.
func (l *Location) Configure(r Rules) {
	if r.Default == 0 {
		r.Default = time.Hour
	}
	l.rules.Store(&r)
}

// Rules are those in force.
func (l *Location) Rules() Rules { return *l.rules.Load() }

var seed = maphash.MakeSeed()

func (l *Location) shard(a sip.AoR) *shard {
	return &l.shards[maphash.Comparable(seed, a)%shards]
}

// Load fills the table from the store. alive tells whether a binding's flow can
// still be used; those of a connection that died with the last process are not.
func (l *Location) Load(ctx context.Context, alive func(flow string) bool) (n int, err error) {
	if l.opt.Store == nil {
		return 0, nil
	}
	err = l.opt.Store.Load(ctx, l.opt.Now(), func(a sip.AoR, b Binding) {
		if !alive(b.Flow) {
			return
		}
		a, b.UserAgent, b.Methods = own(a), shared(b.UserAgent), shared(b.Methods)
		s := l.shard(a)
		s.mu.Lock()
		s.users[a] = append(s.users[a], b)
		s.mu.Unlock()
		l.flows.add(b.Flow, a)
		n++
	}, func(err error) {
		l.opt.Log.Warn("binding not loaded", "error", err)
	})
	return n, err
}

// Bindings gives an AoR's bindings that have not expired. The slice is the
// caller's.
func (l *Location) Bindings(a sip.AoR) []Binding {
	now := l.opt.Now()
	s := l.shard(a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return current(s.users[a], now)
}

// Online tells whether an AoR has a binding.
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

func current(all []Binding, now time.Time) []Binding {
	var bs []Binding
	for i := range all {
		if all[i].Expires.After(now) {
			bs = append(bs, all[i])
		}
	}
	return bs
}

// Counts are the numbers of AoRs and bindings in the table.
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

// Each calls f for every AoR with its bindings, shard by shard, without holding a
// lock while f runs. f returns false to end it.
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

// commit writes changes to the store, and then gives an AoR its new bindings. It is
// all or nothing. refreshed are written later; left are flows that bindings had
// before. s.update is held.
func (l *Location) commit(ctx context.Context, s *shard, a sip.AoR, u *update) error {
	if err := l.save(ctx, u.changes); err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	for i := range u.changes {
		if c := &u.changes[i]; !c.Removed {
			l.flows.add(c.Binding.Flow, a)
		}
	}
	for _, flow := range u.left {
		l.leave(flow, a, u.bindings)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range u.changes {
		delete(s.dirty, u.changes[i].Binding.RUID)
	}
	for _, ruid := range u.refreshed {
		s.dirty[ruid] = a
	}
	s.set(a, u.bindings)
	return nil
}

// leave takes an AoR off a flow over which it has no binding any more.
func (l *Location) leave(flow string, a sip.AoR, bindings []Binding) {
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

// FlowClosed ends the bindings that were registered over a flow: the connection is
// gone, so they lead nowhere.
func (l *Location) FlowClosed(ctx context.Context, flow string) {
	for _, a := range l.flows.take(flow) {
		s := l.shard(a)
		s.update.Lock()
		err := l.remove(ctx, s, a, func(b *Binding) bool { return b.Flow == flow })
		s.update.Unlock()
		if err != nil {
			l.opt.Log.Warn("binding of a closed connection not removed from the store", "aor", a, "error", err)
		}
	}
}

// remove takes the bindings that gone selects out of memory, and then out of the
// store: what stays there in vain is found out at the next load. s.update is held.
func (l *Location) remove(ctx context.Context, s *shard, a sip.AoR, gone func(*Binding) bool) error {
	s.mu.Lock()
	changes := l.split(s, a, gone)
	s.mu.Unlock()
	return l.save(ctx, changes)
}

// split takes the bindings that gone selects from an AoR and gives the changes that
// do so in the store. s.mu is held.
func (l *Location) split(s *shard, a sip.AoR, gone func(*Binding) bool) (changes []Change) {
	bs := s.users[a]
	first := 0
	for first < len(bs) && !gone(&bs[first]) {
		first++
	}
	if first == len(bs) {
		return nil // as nearly always, when it is asked of everybody
	}
	left := slices.Clone(bs[:first])
	for _, b := range bs[first:] {
		if !gone(&b) {
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

// Run clears expired bindings away and writes refreshed ones until ctx ends, and
// then writes what is left. It goes round the shards, one at a time, so that nobody
// waits long for a lock.
func (l *Location) Run(ctx context.Context) error {
	sweep, flush := time.NewTicker(sweepEvery/shards), time.NewTicker(flushEvery/shards)
	defer sweep.Stop()
	defer flush.Stop()
	for swept, flushed := 0, 0; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			l.flush(last)
			cancel()
			return nil
		case <-sweep.C:
			l.sweepShard(ctx, &l.shards[swept%shards])
			swept++
		case <-flush.C:
			l.flushShard(ctx, &l.shards[flushed%shards])
			flushed++
		}
	}
}

const (
	sweepEvery = 5 * time.Second
	flushEvery = 15 * time.Second
	lastFlush  = 5 * time.Second // may the last one take
)

// sweep removes the bindings that have expired.
func (l *Location) sweep(ctx context.Context) {
	for i := range l.shards {
		l.sweepShard(ctx, &l.shards[i])
	}
}

func (l *Location) sweepShard(ctx context.Context, s *shard) {
	now := l.opt.Now()
	over := func(b *Binding) bool { return !b.Expires.After(now) }
	var gone []Change
	s.update.Lock()
	s.mu.Lock()
	for a := range s.users {
		gone = append(gone, l.split(s, a, over)...)
	}
	s.mu.Unlock()
	err := l.save(ctx, gone)
	s.update.Unlock()
	l.Expired.Add(len(gone))
	if err != nil {
		l.opt.Log.Warn("expired bindings not removed from the store", "count", len(gone), "error", err)
	}
}

// flush writes the bindings of which nothing but their end has moved. Until then a
// crash costs them no more than that: they end when they would have without their
// last refresh, or are refreshed again. What cannot be written is tried again.
func (l *Location) flush(ctx context.Context) {
	for i := range l.shards {
		l.flushShard(ctx, &l.shards[i])
	}
}

func (l *Location) flushShard(ctx context.Context, s *shard) {
	s.update.Lock()
	defer s.update.Unlock()
	changes := s.refreshed()
	if err := l.save(ctx, changes); err != nil {
		l.opt.Log.Warn("refreshed bindings not written", "count", len(changes), "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range changes {
		delete(s.dirty, changes[i].Binding.RUID) // not refreshed meanwhile: s.update is held
	}
}

// refreshed are the bindings that are to be written.
func (s *shard) refreshed() []Change {
	s.mu.RLock()
	defer s.mu.RUnlock()
	changes := make([]Change, 0, len(s.dirty))
	for ruid, a := range s.dirty {
		for _, b := range s.users[a] {
			if b.RUID == ruid {
				changes = append(changes, Change{AoR: a, Binding: b})
			}
		}
	}
	return changes
}

func (l *Location) save(ctx context.Context, changes []Change) error {
	if l.opt.Store == nil || len(changes) == 0 {
		return nil
	}
	return l.opt.Store.Save(ctx, changes)
}
