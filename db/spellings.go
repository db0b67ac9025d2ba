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
)

// manyRows is the number of new rows above which it takes less time to read all names, from an
// index.
const manyRows = 50_000

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
	select {
	case sp.turn <- struct{}{}:
		return sp.takeTurn(ctx, now)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
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
	highest, err := sp.reader.ints(ctx, `SELECT COALESCE(MAX({id}), $1) FROM {silo}`, 0)
	if err != nil {
		return err
	}
	all := floor == math.MinInt64 || highest[0]-floor > manyRows
	names := map[sip.AoR][]rowName{}
	if all {
		next = highest[0] - batchRows
		sp.domains = map[string]sip.AoR{}
	} else {
		names = *sp.others.Load()
	}
	added := map[sip.AoR][]rowName{}
	note := func(n rowName) {
		if _, known := sp.domains[n.domain]; !known && len(sp.domains) < maxRowDomains {
			sp.domains[n.domain] = sp.layout.aor(rowName{"A", n.domain})
		}
		a := sp.layout.aor(n)
		if n != sp.layout.owner(a) && !slices.Contains(names[a], n) && !slices.Contains(added[a], n) {
			added[a] = append(added[a], n)
		}
	}
	if all {
		_, err = eachOwner(ctx, sp.reader, note, `SELECT {owners} FROM {silo} s`)
	} else {
		err = sp.after(ctx, floor, note)
	}
	if err != nil {
		return err
	}
	if all || len(added) > 0 {
		for a, known := range names {
			added[a] = append(slices.Clip(known), added[a]...)
		}
		sp.others.Store(&added)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if highest[0] < last { // the last rows have been deleted, and their numbers may be given again
		sp.first, sp.last = 0, 0
	}
	sp.floor, sp.next = min(next, highest[0], sp.lowered), min(highest[0], sp.lowered)
	sp.extend()
	return nil
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
