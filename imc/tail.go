package imc

import (
	"cmp"
	"slices"
	"time"
)

// The tail of a room is the end of its log, in memory. Members with a cursor before the
// tail read from the Store.
const (
	maxTailEntries = 256
	maxTailBytes   = 1 << 20 // by post.size
	maxTailAge     = time.Minute
	maxTailsBytes  = 64 << 20 // of all rooms together; while there are more, trim empties each tail
)

// publish appends committed entries to the tail, where they can be read. A member that
// had all entries until now is marked as seen: PauseAfter counts from the first entry
// that waits. publish calls moved for each member with a cursor to write. The caller
// holds mu.
func (r *room) publish(posts []*post, echo bool, moved func(*room, *member)) {
	slices.SortFunc(posts, func(a, b *post) int { return cmp.Compare(a.seq, b.seq) })
	before := r.last
	for _, p := range posts {
		// A sender that has all entries so far does not need this one. The cursor of
		// another sender passes over it when it is read.
		if m := r.find(p.from); !echo && m.joined() && m.Cursor >= r.last {
			m.Cursor = p.seq
			moved(r, m)
		}
		r.last, r.lastAt = p.seq, p.at
		r.tail = append(r.tail, p)
		r.tailSize += p.size()
	}
	for _, m := range r.members {
		if m.Cursor >= before && m.joined() {
			m.Seen = posts[0].at
			moved(r, m)
		}
	}
}

// tailAfter returns the entries of the tail with a Seq above seq, and whether they
// are all such entries of the log. The caller holds mu for as long as it uses them.
func (r *room) tailAfter(seq int64) (posts []*post, whole bool) {
	if seq < r.tailFrom {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(r.tail, seq+1, func(p *post, seq int64) int { return cmp.Compare(p.seq, seq) })
	return r.tail[i:], true
}

// isRepeat reports whether the message of a request is in the tail already. Unless a
// room is very busy, the tail reaches back further than the 32 s (Timer F) in which a
// request is retransmitted. The caller holds stateMu.
func (r *room) isRepeat(req *Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.tail, func(p *post) bool { return p.isFrom(req) })
}

// trim removes from the tail the entries that are too old, too many, or beyond a size
// of bytes. The caller holds mu.
func (r *room) trim(now time.Time, bytes int) {
	n := 0
	for n < len(r.tail) {
		p := r.tail[n]
		if len(r.tail)-n <= maxTailEntries && r.tailSize <= bytes && now.Sub(p.at) < maxTailAge {
			break
		}
		r.tailFrom = p.seq
		r.tailSize -= p.size()
		n++
	}
	r.tail = slices.Delete(r.tail, 0, n)
	if len(r.tail) == 0 {
		r.freeBuffers()
	}
}

// freeBuffers frees the memory that an idle room does not need. The caller holds mu.
func (r *room) freeBuffers() {
	r.tail, r.cachedAudience = nil, nil
	if len(r.commitQueue) == 0 {
		r.commitQueue = nil
	}
	for _, m := range r.members {
		if len(m.inFlight) == 0 {
			m.inFlight = nil
		}
	}
}

// trim keeps a room's tail, and all tails together, within their limits; before is
// the size of the tail when it was last counted. The caller holds r.mu.
func (s *Service) trim(r *room, before int) {
	limit := maxTailBytes
	if s.tailBytes.Load() > maxTailsBytes {
		limit = 0
	}
	r.trim(s.now(), limit)
	s.tailBytes.Add(int64(r.tailSize - before))
}
