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
// once a second: those that another program has added, because own ones have known names.
type spellings struct {
	layout *layout
	reader *reader
	now    func() time.Time

	turn   chan struct{} // has a value while one goroutine reads
	looked atomic.Int64  // unix seconds of the last look at new rows
	others atomic.Pointer[map[sip.AoR][]rowName]
	// domains has the domains of rows, and the AoR of a user A there. If that changes, all names
	// are read again. It belongs to the goroutine that has the turn.
	domains map[string]sip.AoR

	mu sync.Mutex
	// Rows with a number above floor may be unknown. That is the highest number of the look
	// before the last one, not of the last one: another program may commit a row after one
	// with a higher number.
	floor, next int64
	lowered     int64 // the lowest value that next has had since the last look began
}

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

// look reads the names of new rows, unless that was done in this second. It waits for another
// goroutine that does so only as long as no names are known.
func (sp *spellings) look(ctx context.Context) error {
	now := sp.now().Unix()
	for {
		known := sp.others.Load() != nil
		if known && sp.looked.Load() == now {
			return nil
		}
		select {
		case sp.turn <- struct{}{}:
			return sp.takeTurn(ctx, now)
		default:
		}
		if known {
			return nil
		}
		select {
		case sp.turn <- struct{}{}:
			return sp.takeTurn(ctx, now)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errBusy, ctx.Err())
		}
	}
}

// takeTurn reads the names of new rows, or of all. The caller has put a value into turn.
func (sp *spellings) takeTurn(ctx context.Context, now int64) error {
	defer func() { <-sp.turn }()
	if sp.others.Load() == nil || sp.renamed() {
		sp.reread()
	} else if sp.looked.Load() == now {
		return nil
	}
	if err := sp.read(ctx); err != nil {
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
func (sp *spellings) read(ctx context.Context) error {
	sp.mu.Lock()
	floor, next := sp.floor, sp.next
	sp.lowered = math.MaxInt64
	sp.mu.Unlock()
	highest, err := sp.reader.ints(ctx, `SELECT COALESCE(MAX({id}), $1) FROM {silo}`, 0)
	if err != nil {
		return err
	}
	text, args := `SELECT {distinct} FROM {silo} s WHERE s.{id} > $1`, []any{floor}
	names := map[sip.AoR][]rowName{}
	all := floor == math.MinInt64
	if all {
		text, args = `SELECT {distinct} FROM {silo} s`, nil
		next = highest[0] - batchRows
		sp.domains = map[string]sip.AoR{}
	} else {
		names = *sp.others.Load()
	}
	fresh := map[sip.AoR][]rowName{}
	err = eachOwner(ctx, sp.reader, func(n rowName) {
		if _, known := sp.domains[n.domain]; !known && len(sp.domains) < maxRowDomains {
			sp.domains[n.domain] = sp.layout.aor(rowName{"A", n.domain})
		}
		a := sp.layout.aor(n)
		if n != sp.layout.owner(a) && !slices.Contains(names[a], n) {
			fresh[a] = append(fresh[a], n)
		}
	}, text, args...)
	if err != nil {
		return err
	}
	if all || len(fresh) > 0 {
		for a, known := range names {
			fresh[a] = append(slices.Clip(known), fresh[a]...)
		}
		sp.others.Store(&fresh)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.floor, sp.next = min(next, highest[0], sp.lowered), min(highest[0], sp.lowered)
	return nil
}

// committed is called after each transaction of silod, with the messages that it has added and
// the numbers of those that it has deleted. Numbers that follow those of known rows are known.
func (sp *spellings) committed(added []*messageRow, deleted []any) {
	reuses := sp.layout.dialect.reuses()
	if len(added) == 0 && !(reuses && len(deleted) > 0) {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, r := range added {
		if r.m.ID != sp.next+1 {
			break
		}
		if sp.floor == sp.next {
			sp.floor++
		}
		sp.next++
	}
	// Another program gives the number of the last row again when that row has been deleted.
	for reuses && slices.Contains(deleted, any(sp.next)) {
		sp.next--
		sp.floor, sp.lowered = min(sp.floor, sp.next), min(sp.lowered, sp.next)
	}
}
