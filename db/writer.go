package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"silod/silo"
)

// maxPause is the longest pause between attempts at a batch.
const maxPause = 500 * time.Millisecond

// Failures of an attempt that no driver reports.
var (
	errStandby = errors.New("committed, but not on the standby")
	errLate    = errors.New("connecting took too long")
)

// A writer makes all changes to a database, in the transactions of one session, one after
// the other. Stores call do, send and step, DB.Close calls close. All other methods are
// called by the queue's goroutine only.
type writer struct {
	queue   queue
	layout  *layout
	pool    *sql.DB
	reader  *reader
	marks   []mark   // of every batch
	session *session // nil if none is open
	former  string   // name of the session before
	batch   *batch   // that is written or in doubt
	parts   [][]*op  // of a batch that was divided, not attempted yet
	redoLog redoLog
	health  health

	patience *patience // nil if a commit is always answered
	lookout  lookout
	hidden   atomic.Pointer[addedRows] // of a batch whose commit has no answer yet; nil: none
	inDoubt  atomic.Bool

	observe silo.Observer // nil: none
	log     *slog.Logger
	now     func() time.Time

	committed func(added []*messageRow, deleted []any) // called after each commit
}

// init prepares a zero writer. Without a pool it cannot write yet.
func (w *writer) init(l *layout, r *reader, log *slog.Logger, now func() time.Time) {
	w.layout, w.reader, w.log, w.now = l, r, log, now
	w.queue.init(w.write, now)
	w.lookout.layout, w.lookout.first = l, ioTimeout[forWriting]
	if w.patience = l.dialect.patience(); w.patience != nil {
		w.patience.more = w.wait
	}
	if l.traits.keyed {
		w.marks = []mark{&batchKey{}}
	}
}

// do queues a write and waits for its outcome, see queue.do.
func (w *writer) do(ctx context.Context, o *op) error { return w.queue.do(ctx, o) }

// send queues a write and returns, see queue.send.
func (w *writer) send(o *op, done func(error)) { w.queue.send(o, done) }

// step runs f in a transaction, together with the other waiting writes, and waits for the
// outcome as do does. f may run more than once: every attempt at the transaction runs it,
// and the attempts before the last one are rolled back.
func (w *writer) step(ctx context.Context, rows int, f func(*session) error) error {
	return w.do(ctx, newStep(rows, f))
}

// surely is step for a caller that must know the outcome: in doubt it waits until that is known,
// or ctx ends.
func (w *writer) surely(ctx context.Context, rows int, f func(*session) error) error {
	o := newStep(rows, f)
	o.doubt = make(chan struct{})
	return w.do(ctx, o)
}

// newStep returns the op of a step that changes so many rows.
func newStep(rows int, f func(*session) error) *op {
	return &op{
		join: func(p *plan) { p.steps = append(p.steps, f) },
		rows: max(rows, 1), bytes: 200,
	}
}

// close waits for the writes in the queue and closes the session.
func (w *writer) close() {
	w.queue.close()
	w.lookout.end()
	if w.session != nil {
		w.session.close()
		w.session = nil
	}
}

// write commits writes together and reports the outcome to their callers. When the
// database refuses one of them, write divides the batch until the others are committed.
func (w *writer) write(ops []*op) {
	halvings := maxHalvings
	for w.parts = [][]*op{ops}; len(w.parts) > 0; {
		b := newBatch(w.parts[0])
		w.parts = w.parts[1:]
		f, err := w.commit(b)
		if w.hidden.Load() != nil {
			w.hidden.Store(nil)
		}
		if b.told {
			for _, o := range b.ops {
				if o.doubt != nil {
					o.done(b.outcome())
				}
			}
			continue
		}
		if parts := b.divide(f, &halvings); parts != nil {
			w.parts = append(parts, w.parts...)
			continue
		}
		if others := b.outlive(w.now()); others != nil {
			w.parts = append([][]*op{others}, w.parts...)
		}
		w.health.set(w.log, b.plan.kinds(), f, err)
		for _, o := range b.ops {
			o.done(err)
		}
	}
}

