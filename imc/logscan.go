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

// logPage is the minimum number of entries that is read from the Store at once.
const logPage = 64

// An inFlight is an entry that Next has returned and that is above the member's cursor.
// The engine passes over a message that a device refuses for now and delivers later
// ones. The cursor stays before the first such entry, and the settled entries behind it
// are remembered here, so that none is lost and none is delivered twice.
type inFlight struct {
	seq     int64
	settled bool
}

// maxSettled limits the memory that one undeliverable entry costs: when so many later
// entries are settled, the member does not get it.
const maxSettled = 256

// A logScan is one pass over a room's log for one member.
type logScan struct {
	user     sip.AoR
	member   *member
	after    int64 // only entries with a higher Seq are found
	limit    int   // and at most so many
	started  bool
	pos      int64   // Seq up to which entries have been examined
	settled  []int64 // Seqs above the cursor that are settled
	found    []*post
	pending  []int64 // Seqs of the entries that the member must get, now or later
	skip     int64   // the cursor may move to this Seq; 0: it stays
	skipping bool    // skip may still rise
	expired  int64   // entries up to this Seq are too old for every member; 0 if unknown

	// See beginResend.
	resendTo       int64 // the scan is among skipped entries, up to this Seq; 0: it is not
	resumeAt       int64 // pos and skipping behind them
	resumeSkipping bool
	resendAll      bool // the scan began with the first one
	resendFound    bool
}

// logScans keeps the slices: there is a scan for every message to every member.
var logScans = sync.Pool{New: func() any { return new(logScan) }}

func (sc *logScan) free() {
	clear(sc.found)
	*sc = logScan{found: sc.found[:0], pending: sc.pending[:0], settled: sc.settled[:0]}
	logScans.Put(sc)
}

// appendUnread appends to items at most limit entries, with a Seq above after, that a
// member has not got. It moves the cursor over entries that the member does not
// get: the member's own messages, and expired ones.
func (s *Service) appendUnread(
	ctx context.Context, r *room, user sip.AoR, after int64, limit int, items []delivery.Item,
) ([]delivery.Item, error) {
	sc := logScans.Get().(*logScan)
	defer sc.free()
	sc.user, sc.after, sc.limit = user, after, limit
	for {
		stored, last, done := s.scanTail(r, sc)
		if done {
			break
		}
		entries, err := s.store.Log(ctx, stored, sc.pos, max(limit, logPage))
		if err != nil {
			return nil, err
		}
		posts := s.composeAll(r, entries, last)
		s.scan(sc, posts)
		if len(posts) == 0 { // the entries up to last have been purged
			sc.skipTo(last)
			sc.pos = last
		}
	}
	if items == nil && len(sc.found) > 0 {
		items = make([]delivery.Item, 0, len(sc.found))
	}
	for _, p := range sc.found {
		items = append(items, p.item(sc.member, user))
	}
	return items, nil
}

// scanTail continues a scan in the tail. If the tail does not reach back far enough
// the scan is not done: the Store has the missing entries up to last, under the AoR
// stored.
func (s *Service) scanTail(r *room, sc *logScan) (stored sip.AoR, last int64, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.find(sc.user)
	if !m.joined() {
		sc.found = sc.found[:0] // the user has left meanwhile
		return r.log, 0, true
	}
	sc.member = m
	if !sc.started {
		sc.start(r, m)
	}
	posts, whole := r.tailAfter(sc.pos)
	s.scan(sc, posts)
	if done = whole || len(sc.found) == sc.limit; done {
		s.finish(r, m, sc)
	}
	return r.log, r.last, done
}

// start sets the position at which a scan begins: the cursor, or the last entry in
// flight if Next has been asked for everything before it. The caller holds r.mu.
func (sc *logScan) start(r *room, m *member) {
	sc.started = true
	cursor := r.unreadFrom(m)
	sc.pos = cursor
	if n := len(m.inFlight); n > 0 {
		sc.pos = max(cursor, min(sc.after, m.inFlight[n-1].seq))
	}
	sc.skipping = sc.pos == cursor
	for _, f := range m.inFlight {
		if f.settled {
			sc.settled = append(sc.settled, f.seq)
		}
	}
	sc.beginResend(r, m)
}

