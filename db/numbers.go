package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// Kamailio's scripts number rows with 32 bits. At 1,000 messages a second such numbers are
// used up in 25 days, and then the table takes no more rows. So silod warns early.

// nearEnd is the percentage of used numbers from which on silod warns.
const nearEnd = 80

// numbersInterval is the time between two looks at the numbers. New messages have silod look
// earlier, see numberWatch.passed.
const numbersInterval = 10 * time.Minute

// A numbering is the state of the numbers that a table gives its rows.
type numbering struct {
	table  string
	last   int64  // the number that was given last
	limit  int64  // the highest number that can be given
	most   int64  // the highest number of a row
	repair string // the command that raises the limit; "" where there is none
	reset  string // the command that raises last to most
}

// used returns the percentage of the numbers that are used.
func (n *numbering) used() int {
	if n.limit <= 0 {
		return 0
	}
	return int(min(100*(float64(n.last)/float64(n.limit)), 100))
}

// problem returns the problem with the numbers and its solution, "" where there is none.
func (n *numbering) problem() string {
	switch used := n.used(); {
	case n.last >= n.limit && n.limit > 0:
		return fmt.Sprintf("the numbers of the rows of table %s are used up (%d), it takes no more rows: %s", n.table, n.limit, n.repair)
	case used >= nearEnd:
		return fmt.Sprintf("%d %% of the numbers for rows of table %s are used (%d of %d), at the end it takes no more rows: %s",
			used, n.table, n.last, n.limit, n.repair)
	case n.reset != "" && n.most > n.last:
		return fmt.Sprintf("table %s has rows with numbers up to %d, but gives new ones the numbers from %d on, so that they are refused: %s",
			n.table, n.most, n.last+1, n.reset)
	}
	return ""
}

// numbered returns the tables that number their rows, with the columns.
func (l *layout) numbered() [][2]string {
	return [][2]string{
		{l.messages.table, l.messages.id},
		{l.bindings.table.name, "id"},
		{l.rooms.rooms.name, "id"},
		{l.rooms.members.name, "id"},
		{"subscriber", "id"},
		{"location_attrs", "id"},
		{"version", "id"},
		{logTable.name, logTable.serial},
	}
}

// numbers returns the state of the numbers of the tables that it can read. It leaves out tables
// that do not number their rows.
func (l *layout) numbers(ctx context.Context, q querier) (all []numbering, err error) {
	for _, t := range l.numbered() {
		n, nerr := l.dialect.numbering(ctx, q, t[0], t[1])
		switch {
		case nerr != nil:
			err = errors.Join(err, fmt.Errorf("inspect the numbers of table %s: %w", t[0], nerr))
		case n != nil:
			n.table = t[0]
			all = append(all, *n)
		}
	}
	return all, err
}

// numbers reports numbers that near their end.
func (c *check) numbers(ctx context.Context) error {
	all, _ := c.db.layout.numbers(ctx, c.pool) // a table that cannot be read has a finding already
	for i := range all {
		n := &all[i]
		if text := n.problem(); text != "" {
			c.problem(n.table, text)
		}
		if n.table == c.db.layout.messages.table && n.last > math.MaxInt32 {
			c.note(n.table, fmt.Sprintf("numbers up to %d: not for Kamailio, which keeps them in 32 bits", n.last))
		}
	}
	return nil
}

// A numberWatch warns in the log when numbers near their end.
type numberWatch struct {
	alarm atomic.Int64  // a message with a number from here on has look called; 0: none
	most  atomic.Int64  // the highest percentage of used numbers
	wake  chan struct{} // has look called now

	said map[string]string // the last problem by table, without its numbers; for look only
}

func newNumberWatch() *numberWatch {
	return &numberWatch{wake: make(chan struct{}, 1), said: map[string]string{}}
}

// passed is called with the numbers of new messages.
func (w *numberWatch) passed(ids []int64) {
	if at := w.alarm.Load(); at > 0 && len(ids) > 0 && ids[len(ids)-1] >= at {
		w.lookNow()
	}
}

// lookNow has look called soon.
func (w *numberWatch) lookNow() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// look inspects the numbers. It warns about a table once for each percent.
func (w *numberWatch) look(ctx context.Context, l *layout, q querier, log *slog.Logger) {
	all, err := l.numbers(ctx, q)
	if err != nil && ctx.Err() == nil {
		log.Warn("numbers of rows not inspected", "error", oneLine(err))
	}
	most := 0
	for i := range all {
		most = max(most, all[i].used())
	}
	w.most.Store(int64(most))
	for i := range all {
		n := &all[i]
		state := fmt.Sprint(n.used(), n.last >= n.limit)
		if text := n.problem(); text != "" && w.said[n.table] != state {
			log.Warn("numbers of rows near their end", "table", n.table, "used_percent", n.used(), "problem", text)
		}
		w.said[n.table] = state
		if n.table == l.messages.table && n.limit < math.MaxInt64 {
			w.alarm.Store(n.limit / 100 * int64(max(nearEnd, n.used()+1)))
		}
	}
}

// watchNumbers looks at the numbers until ctx ends. While the database is away, it waits.
func (db *DB) watchNumbers(ctx context.Context) {
	tick := time.NewTicker(numbersInterval)
	defer tick.Stop()
	w := db.layout.numbering
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.wake:
		}
		w.look(ctx, &db.layout, db.reader.pool, db.log)
		select { // the wake-ups of many messages count as one
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// NumbersUsed returns the percentage of used numbers of the table that is nearest to its end.
func (db *DB) NumbersUsed() int64 { return db.layout.numbering.most.Load() }

// highest returns the highest number of the rows of a table, 0 for an empty one.
func highest(ctx context.Context, q querier, table, column string) (int64, error) {
	n, err := scanInts(q.QueryContext(ctx, fmt.Sprintf("SELECT COALESCE(MAX(%s), 0) FROM %s", column, table)))
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// errNumbersEnd is the error of an insert into a table that has no number left.
var errNumbersEnd = errors.New("numbers of the rows are used up")
