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
// connection, which may lead to such a server. To repeat them does no harm: each concerns
// only the message that it was about.
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
	at       time.Time
	deleted  []any   // IDs of messages
	marks    [][]any // rows of deviceTable
	requeued []any   // IDs of messages whose refusals were deleted, before the marks
	cursors  []imc.Cursor
	moved    []move
}

// A move is the replacement of messages by one, which may be lost while they are back. They
// are deleted again only when that one has been deleted, too.
type move struct {
	from []any
	to   int64
}

func (e *redoEntry) rows() int {
	return len(e.deleted) + len(e.marks) + len(e.requeued) + len(e.cursors)
}

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
	rollBack := func() error { _, err := s.raw("ROLLBACK"); return err }
	f, err := w.inTransaction(s, func() error {
		for _, n := range l.numbers {
			if err := w.layout.dialect.skipNumbers(s, n.table, n.last); err != nil {
				return fmt.Errorf("number rows of table %s above %d: %w", n.table.name, n.last, err)
			}
		}
		return nil
	}, rollBack)
	if err == nil && len(l.entries) > 0 {
		f, err = w.inTransaction(s, func() error { return l.run(s) }, s.commit)
	}
	switch {
	case err == nil:
		l.due = false
		w.reportUnknown() // a new server may have lost messages
	case w.session != nil: // only this was refused
		l.tryAt = w.now().Add(redoFor / 6)
		w.log.Warn("last deletions not repeated on the new connection", "error", err)
		err = nil
	}
	return f, err
}

// run repeats the entries, the marks before the deletions of their messages.
func (l *redoLog) run(s *session) error {
	if err := l.remark(s); err != nil {
		return err
	}
	var deleted []any
	var cursors []imc.Cursor
	at := map[any]int64{} // times of the deletions
	for _, e := range l.entries {
		deleted, cursors = append(deleted, e.deleted...), append(cursors, e.cursors...)
		for _, id := range e.deleted {
			at[id] = e.at.Unix()
		}
	}
	for ids := range slices.Chunk(deleted, batchRows) {
		stored, err := storedAt(s, ids)
		if err != nil {
			return err
		}
		// Another program may have given the number of a lost row to a later one.
		ids = slices.DeleteFunc(ids, func(id any) bool {
			t, found := stored[id]
			return !found || t > at[id]
		})
		if err := deleteMessages(s, ids, true); err != nil {
			return err
		}
	}
	return saveCursors(s, cursors)
}

// remark repeats the marks of messages that are still stored, the last one of each device.
func (l *redoLog) remark(s *session) error {
	type key struct{ id, device any }
	var marks [][]any
	seen, requeued := map[key]bool{}, map[any]bool{}
	for _, e := range slices.Backward(l.entries) {
		for _, row := range slices.Backward(e.marks) {
			k := key{row[0], row[1]}
			if refused := row[3] != ""; !seen[k] && (!refused || !requeued[k.id]) {
				marks = append(marks, row)
			}
			seen[k] = true
		}
		for _, id := range e.requeued {
			requeued[id] = true
		}
	}
	for rows := range slices.Chunk(marks, batchRows) {
		ids := make([]any, len(rows))
		for i, row := range rows {
			ids[i] = row[0]
		}
		stored, err := storedAt(s, ids)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(row []any) bool {
			t, found := stored[row[0]]
			return !found || t != row[2]
		})
		if len(rows) == 0 {
			continue
		}
		if err := s.upsert(&deviceTable, rows); err != nil {
			return err
		}
	}
	return nil
}

// storedAt returns the times of storing of those messages that are stored, by ID.
func storedAt(s *session, ids []any) (map[any]int64, error) {
	cond, args := s.layout.dialect.list("{id}", 1, ids)
	rows, err := s.query("SELECT {id}, {inc} FROM {silo} WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := map[any]int64{}
	for rows.Next() {
		var id, inc int64
		if err := scan(rows, &id, &inc); err != nil {
			return nil, err
		}
		stored[id] = inc
	}
	return stored, rows.Err()
}

// inTransaction runs f in a transaction that end commits or rolls back.
func (w *writer) inTransaction(s *session, f, end func() error) (fault, error) {
	_, err := s.raw(w.layout.fragments.begin)
	if err == nil {
		err = f()
	}
	if err == nil {
		err = end()
	}
	if err != nil {
		return w.rollBack(s, "write", err)
	}
	return 0, nil
}
