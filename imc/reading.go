package imc

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"

	"silod/delivery"
	"silod/sip"
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
	user    sip.AoR
	after   int64 // what is given has a higher Seq
	limit   int   // and is not more than this
	begun   bool
	from    int64   // all up to here was looked at
	done    []int64 // Seqs that were settled
	found   []*post
	owed    []int64 // Seqs of all that must be given, now or another time
	skip    int64   // up to here nothing need be given; 0 where unknown
	skipped bool    // skip may still rise
	stale   int64   // up to here everything is too old for anybody; 0 where unknown
}

// readings are kept for their slices: there is one for every message to every member.
var readings = sync.Pool{New: func() any { return new(reading) }}

func (rd *reading) free() {
	clear(rd.found)
	*rd = reading{found: rd.found[:0], owed: rd.owed[:0], done: rd.done[:0]}
	readings.Put(rd)
}

// unread adds to items at most limit that a member has not got, with a Seq above
// after. The cursor moves over what need not be given: the member's own words, and
// what has expired.
func (s *Service) unread(
	ctx context.Context, r *room, user sip.AoR, after int64, limit int, items []delivery.Item,
) ([]delivery.Item, error) {
	rd := readings.Get().(*reading)
	defer rd.free()
	rd.user, rd.after, rd.limit = user, after, limit
	for {
		kept, last, over := s.readTail(r, rd)
		if over {
			break
		}
		entries, err := s.store.Log(ctx, kept, rd.from, max(limit, logPage))
		if err != nil {
			return nil, err
		}
		posts := s.composeAll(r, entries, last)
		s.readOn(rd, posts)
		if len(posts) == 0 { // the rest has been purged
			rd.pass(last)
			rd.from = last
		}
	}
	if items == nil && len(rd.found) > 0 {
		items = make([]delivery.Item, 0, len(rd.found))
	}
	for _, p := range rd.found {
		items = append(items, p.item(r, user))
	}
	return items, nil
}

// readTail reads on in what is held in memory. Where that does not reach back so far
// the reading is not over, and the store has what is missing, up to last, under the
// room's AoR.
func (s *Service) readTail(r *room, rd *reading) (kept sip.AoR, last int64, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[rd.user]
	if !m.seated() {
		rd.found = rd.found[:0] // left meanwhile
		return r.AoR, 0, true
	}
	if !rd.begun {
		rd.begin(r, m)
	}
	posts, whole := r.since(rd.from)
	s.readOn(rd, posts)
	if over = whole || len(rd.found) == rd.limit; over {
		s.end(r, m, rd)
	}
	return r.AoR, r.last, over
}

// begin tells from where a member has to read: from the cursor, or from the last
// entry that was handed out if everything before it was asked for already. The
// caller holds r.mu.
func (rd *reading) begin(r *room, m *member) {
	rd.begun = true
	cursor := max(m.Cursor, r.stale)
	rd.from = cursor
	if n := len(m.handed); n > 0 {
		rd.from = max(cursor, min(rd.after, m.handed[n-1].seq))
	}
	rd.skipped = rd.from == cursor
	for _, h := range m.handed {
		if h.settled {
			rd.done = append(rd.done, h.seq)
		}
	}
}

// readOn reads entries, until enough are found.
func (s *Service) readOn(rd *reading, posts []*post) {
	for _, p := range posts {
		if len(rd.found) == rd.limit {
			return
		}
		s.consider(rd, p)
		rd.from = p.seq
	}
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
// read it. The caller holds r.mu.
func (s *Service) end(r *room, m *member, rd *reading) {
	r.stale = max(r.stale, rd.stale)
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
	m.handed = slices.Delete(m.handed, 0, n)
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
