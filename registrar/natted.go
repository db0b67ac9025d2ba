package registrar

import (
	"context"
	"slices"

	"silod/sip"
)

// An Entry is a binding in the table, with its owner. It must not be changed.
type Entry struct {
	AoR     sip.AoR
	Binding *Binding
}

// Parts is the number of parts of the table for AppendBehindNAT.
const Parts = shards

// AppendBehindNAT appends the bindings in one part of the table that are BehindNAT to list, of
// each user one for each flow: that keeps the NAT open for the others, and a client that names
// many contacts has only one packet sent. The parts are of about the same size.
func (l *Location) AppendBehindNAT(part int, list []Entry) []Entry {
	now := l.opt.Now()
	first := len(list)
	s := &l.shards[part]
	s.mu.RLock()
	for a, bs := range s.users {
		for i := range bs {
			if b := &bs[i]; b.Flow.Transport == sip.UDP && len(b.Path) == 0 && b.Expires.After(now) {
				list = append(list, Entry{a, b})
			}
		}
	}
	s.mu.RUnlock()
	// Contacts are parsed without the lock.
	kept := list[:first]
	user := first // where the bindings of the current user begin
	for _, e := range list[first:] {
		if len(kept) > user && kept[user].AoR != e.AoR {
			user = len(kept)
		}
		same := func(o Entry) bool { return o.Binding.Flow == e.Binding.Flow }
		if e.Binding.BehindNAT() && !slices.ContainsFunc(kept[user:], same) {
			kept = append(kept, e)
		}
	}
	clear(list[len(kept):])
	return kept
}

// Drop removes a binding that has not been registered again since it was read. It reports
// whether there was one. The error is the store's; the binding is removed nevertheless.
func (l *Location) Drop(ctx context.Context, e Entry) (dropped bool, err error) {
	s := l.shard(e.AoR)
	s.update.Lock()
	defer s.update.Unlock()
	err = l.remove(ctx, s, e.AoR, func(b *Binding) bool {
		same := b.RUID == e.Binding.RUID && b.Modified.Equal(e.Binding.Modified)
		dropped = dropped || same
		return same
	})
	return dropped, err
}
