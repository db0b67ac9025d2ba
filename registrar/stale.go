package registrar

import (
	"context"
	"strings"
	"time"

	"silod/sip"
)

// revive makes a binding from the store usable, or reports that it is not. A flow over UDP
// outlives the process, a connection does not.
func revive(b *Binding, restore func(sip.Flow) (sip.Flow, bool)) bool {
	if len(b.Path) > 0 && !strings.HasPrefix(b.RUID, RUIDPrefix) {
		b.Flow = sip.Flow{} // Kamailio's column received is the address of the client, not of the proxy
	}
	if b.Flow.IsZero() {
		return true
	}
	f, ok := restore(b.Flow)
	switch {
	case ok:
		b.Flow = f
	case b.Dialable(): // a new connection is opened when it is needed
		b.Flow = sip.Flow{}
	default:
		return false
	}
	return true
}

// mergeLoaded keeps the newest of an AoR's bindings with one contact, and returns the number of the
// others: rows may name their owner in several spellings, and Kamailio's may stand beside those
// of silod.
func (l *Location) mergeLoaded() (dropped int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for a, bs := range s.users {
			if len(bs) > 1 {
				merged := l.merged(a, bs)
				dropped += len(bs) - len(merged)
				s.users[a] = merged
			}
		}
		s.mu.Unlock()
	}
	return dropped
}

// merged returns bindings without those that another one replaces.
func (l *Location) merged(a sip.AoR, bs []Binding) []Binding {
	u := l.newUpdate(a)
	for i := range bs {
		b := bs[i]
		j := u.find(&b)
		if j < 0 {
			u.bindings = append(u.bindings, b)
			continue
		}
		if old := &u.bindings[j]; b.Modified.After(old.Modified) {
			*old, b = b, *old
		}
		l.stale.add(b.RUID)
	}
	return u.bindings
}

// staleRows are the RUIDs of rows of silod that Load has left out.
type staleRows struct {
	ruids []string
	retry time.Time // after an error
}

// add adds the row of a binding, unless it is a row of another program.
func (s *staleRows) add(ruid string) {
	if strings.HasPrefix(ruid, RUIDPrefix) {
		s.ruids = append(s.ruids, strings.Clone(ruid))
	}
}

const (
	staleBatch = 256             // rows that are deleted together
	staleRetry = 5 * time.Second // after an error
)

// deleteStale deletes some of the rows that Load has left out, if there are any. Only Run
// calls it.
func (l *Location) deleteStale(ctx context.Context) {
	s := &l.stale
	now := l.opt.Now()
	if len(s.ruids) == 0 || now.Before(s.retry) {
		return
	}
	batch := s.ruids[:min(len(s.ruids), staleBatch)]
	// A change that removes a binding needs no more of it than its RUID.
	changes := make([]Change, len(batch))
	for i, ruid := range batch {
		changes[i] = Change{Binding: Binding{RUID: ruid}, Removed: true}
	}
	if err := l.save(ctx, changes); err != nil {
		s.retry = now.Add(staleRetry)
		l.opt.Log.Warn("rows of former bindings not deleted", "count", len(s.ruids), "error", err)
		return
	}
	if s.ruids = s.ruids[len(batch):]; len(s.ruids) == 0 {
		s.ruids = nil // frees the memory
	}
}
