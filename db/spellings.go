package db

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
)

// A spellings has the names under which the table silo has messages of a user besides the one
// that silod writes. Such rows stay as they are: a Kamailio that uses the table, now or after
// a return to it, finds messages only under the names that it has written.
//
// All names are read when they are first needed. After that only new rows are read, at most
// every lookInterval: those that another program has added, because own ones have known names.
type spellings struct {
	layout *layout
	reader *reader
	now    func() time.Time

	turn   chan struct{} // has a value while one goroutine reads
	looked atomic.Int64  // unix milliseconds of the last look at new rows
	begun  atomic.Int64  // unix milliseconds of the first call of soon
	others atomic.Pointer[map[sip.AoR][]rowName]
	// domains has the domains of rows, and the AoR of a user A there. If that changes, all names
	// are read again. It belongs to the goroutine that has the turn.
	domains map[string]sip.AoR

	mu sync.Mutex
	// Rows with a number above floor may be unknown. That is the highest number of an earlier
	// look than the last one, which has found next: another program may commit a row after one
	// with a higher number.
	floor, next int64
	raised      int64 // unix milliseconds: when floor was last raised
	lowered     int64 // the lowest value that next has had since the last look began
	// Rows with a number from first to last are silod's own, without a gap. If floor reaches
	// the first of them it goes on to the last.
	first, last int64
}

const (
	lookInterval = 200 * time.Millisecond // between two looks at new rows
	commitTime   = time.Second            // for which another program's row may not be seen
	soonTime     = 100 * time.Millisecond // for which soon waits for the first names
)

// manyRows is the number of new rows above which it takes less time to read all names, from an
// index.
const manyRows = 50_000

// firstRows is the number of rows in a page when all names are read for the first time, which
// deliveries wait for.
const firstRows = 10_000

// maxRowDomains limits spellings.domains.
const maxRowDomains = 4096

// init prepares a zero spellings.
func (sp *spellings) init(l *layout, r *reader, now func() time.Time) {
	sp.layout, sp.reader, sp.now, sp.turn = l, r, now, make(chan struct{}, 1)
}

// of returns the names of a user: the one that silod writes, then the others. Its error is
// errBusy.
func (sp *spellings) of(ctx context.Context, owner sip.AoR) ([]rowName, error) {
	if err := sp.look(ctx); err != nil {
		return nil, err
	}
	own := []rowName{sp.layout.owner(owner)}
	if others := *sp.others.Load(); len(others) > 0 {
		own = append(own, others[owner]...)
	}
	return own, nil
}

// any reports whether there are other names of any user.
func (sp *spellings) any(ctx context.Context) (bool, error) {
	if err := sp.look(ctx); err != nil {
		return false, err
	}
	return len(*sp.others.Load()) > 0, nil
}

// has reports whether a user has other names.
func (sp *spellings) has(a sip.AoR) bool { return (*sp.others.Load())[a] != nil }

// look reads the names of new rows, unless that was done a moment ago. It waits for another
// goroutine that does so only as long as no names are known.
func (sp *spellings) look(ctx context.Context) error {
	now := sp.now().UnixMilli()
	if sp.others.Load() != nil {
		if sp.fresh(now) {
			return nil
		}
		select {
		case sp.turn <- struct{}{}:
			return sp.takeTurn(ctx, now)
		default:
			return nil
		}
	}
	done := make(chan error, 1)
	select {
	case sp.turn <- struct{}{}:
		// The end of one request must not end what all others wait for.
		go func() { done <- sp.takeTurn(context.WithoutCancel(ctx), now) }()
	case <-ctx.Done():
		return busy(ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return busy(ctx.Err())
	}
}

// soon is of for a caller that rather does without the other names than waits for long: at the
// start, as long as no names are known.
func (sp *spellings) soon(ctx context.Context, owner sip.AoR) ([]rowName, error) {
	if sp.others.Load() == nil {
		sp.begun.CompareAndSwap(0, sp.now().UnixMilli())
		left := max(0, soonTime-time.Duration(sp.now().UnixMilli()-sp.begun.Load())*time.Millisecond)
		short, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		if sp.look(short) != nil && ctx.Err() == nil {
			return []rowName{sp.layout.owner(owner)}, nil
		}
	}
	return sp.of(ctx, owner)
}

// fresh reports whether the last look was a moment ago. The clock may have been set back since.
func (sp *spellings) fresh(now int64) bool {
	ago := now - sp.looked.Load()
	return ago >= 0 && ago < lookInterval.Milliseconds()
}

// takeTurn reads the names of new rows, or of all. The caller has put a value into turn.
func (sp *spellings) takeTurn(ctx context.Context, now int64) error {
	defer func() { <-sp.turn }()
	if sp.others.Load() == nil || sp.renamed() {
		sp.reread()
	} else if sp.fresh(now) {
		return nil
	}
	if err := sp.read(ctx, now); err != nil {
		return fmt.Errorf("read owners of messages: %w", busy(err))
	}
	sp.looked.Store(now)
	return nil
}

// reread has the next look read all names, so that those that are no longer used are dropped.
func (sp *spellings) reread() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.floor, sp.next = math.MinInt64, math.MinInt64
}

// renamed reports whether the domains of rows have got another meaning.
func (sp *spellings) renamed() bool {
	for d, a := range sp.domains {
		if sp.layout.aor(rowName{"A", d}) != a {
			return true
		}
	}
	return false
}

