package imc

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// room is a Room in memory. The package comment says which lock guards what.
type room struct {
	name sip.AoR // what people know it by; never changes. Room.AoR is what it is kept under
	uri  string  // name as a URI
	step sync.RWMutex

	gone bool // no longer in Service.rooms: look the name up anew; guarded by step

	// Written under step and mu.
	Room
	made    bool      // it is in the store; a name that somebody tries to create is not yet
	members []*member // in the order in which they came
	index   map[sip.AoR]*member
	seated  int // members that are neither invited nor banned
	banned  int

	mu       sync.Mutex
	line     []*underway // what is being committed, in the order of its Seqs
	last     int64       // Seq of the newest entry
	lastAt   time.Time
	tail     []*post // the newest entries in order: all those with a Seq above tailFrom
	tailFrom int64
	tailSize int
	stale    int64     // up to this Seq everything is too old for anybody
	audience []sip.AoR // whom to wake, made anew when nil; never written to
}

// member is a Member in memory. Its Cursor, Seen and Paused, and what follows, are
// guarded by room.mu alone.
type member struct {
	Member
	handed []handed // by Seq; nil in an idle room
	noted  bool     // waits in the ledger for its cursor to be written
}

// seated tells whether the user hears what is said in the room.
func (m *member) seated() bool { return m != nil && m.Role >= Plain && m.Role <= Owner }

func newRoom(name sip.AoR) *room {
	return &room{name: name, uri: name.String(), Room: Room{AoR: name}, index: make(map[sip.AoR]*member)}
}

// kept is the AoR under which the store has the room.
func (r *room) kept() sip.AoR {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.AoR
}

// exists tells whether people see the room. The caller holds step or mu.
func (r *room) exists() bool { return r.made && !r.Closed }

// owner gives the owner, nil in a room that has none.
func (r *room) owner() *member {
	for _, m := range r.members {
		if m.Role == Owner {
			return m
		}
	}
	return nil
}

// copied gives a member as it is now, to be changed. The caller holds step.
func (r *room) copied(m *member) Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.Member
}

// apply makes a committed change true in memory. The caller holds step and mu.
func (r *room) apply(c *Change) {
	r.Room, r.made = c.Room, true
	for _, u := range c.Remove {
		if m := r.index[u]; m != nil {
			delete(r.index, u)
			r.members = slices.DeleteFunc(r.members, func(x *member) bool { return x == m })
		}
	}
	for _, p := range c.Put {
		if m := r.index[p.User]; m != nil {
			// The cursor may have moved while the change was being written.
			was := m.Member
			m.Member = p
			m.Cursor, m.Paused = max(p.Cursor, was.Cursor), was.Paused
			if was.Seen.After(p.Seen) {
				m.Seen = was.Seen
			}
			continue
		}
		m := &member{Member: p}
		r.index[p.User] = m
		r.members = append(r.members, m)
	}
	r.audience, r.seated, r.banned = nil, 0, 0
	for _, m := range r.members {
		switch {
		case m.seated():
			r.seated++
		case m.Role == Banned:
			r.banned++
		}
	}
}

// hearers gives whom to wake when something was said. The list is made once and
// then shared, so that to wake ten thousand members takes no memory. The caller
// holds mu.
func (r *room) hearers() []sip.AoR {
	if r.audience == nil {
		r.audience = make([]sip.AoR, 0, r.seated)
		for _, m := range r.members {
			if m.seated() && !m.Paused {
				r.audience = append(r.audience, m.User)
			}
		}
	}
	return r.audience
}

// publish lets committed entries be read: they join the tail. Members who had
// nothing to get until now are marked as seen, because only from now on is
// anything owed to them. The caller holds mu.
func (r *room) publish(posts []*post, echo bool, note func(*room, *member)) {
	slices.SortFunc(posts, func(a, b *post) int { return cmp.Compare(a.seq, b.seq) })
	before := r.last
	for _, p := range posts {
		// Who has got everything so far has got their own words too. Who has not will pass
		// over them when reading.
		if m := r.index[p.from]; !echo && m.seated() && m.Cursor >= r.last {
			m.Cursor = p.seq
			note(r, m)
		}
		r.last, r.lastAt = p.seq, p.at
		r.tail = append(r.tail, p)
		r.tailSize += p.size()
	}
	for _, m := range r.members {
		if m.Cursor >= before && m.seated() {
			m.Seen = posts[0].at
			note(r, m)
		}
	}
}

// heard tells whether a request is in the tail already. The tail reaches further
// back than a request is repeated (32 s, Timer F), unless very much is said. The
// caller holds step.
func (r *room) heard(req *Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.tail, func(p *post) bool { return p.repeats(req) })
}

// The tail of a room, and all of them together, hold no more than this; a member
// who is further behind reads from the store.
const (
	tailEntries = 256
	tailBytes   = 1 << 20
	tailAge     = time.Minute
	tailsBytes  = 64 << 20
)

// trim drops from the tail what is too old or more than bytes. The caller holds mu.
func (r *room) trim(now time.Time, bytes int) {
	n := 0
	for n < len(r.tail) {
		p := r.tail[n]
		if len(r.tail)-n <= tailEntries && r.tailSize <= bytes && now.Sub(p.at) < tailAge {
			break
		}
		r.tailFrom = p.seq
		r.tailSize -= p.size()
		n++
	}
	r.tail = slices.Delete(r.tail, 0, n)
	if len(r.tail) == 0 {
		r.rest()
	}
}

// rest gives back what a room needs only while something is said in it. The caller
// holds mu.
func (r *room) rest() {
	r.tail, r.audience = nil, nil
	if len(r.line) == 0 {
		r.line = nil
	}
	for _, m := range r.members {
		if len(m.handed) == 0 {
			m.handed = nil
		}
	}
}

// since gives the entries above a Seq that are in the tail, and whether those
// are all there are. The caller holds mu, under which alone they may be used.
func (r *room) since(seq int64) ([]*post, bool) {
	if seq < r.tailFrom {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(r.tail, seq+1, func(p *post, seq int64) int { return cmp.Compare(p.seq, seq) })
	return r.tail[i:], true
}
