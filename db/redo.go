package db

import (
	"fmt"
	"slices"
	"time"

	"silod/imc"
)

// Limits of a redoLog.
const (
	redoFor  = time.Minute
	redoRows = 16_384
)

// A redoLog remembers the deletions, marks of devices and cursors of the last transactions.
// A standby that follows its primary with a delay has not received them all when it is
// promoted: rows that were deleted are back. So the writer repeats them on every new
// connection, which may lead to such a server. To repeat them does no harm.
//
// It also remembers the highest numbers of rows. A new server may have lost rows and would
// give their numbers to other rows, which a repeated deletion would hit.
type redoLog struct {
	entries []redoEntry // oldest first
	rows    int
	numbers map[string]number // by table
	moved   map[any][]any     // IDs from which messages were moved, by their ID
	due     bool              // the connection is new
	tryAt   time.Time         // not before
}

type redoEntry struct {
	at      time.Time
	deleted []any   // IDs of messages
	marks   [][]any // rows of deviceTable
	cursors []imc.Cursor
	moved   []move
}

// A move is the replacement of messages by one, which may be lost while they are back. They
// are deleted again only when that one has been deleted, too.
type move struct {
	from []any
	to   int64
}

func (e *redoEntry) rows() int { return len(e.deleted) + len(e.marks) + len(e.cursors) }

// A number is the highest number of a row of a table.
type number struct {
	table *table
	last  int64
}

// add remembers a transaction that was committed.
func (l *redoLog) add(e redoEntry) {
	l.follow(&e)
	if e.rows() == 0 {
		return
	}
	l.entries = append(l.entries, e)
	l.rows += e.rows()
	l.prune(e.at)
}

// follow adds the messages from which the deleted ones were moved to the deletions.
func (l *redoLog) follow(e *redoEntry) {
	if len(l.moved) > 0 {
		for _, id := range slices.Clip(e.deleted) {
			if from, ok := l.moved[id]; ok {
				e.deleted = append(e.deleted, from...)
				delete(l.moved, id)
			}
		}
	}
	if len(l.moved) >= redoRows || l.moved == nil && len(e.moved) > 0 {
		l.moved = map[any][]any{}
	}
	for _, m := range e.moved {
		l.moved[m.to] = m.from
	}
}

// prune forgets the entries beyond the limits.
func (l *redoLog) prune(now time.Time) {
	for len(l.entries) > 0 && (l.rows > redoRows || now.Sub(l.entries[0].at) > redoFor) {
		l.rows -= l.entries[0].rows()
		l.entries = l.entries[1:]
	}
}

// numbered remembers the numbers of inserted rows.
func (l *redoLog) numbered(t *table, ids []int64) {
	if len(ids) == 0 {
		return
	}
	n := l.numbers[t.name]
	n.table, n.last = t, max(n.last, slices.Max(ids))
	if l.numbers == nil {
		l.numbers = map[string]number{}
	}
	l.numbers[t.name] = n
}

// redo brings a new connection's server up to date, see redoLog. If the server refuses
// that, it is tried again after a while.
func (w *writer) redo(s *session) (fault, error) {
	l := &w.redoLog
	if !l.due || w.now().Before(l.tryAt) {
		return 0, nil
	}
	l.prune(w.now())
	f, err := w.inTransaction(s, "ROLLBACK", func() error {
		for _, n := range l.numbers {
			if err := w.layout.dialect.skipNumbers(s, n.table, n.last); err != nil {
				return fmt.Errorf("number rows of table %s above %d: %w", n.table.name, n.last, err)
			}
		}
		return nil
	})
	if err == nil && len(l.entries) > 0 {
		f, err = w.inTransaction(s, "COMMIT", func() error { return l.run(s) })
	}
	switch {
	case err == nil:
		l.due = false
	case w.session != nil: // only this was refused
		l.tryAt = w.now().Add(redoFor / 6)
		w.log.Warn("last deletions not repeated on the new connection", "error", err)
		err = nil
	}
	return f, err
}

// run repeats the entries, the marks before the deletions of their messages.
func (l *redoLog) run(s *session) error {
	var deleted []any
	var cursors []imc.Cursor
	for _, e := range l.entries {
		deleted, cursors = append(deleted, e.deleted...), append(cursors, e.cursors...)
		for _, row := range e.marks {
			if err := s.upsert(&deviceTable, [][]any{row}); err != nil {
				return err
			}
		}
	}
	last := l.entries[len(l.entries)-1].at
	for len(deleted) > 0 {
		n := min(len(deleted), batchRows)
		back, err := storedBefore(s, deleted[:n], last)
		if err != nil {
			return err
		}
		if _, err := deleteMessages(s, back, true); err != nil {
			return err
		}
		deleted = deleted[n:]
	}
	return saveCursors(s, cursors)
}

// storedBefore returns the IDs of the messages that were stored at a time or before. Another
// program may have given the number of a lost row to a later one.
func storedBefore(s *session, ids []any, at time.Time) ([]any, error) {
	cond, args := s.layout.dialect.list("{id}", 1, ids)
	found, err := s.ints(fmt.Sprintf("SELECT {id} FROM {silo} WHERE %s AND {inc} <= $%d", cond, len(args)+1), append(args, at.Unix())...)
	return anys(found), err
}

// inTransaction runs f in a transaction that ends with a statement, COMMIT or ROLLBACK.
func (w *writer) inTransaction(s *session, end string, f func() error) (fault, error) {
	_, err := s.raw(w.layout.fragments.begin)
	if err == nil {
		err = f()
	}
	if err == nil {
		_, err = s.raw(end)
	}
	if err != nil {
		return w.rollBack(s, "write", err)
	}
	return 0, nil
}
