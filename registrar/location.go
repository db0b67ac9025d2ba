// Package registrar knows which devices of a user are online and over which flow
// each can be reached: the rules of REGISTER (RFC 3261 section 10.3) and the
// location table. It knows nothing of sockets: a flow is a text that somebody
// else understands.
//
// Locks: an update lock per group of AoRs, held while a REGISTER is worked out and
// written to the store, which keeps the REGISTERs of one AoR in order; and under it
// a lock per shard of the table, held for map work only, so that a lookup never
// waits for the store.
package registrar

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"silod/address"
	"silod/mi"
)

// Options are what a Location needs. Zero values stand for the defaults given.
type Options struct {
	Store   Store // nil: bindings are kept in memory only
	Log     *slog.Logger
	Now     func() time.Time
	Default time.Duration // life of a binding that asks for none; 1 h
	Min     time.Duration // shortest life that may be asked for; 60 s
	Max     time.Duration // longest life that is given; 0: no limit
	Most    int           // contacts an AoR may have; 0: no limit
}

// Location is the table of all bindings.
type Location struct {
	opt    Options
	shards [shards]shard

	Expired mi.Counter // bindings that were not refreshed
}

const shards = 64

type shard struct {
	update sync.Mutex
	mu     sync.RWMutex
	users  map[address.AoR][]Binding
}

// New makes an empty table.
func New(opt Options) *Location {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Default == 0 {
		opt.Default = time.Hour
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	l := &Location{opt: opt}
	for i := range l.shards {
		l.shards[i].users = make(map[address.AoR][]Binding)
	}
	return l
}

var seed = maphash.MakeSeed()

func (l *Location) shard(a address.AoR) *shard {
	return &l.shards[maphash.Comparable(seed, a)%shards]
}

// Load fills the table from the store. alive tells whether a binding's flow can
// still be used; those of a connection that died with the last process are not.
func (l *Location) Load(ctx context.Context, alive func(flow string) bool) (n int, err error) {
	if l.opt.Store == nil {
		return 0, nil
	}
	err = l.opt.Store.Load(ctx, l.opt.Now(), func(a address.AoR, b Binding) {
		if !alive(b.Flow) {
			return
		}
		s := l.shard(a)
		s.mu.Lock()
		s.users[a] = append(s.users[a], b)
		s.mu.Unlock()
		n++
	}, func(err error) {
		l.opt.Log.Warn("binding not loaded", "error", err)
	})
	return n, err
}

// Bindings gives an AoR's bindings that have not expired. The slice is the
// caller's.
func (l *Location) Bindings(a address.AoR) []Binding {
	now := l.opt.Now()
	s := l.shard(a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return current(s.users[a], now)
}

// Online tells whether an AoR has a binding.
func (l *Location) Online(a address.AoR) bool {
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
func (l *Location) Each(f func(address.AoR, []Binding) bool) {
	now := l.opt.Now()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		snapshot := make(map[address.AoR][]Binding, len(s.users))
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

// FlowClosed ends the bindings that were registered over a flow: the connection is
// gone, so they lead nowhere.
func (l *Location) FlowClosed(ctx context.Context, flow string) {
	l.sweep(ctx, func(b *Binding) bool { return b.Flow == flow })
}

// Run clears expired bindings away until ctx ends.
func (l *Location) Run(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			now := l.opt.Now()
			l.Expired.Add(l.sweep(ctx, func(b *Binding) bool { return !b.Expires.After(now) }))
		}
	}
}

const sweepEvery = 5 * time.Second

// sweep removes the bindings that dead selects, and tells how many. The store is told afterwards; if
// that fails, what is left there is expired or unreachable, and found out at the
// next load.
func (l *Location) sweep(ctx context.Context, dead func(*Binding) bool) (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		var gone []Change
		s.update.Lock()
		s.mu.Lock()
		for a, bs := range s.users {
			kept := bs[:0:0]
			for i := range bs {
				if dead(&bs[i]) {
					gone = append(gone, Change{AoR: a, Binding: bs[i], Removed: true})
				} else {
					kept = append(kept, bs[i])
				}
			}
			switch {
			case len(kept) == len(bs):
			case len(kept) == 0:
				delete(s.users, a)
			default:
				s.users[a] = kept
			}
		}
		s.mu.Unlock()
		err := l.save(ctx, gone)
		s.update.Unlock()
		if err != nil {
			l.opt.Log.Warn("expired bindings not removed from the store", "count", len(gone), "error", err)
		}
		n += len(gone)
	}
	return n
}

func (l *Location) save(ctx context.Context, changes []Change) error {
	if l.opt.Store == nil || len(changes) == 0 {
		return nil
	}
	return l.opt.Store.Save(ctx, changes)
}
