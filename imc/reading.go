package imc

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"silod/address"
)

// logPage is how many entries are read from the store at least.
const logPage = 64

// handed is an entry that Next has given to the engine and that lies above the
// member's cursor. The engine goes past a message that a device does not take while
// it takes others; the cursor stays before such an entry, and those that were taken
// behind it are remembered here, so that nothing is lost and nothing is given twice.
type handed struct {
	seq     int64
	settled bool
}

// mostSettled bounds what one message that is never taken costs. When so many have
// been taken behind it, it is given up for this member.
const mostSettled = 256

// reading is one look of a member at the log.
type reading struct {
	user    address.AoR
	after   int64   // what is given has a higher Seq
	limit   int     // and is not more than this
	done    []int64 // Seqs that were settled
	found   []*post
	owed    []int64 // Seqs of all that must be given, now or another time
	skip    int64   // up to here nothing need be given; 0 where unknown
	skipped bool    // skip may still rise
	stale   int64   // up to here everything is too old for anybody; 0 where unknown
}

// unread gives at most limit posts that a member has not got, with a Seq above
// after. The cursor moves over what need not be given: the member's own words, and
// what has expired.
func (s *Service) unread(ctx context.Context, r *room, user address.AoR, after int64, limit int) ([]*post, error) {
	rd := reading{user: user, after: after, limit: limit}
	from, member := r.begin(&rd)
	if !member {
		return nil, nil
	}
	for whole := false; !whole && len(rd.found) < limit; {
		var posts []*post
		var last int64
		if posts, last, whole = r.above(from); !whole {
			entries, err := s.store.Log(ctx, r.name, from, max(limit, logPage))
			if err != nil {
				return nil, err
			}
			if posts = s.composeAll(entries, last); len(posts) == 0 { // the rest has been purged
				rd.pass(last)
				break
			}
		}
		for _, p := range posts {
			if len(rd.found) == limit {
				break
			}
			s.consider(&rd, p)
			from = p.seq
		}
	}
	s.end(r, &rd)
	return rd.found, nil
}

// begin tells from where a member has to read: from the cursor, or from the last
// entry that was handed out if everything before it was asked for already.
func (r *room) begin(rd *reading) (from int64, member bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[rd.user]
	if !m.seated() {
		return 0, false
	}
	cursor := max(m.Cursor, r.stale)
	from = cursor
	if n := len(m.handed); n > 0 {
		from = max(cursor, min(rd.after, m.handed[n-1].seq))
	}
	rd.skipped = from == cursor
	for _, h := range m.handed {
		if h.settled {
			rd.done = append(rd.done, h.seq)
		}
	}
	return from, true
}

// above gives the entries above a Seq and how far the log goes. Where the tail does
// not reach back so far it gives none, and false.
func (r *room) above(from int64) (posts []*post, last int64, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from >= r.last {
		return nil, r.last, true
	}
	posts, whole = r.since(from)
	return slices.Clone(posts), r.last, whole
}

// consider takes an entry up, or passes over it.
func (s *Service) consider(rd *reading, p *post) {
	now := s.now()
	switch {
	case slices.Contains(rd.done, p.seq):
	case p.from == rd.user && !s.cfg().Echo:
	case now.Sub(p.at) >= s.cfg().CatchUp:
		rd.stale = p.seq
	case !now.Before(p.expires):
	default:
		rd.skipped = false
		rd.owed = append(rd.owed, p.seq)
		if p.seq > rd.after {
			rd.found = append(rd.found, p)
		}
		return
	}
	rd.pass(p.seq)
}

// pass notes that nothing need be given up to a Seq, unless something before must.
func (rd *reading) pass(seq int64) {
	if rd.skipped {
		rd.skip = seq
	}
}

// end remembers what was found out: where the member's cursor is now, what was
// handed out, and what is too old for anybody, so that the next member need not
// read it.
func (s *Service) end(r *room, rd *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale = max(r.stale, rd.stale)
	m := r.index[rd.user]
	if !m.seated() {
		return
	}
	if rd.skip > m.Cursor {
		m.advance(rd.skip)
		s.ledger.note(r, m)
	}
	for _, seq := range rd.owed {
		i, known := m.find(seq)
		if !known && seq > m.Cursor {
			m.handed = slices.Insert(m.handed, i, handed{seq: seq})
		}
	}
}

func (m *member) find(seq int64) (int, bool) {
	return slices.BinarySearchFunc(m.handed, seq, func(h handed, seq int64) int { return cmp.Compare(h.seq, seq) })
}

// advance moves the cursor to a Seq, and further over what was settled before its
// turn.
func (m *member) advance(to int64) {
	m.Cursor = max(m.Cursor, to)
	n := 0
	for n < len(m.handed) && (m.handed[n].seq <= m.Cursor || m.handed[n].settled) {
		m.Cursor = max(m.Cursor, m.handed[n].seq)
		n++
	}
	if m.handed = slices.Delete(m.handed, 0, n); len(m.handed) == 0 {
		m.handed = nil
	}
}

// settle records that a member has got an entry, or never will. An entry that was
// not handed out is of another time: of a room of that name, or a membership, that
// has ended.
func (s *Service) settle(r *room, m *member, seq int64) {
	i, known := m.find(seq)
	if !known {
		return
	}
	m.handed[i].settled = true
	first := m.handed[0]
	if settled := m.settled(); !first.settled && settled >= mostSettled {
		s.stats.DeliveriesRefused.Add(1)
		s.log.Warn("member takes all messages but one, which is given up", slog.String("room", r.name.String()),
			slog.String("member", m.User.String()), slog.Int64("seq", first.seq))
		first.settled = true
	}
	if first.settled {
		m.advance(first.seq)
	}
}

// settled counts the entries that wait for one before them.
func (m *member) settled() int {
	n := 0
	for _, h := range m.handed {
		if h.settled {
			n++
		}
	}
	return n
}