// scan examines posts until enough are found.
func (s *Service) scan(sc *logScan, posts []*post) {
	for _, p := range posts {
		if len(sc.found) == sc.limit {
			return
		}
		sc.endResend(p.seq)
		if p.seq <= sc.pos {
			continue
		}
		s.examine(sc, p)
		sc.pos = p.seq
	}
}

// examine adds an entry to the pending ones or skips it.
func (s *Service) examine(sc *logScan, p *post) {
	now, c := s.now(), s.config()
	switch {
	case slices.Contains(sc.settled, p.seq):
	case p.from == sc.user && !c.Echo:
	case now.Sub(p.at) >= c.CatchUp:
		sc.expired = p.seq
	case !now.Before(p.expires):
	default:
		sc.skipping = false
		sc.resendFound = sc.resendFound || sc.resendTo > 0
		sc.pending = append(sc.pending, p.seq)
		if p.seq > sc.after {
			sc.found = append(sc.found, p)
		}
		return
	}
	sc.skipTo(p.seq)
}

// skipTo lets the cursor move to a Seq unless there is a pending entry before it.
func (sc *logScan) skipTo(seq int64) {
	if sc.skipping {
		sc.skip = seq
	}
}

// finish stores the results of a scan: the member's cursor, the entries in flight,
// and the entries that are too old for every member, so that the next scan need not
// read them. The caller holds r.mu.
func (s *Service) finish(r *room, m *member, sc *logScan) {
	r.expired = max(r.expired, sc.expired)
	sc.finishResend(m)
	if sc.skip > m.Cursor {
		m.advanceCursor(sc.skip)
		s.cursors.add(r, m)
	}
	for _, seq := range sc.pending {
		i, known := m.findInFlight(seq)
		if !known && seq > m.Cursor {
			m.inFlight = slices.Insert(m.inFlight, i, inFlight{seq: seq})
		}
	}
}

// findInFlight returns the index of a Seq in inFlight, or the one at which to insert it.
func (m *member) findInFlight(seq int64) (int, bool) {
	return slices.BinarySearchFunc(m.inFlight, seq, func(f inFlight, seq int64) int { return cmp.Compare(f.seq, seq) })
}

// advanceCursor moves the cursor to a Seq, and on over the settled entries that
// follow.
func (m *member) advanceCursor(to int64) {
	m.Cursor = max(m.Cursor, to)
	n := 0
	for n < len(m.inFlight) && (m.inFlight[n].seq <= m.Cursor || m.inFlight[n].settled) {
		m.Cursor = max(m.Cursor, m.inFlight[n].seq)
		n++
	}
	m.inFlight = slices.Delete(m.inFlight, 0, n)
}

// settle records that a member has got an entry, or will never get it. An entry that
// is not in flight is ignored: it belongs to an earlier room of that name or to an
// earlier membership.
func (s *Service) settle(r *room, m *member, seq int64) {
	i, known := m.findInFlight(seq)
	if !known {
		return
	}
	m.inFlight[i].settled = true
	first := m.inFlight[0]
	if !first.settled && m.settledCount() >= maxSettled {
		s.stats.DeliveriesRefused.Add(1)
		s.log.Warn("undeliverable room message skipped, later ones were delivered", slog.String("room", r.name.String()),
			slog.String("member", m.User.String()), slog.Int64("seq", first.seq))
		first.settled = true
	}
	if first.settled {
		m.advanceCursor(first.seq)
	}
}

// settledCount returns the number of settled entries behind the cursor.
func (m *member) settledCount() int {
	n := 0
	for _, f := range m.inFlight {
		if f.settled {
			n++
		}
	}
	return n
}