// commit attempts a batch until it is committed, refused, or past its deadline. A batch of which
// the outcome is not known then is resolved first, and its callers are told before, see doubt.
// Errors are refusedRow, errNumbersUsed, errBusy and errUnknown; the fault is that of the last
// attempt.
func (w *writer) commit(b *batch) (fault, error) {
	pause := 20 * time.Millisecond
	for failed := 1; ; failed++ {
		f, err := w.attempt(b)
		switch {
		case b.told:
			w.resolve(b)
			return f, err
		case err == nil:
			return 0, nil
		case f == faultRow:
			b.state = batchRefused
			if len(b.ops) == 1 {
				w.log.Warn("row refused by the database", "error", err)
			}
			return f, &refusedRow{err}
		case f == faultNumbers:
			b.state = batchRefused
			w.layout.numbering.lookNow() // logs the solution
			w.health.set(w.log, b.plan.kinds(), f, err)
			return f, errNumbersUsed
		}
		if failed > 1 && f != faultLocked { // one broken connection is not logged
			w.health.set(w.log, b.plan.kinds(), f, err)
		}
		switch late := !w.now().Add(pause).Before(b.deadline); {
		case b.state != batchUnknown && (late || f.final(b)):
			b.state = batchRefused
			return f, fmt.Errorf("%w: %w", errBusy, err)
		case late && b.plan.mustRunOnce():
			w.beginDoubt(b, err)
			w.resolve(b)
			return f, err
		case late:
			return f, fmt.Errorf("%w: %w", errUnknown, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, maxPause)
	}
}

// attempt runs one transaction. If it returns an error, fault is the class of the error.
func (w *writer) attempt(b *batch) (fault, error) {
	w.batch = b
	left := max(b.deadline.Sub(w.now()), time.Second)
	w.patience.limitTo(left)
	s, err := w.connect(min(left, ioTimeout[forWriting]))
	if err != nil {
		return w.layout.dialect.fault(err), fmt.Errorf("connect to database: %w", err)
	}
	if w.now().After(b.deadline) {
		return faultRetry, errLate
	}
	if f, err := w.redo(s); err != nil || b.told {
		return f, err
	}
	s.begin(w.now().Unix())
	b.divisible = false
	if _, err := s.raw(w.layout.fragments.begin); err != nil {
		return w.rollBack(s, "begin transaction", err)
	}
	for _, m := range w.marks {
		committed, err := m.first(s, b)
		if err != nil {
			return w.notMarked(s, err)
		}
		if committed {
			return w.confirm(s, m, b)
		}
	}
	if err = b.plan.run(s); err != nil {
		b.divisible = true
		return w.rollBack(s, "write", err)
	}
	if err = w.layout.dialect.flush(s); err != nil {
		return w.rollBack(s, "write", err)
	}
	b.rows = s.inserted
	if err = s.commit(); err != nil {
		return w.notCommitted(s, b, err)
	}
	if !w.layout.dialect.durable() {
		b.state = batchUnknown
		w.hide(b)
		w.disconnect()
		return faultLost, errStandby
	}
	b.state, s.denied = batchCommitted, false
	if w.layout.traits.keyed {
		w.redoLog.add(redoEntry{w.now(), s.deleted, s.marks, s.requeued, b.plan.cursors, s.moved})
	}
	if !b.told {
		w.report(s)
		w.committed(b.plan.messages, s.deleted)
	}
	return 0, nil
}

// notCommitted ends an attempt at which the commit has failed. Unless the server has refused it,
// the outcome is unknown: PostgreSQL keeps a commit during which it ends the session.
func (w *writer) notCommitted(s *session, b *batch, err error) (fault, error) {
	f, err := w.rollBack(s, "commit", err)
	if w.layout.traits.keyed && f != faultRow && f != faultLocked {
		b.state = batchUnknown
		w.hide(b)
	} else {
		b.divisible = true
	}
	return f, err
}

// confirm ends an attempt at a batch that an earlier attempt has committed.
func (w *writer) confirm(s *session, m mark, b *batch) (fault, error) {
	if err := m.confirm(s, b); err != nil {
		w.disconnect()
		return faultLost, err
	}
	b.state = batchCommitted
	w.reportUnknown()
	return 0, nil
}

// rollBack ends a transaction that has failed. It closes the session unless the server has
// refused one statement: a server that asks for a retry, or refuses all, may not be the one
// that takes writes any more.
func (w *writer) rollBack(s *session, doing string, err error) (fault, error) {
	f := w.layout.dialect.fault(err)
	keep := f == faultRow || f == faultLocked || f == faultNumbers || f == faultDuplicate || f == faultDenied && !s.denied
	s.denied = s.denied || f == faultDenied
	if f == faultDuplicate { // the state of the table, not the value of a message
		f, err = faultOther, fmt.Errorf("%w: %w", errDuplicate, err)
	}
	if _, rerr := s.raw("ROLLBACK"); rerr != nil || w.layout.traits.keyed && !keep {
		w.disconnect()
	}
	return f, fmt.Errorf("%s: %w", doing, err)
}

// connect returns the session, and opens it first where none is open.
func (w *writer) connect(timeout time.Duration) (*session, error) {
	if w.session != nil {
		return w.session, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := w.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w.session = newSession(w.layout, conn)
	w.session.redoLog, w.session.patience = &w.redoLog, w.patience
	if !w.layout.traits.keyed {
		return w.session, nil
	}
	former := w.former
	if _, err = w.session.raw(w.layout.fragments.lockTimeout); err == nil {
		err = scan(conn.QueryRowContext(ctx, w.layout.fragments.session), &w.session.name)
		if errors.Is(err, sql.ErrNoRows) || err != nil && w.layout.dialect.fault(err) == faultDenied {
			err = nil // a proxy between hides the session; it is not looked for
		}
	}
	if err != nil {
		w.disconnect()
		w.former = former
		return nil, err
	}
	w.endFormer(w.session)
	return w.session, nil
}

// disconnect closes the session and the idle connections of the reader: they lead to the
// same server, which may not be the one that takes writes any more.
func (w *writer) disconnect() {
	if w.session == nil {
		return
	}
	w.former = w.session.name
	w.session.drop()
	w.session = nil
	if w.layout.traits.keyed {
		w.redoLog.due = true
		w.reader.closeIdle()
	}
}