// read reads the names of rows above floor.
func (sp *spellings) read(ctx context.Context, now int64) error {
	sp.mu.Lock()
	floor, next := sp.floor, sp.next
	if ago := now - sp.raised; ago >= 0 && ago < commitTime.Milliseconds() {
		next = floor
	} else {
		sp.raised = now
	}
	sp.lowered = math.MaxInt64
	last := sp.last
	sp.mu.Unlock()
	highest, err := sp.highest(ctx)
	if err != nil {
		return err
	}
	all := floor == math.MinInt64 || highest-floor > manyRows
	notes := sp.newNotes(all)
	if all {
		next = highest - batchRows
		err = (&ownerPages{rows: firstRows}).each(ctx, sp.reader, notes.add)
	} else {
		err = sp.after(ctx, floor, notes.add)
	}
	if err != nil {
		return err
	}
	notes.store()
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if highest < last { // the last rows have been deleted, and their numbers may be given again
		sp.first, sp.last = 0, 0
	}
	sp.floor, sp.next = min(next, highest, sp.lowered), min(highest, sp.lowered)
	sp.extend()
	return nil
}

// highest returns the last ID of a message, 0 if there is none.
func (sp *spellings) highest(ctx context.Context) (int64, error) {
	n, err := sp.reader.ints(ctx, `SELECT COALESCE(MAX({id}), $1) FROM {silo}`, 0)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// refresh reads all names, so that those that are no longer used are dropped. It is a long job,
// which looks at new rows do not wait for.
func (sp *spellings) refresh(ctx context.Context, t turn) error {
	highest, err := sp.highest(ctx)
	if err != nil || sp.others.Load() == nil {
		return err
	}
	notes := sp.newNotes(true)
	if err := (&ownerPages{turn: t, rows: waitingRows}).each(ctx, sp.reader, notes.add); err != nil {
		return err
	}
	select {
	case sp.turn <- struct{}{}:
	case <-ctx.Done():
		return busy(ctx.Err())
	}
	defer func() { <-sp.turn }()
	if err := sp.after(ctx, highest-batchRows, notes.add); err != nil { // those added meanwhile
		return err
	}
	notes.store()
	return nil
}

// nameNotes are names that have been read.
type nameNotes struct {
	spellings *spellings
	all       bool // all names, not only those of new rows
	known     map[sip.AoR][]rowName
	added     map[sip.AoR][]rowName
	domains   map[string]sip.AoR
}

// newNotes returns notes of all names, or, by the goroutine that has the turn, of those of new rows.
func (sp *spellings) newNotes(all bool) *nameNotes {
	n := &nameNotes{spellings: sp, all: all, added: map[sip.AoR][]rowName{}, domains: map[string]sip.AoR{}}
	if !all {
		n.known, n.domains = *sp.others.Load(), sp.domains
	}
	return n
}

// add notes a name.
func (n *nameNotes) add(name rowName) {
	l := n.spellings.layout
	if _, known := n.domains[name.domain]; !known && len(n.domains) < maxRowDomains {
		n.domains[name.domain] = l.aor(rowName{"A", name.domain})
	}
	a := l.aor(name)
	if name != l.owner(a) && !slices.Contains(n.known[a], name) && !slices.Contains(n.added[a], name) {
		n.added[a] = append(n.added[a], name)
	}
}

// store makes the names those that are known. The caller has the turn.
func (n *nameNotes) store() {
	n.spellings.domains = n.domains
	if !n.all && len(n.added) == 0 {
		return
	}
	for a, known := range n.known {
		n.added[a] = append(slices.Clip(known), n.added[a]...)
	}
	n.spellings.others.Store(&n.added)
}

// extend raises floor and next to the last own row if no other row is before it.
func (sp *spellings) extend() {
	for _, n := range []*int64{&sp.floor, &sp.next} {
		if *n >= sp.first-1 && *n < sp.last {
			*n = sp.last
		}
	}
}

// after calls f for the owners of the rows with a number above floor. It reads pages, because
// PostgreSQL may otherwise read the whole table.
func (sp *spellings) after(ctx context.Context, floor int64, f func(rowName)) error {
	for {
		n, err := sp.page(ctx, &floor, f)
		if err != nil || n < pageRows {
			return err
		}
	}
}

// page reads a page and sets floor to its last number.
func (sp *spellings) page(ctx context.Context, floor *int64, f func(rowName)) (n int, err error) {
	rows, err := sp.reader.query(ctx, `SELECT s.{id}, s.{user}, s.{host} FROM {silo} s
		WHERE s.{id} > $1 ORDER BY s.{id} LIMIT $2`, *floor, pageRows)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var owner rowName
		if err := scan(rows, floor, &owner.user, &owner.domain); err != nil {
			return n, err
		}
		f(owner)
		n++
	}
	return n, rows.Err()
}

// committed is called after each transaction of silod, with the messages that it has added and
// the numbers of those that it has deleted. Numbers that follow those of known rows are known.
func (sp *spellings) committed(added []*messageRow, deleted []any) {
	reuses := sp.layout.dialect.reuses()
	if len(added) == 0 && (!reuses || len(deleted) == 0) {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, r := range added {
		if r.m.ID != sp.last+1 || sp.last == 0 {
			sp.first = r.m.ID
		}
		sp.last = r.m.ID
	}
	sp.extend()
	// Another program gives the number of the last row again when that row has been deleted.
	for reuses && slices.Contains(deleted, any(sp.next)) {
		sp.next--
		sp.floor, sp.lowered = min(sp.floor, sp.next), min(sp.lowered, sp.next)
	}
	for reuses && sp.last > 0 && slices.Contains(deleted, any(sp.last)) {
		if sp.last--; sp.last < sp.first {
			sp.first, sp.last = 0, 0
		}
	}
}
