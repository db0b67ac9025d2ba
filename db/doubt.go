package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A writer is in doubt while it does not know whether the server has made a commit: the answer
// is late, or was lost with the connection. It then writes nothing new, because each further
// commit may end in the same way:
//
//   - It waits for the answer as long as the connection lasts, see patience. A server that waits for
//     a synchronous standby, or for the end of a global lock, answers at the end. Meanwhile a
//     lookout finds out whether the server has lost the session.
//   - When the connection is lost it asks, over one connection, whether the key of the batch is
//     there, see batchKey.first. A session that still waits for its commit holds the key locked.
//   - At the deadline of the batch its callers and those of all waiting writes get an error, and
//     later callers get it at once. So the batch must not take effect any more: if the server
//     turns out to have committed it, the writer undoes it. A sender that was answered 503 may
//     try again without a second copy, and rooms are as they are in memory. Reads leave out the
//     rows of the batch from the first moment of the wait.
//
// Writes that may be made twice are not undone: deletions, cursors, bindings, and steps without
// an undo of their own. Callers that no sender waits for, and that must know the outcome, get it at
// the end of the doubt, see op.doubt.

// errNoAnswer is the error of a commit that has no answer at the deadline of its batch.
var errNoAnswer = errors.New("the server does not answer a commit")

// wait is patience.more of the writer: it runs while a commit of the batch has no answer.
func (w *writer) wait() bool {
	b, now := w.batch, w.now()
	if w.patience.ticks == 1 {
		w.hide(b)
		w.lookout.begin(now)
	}
	if !b.told && w.patience.ticks >= slowTicks && !now.Before(b.deadline) {
		w.beginDoubt(b, errNoAnswer)
	}
	if b.told && w.queue.isClosed() {
		return false
	}
	return !w.lookout.hasLost(w.session.name, now)
}

// beginDoubt gives the callers of a batch, and of all other writes, an error.
func (w *writer) beginDoubt(b *batch, cause error) {
	b.told, b.toldAt = true, w.now()
	w.hide(b)
	w.inDoubt.Store(true)
	w.patience.limitTo(0)
	w.log.Error("outcome of a write not known, nothing is written until it is",
		"writes", len(b.ops), "error", fmt.Errorf("%w: %s", cause, w.layout.fragments.unanswered))
	refusal := fmt.Errorf("%w: the outcome of an earlier write is not known", errBusy)
	w.queue.refuse(refusal)
	for _, o := range slices.Concat(w.parts...) {
		o.done(refusal)
	}
	w.parts = nil
	for _, o := range b.ops {
		if o.doubt != nil {
			close(o.doubt)
			continue
		}
		o.done(fmt.Errorf("%w: %w", errUnknown, cause))
	}
}

// outcome returns the error for the callers that have waited for the end of a doubt. Their writes
// are not undone.
func (b *batch) outcome() error {
	switch {
	case b.stored:
		return nil
	case b.state == batchRefused:
		return fmt.Errorf("%w: the write was in doubt, and not made", errBusy)
	}
	return errUnknown
}

// endDoubt accepts writes again.
func (w *writer) endDoubt() {
	w.inDoubt.Store(false)
	w.reportUnknown()
	w.queue.refuse(nil)
}

// refusedFor is how long a server may refuse the statements that resolve a doubt, for want of a
// right for example, before the writer gives that up.
const refusedFor = time.Minute

// resolve finds out the outcome of a batch in doubt, and undoes the batch where the server has
// committed it. It ends without a result when the writer is closed, or the server refuses it.
func (w *writer) resolve(b *batch) {
	warned, refused := w.now(), time.Time{}
	b.stored = b.state == batchCommitted
	for pause := 20 * time.Millisecond; b.needsSettling(); pause = min(2*pause, maxPause) {
		f, err := w.settle(b)
		b.stored = b.stored || b.state == batchCommitted
		if err == nil {
			continue
		}
		now := w.now()
		if now.Sub(warned) >= refusedFor {
			warned = now
			w.log.Warn("outcome of a write still not known", "error", err)
		}
		if f != faultRow && f != faultOther && f != faultDenied {
			refused = time.Time{}
		} else if refused.IsZero() {
			refused = now
		}
		given := !refused.IsZero() && now.Sub(refused) >= refusedFor
		if given || !w.queue.pause(pause) {
			w.log.Error("doubt ends without a result, the write may be stored although it was refused", "writes", len(b.ops), "error", err)
			if given {
				w.endDoubt()
			}
			return
		}
	}
	w.log.Info("outcome of the write known, writes are accepted again",
		"undone", b.stored && b.isUndoable(), "seconds", int(w.now().Sub(b.toldAt).Seconds()))
	w.endDoubt()
}

// needsSettling reports whether the outcome of a batch in doubt is not known yet and matters, or
// the batch is to be undone.
func (b *batch) needsSettling() bool {
	return b.state == batchUnknown && b.plan.mustRunOnce() || b.state == batchCommitted && b.isUndoable()
}

// settle makes one attempt to bring a batch in doubt to its end: it asks for the outcome, or
// undoes the batch.
func (w *writer) settle(b *batch) (fault, error) {
	w.batch = b
	s, err := w.connect(ioTimeout[forWriting])
	if err != nil {
		return faultRetry, fmt.Errorf("connect to database: %w", err)
	}
	if f, err := w.redo(s); err != nil {
		return f, err
	}
	s.begin(w.now().Unix())
	if b.state == batchUnknown {
		return w.ask(s, b)
	}
	if f, err := w.inTransaction(s, func() error { return b.takeBack(s) }, s.commit); err != nil {
		return f, fmt.Errorf("undo: %w", err)
	}
	w.layout.dialect.durable() // a standby that has not got this yet gets it by redo
	b.state = batchRefused
	w.redoLog.add(redoEntry{at: w.now(), deleted: s.deleted})
	return 0, nil
}

// ask finds out whether an earlier attempt has committed a batch. Its transaction is rolled
// back: when the batch could be marked, no attempt was committed, and none can be any more.
func (w *writer) ask(s *session, b *batch) (fault, error) {
	if _, err := s.raw(w.layout.fragments.begin); err != nil {
		return w.rollBack(s, "begin transaction", err)
	}
	state := batchRefused
	for _, m := range w.marks {
		committed, err := m.first(s, b)
		if err != nil {
			b.state = batchUnknown
			return w.notMarked(s, err)
		}
		if committed {
			state = batchCommitted
			break
		}
	}
	b.state = state
	if _, err := s.raw("ROLLBACK"); err != nil {
		w.disconnect()
	}
	return 0, nil
}

// notMarked ends a transaction in which a batch could not be marked. If the key is locked, it may
// be by a former session of the writer that the server has not noticed to be gone.
func (w *writer) notMarked(s *session, err error) (fault, error) {
	f, err := w.rollBack(s, "mark batch", err)
	if f == faultLocked {
		w.endFormer(s)
	}
	return f, err
}

// endFormer ends the former session of the writer if the server still has it and it executes
// nothing: it may have locked rows.
func (w *writer) endFormer(s *session) {
	if w.former == "" {
		return
	}
	if err := w.layout.dialect.endIdle(s, w.former); err != nil {
		w.log.Debug("former session not ended", "error", err)
	}
}

// hide has reads leave out the rows of a batch.
func (w *writer) hide(b *batch) {
	rows := b.rows // another attempt changes those of the batch
	w.hidden.Store(&rows)
}

// hidesMessage and hidesEntry report whether a message, or an entry of a room's log, must not be read, because it
// belongs to a batch of which the outcome is not known.
func (w *writer) hidesMessage(id int64) bool {
	h := w.hidden.Load()
	return h != nil && slices.Contains(h.messages, id)
}

func (w *writer) hidesEntry(seq int64) bool {
	h := w.hidden.Load()
	return h != nil && slices.Contains(h.entries, seq)
}

// InDoubt reports whether the database does not answer a commit. Until it does, all writes are
// refused.
func (db *DB) InDoubt() bool { return db.writer.inDoubt.Load() }

// Times of a lookout.
const (
	maxLookoutPause = 30 * time.Second
	lookoutTimeout  = 10 * time.Second
)

// A lookout finds out whether to wait longer for the answer to a commit: not if the server that
// is reached by a new connection does not know the session. Then that server is another one than
// the one that the session has led to, which has failed without closing the connection.
type lookout struct {
	layout *layout
	first  time.Duration      // after the beginning of the wait
	cancel context.CancelFunc // nil while no look is under way
	result chan bool
	due    time.Time
	pause  time.Duration
}

// begin prepares for a commit that is sent now.
func (l *lookout) begin(now time.Time) {
	l.end()
	l.pause = l.first
	l.due = now.Add(l.pause)
}

// end ends a look that is under way.
func (l *lookout) end() {
	if l.cancel != nil {
		l.cancel()
		l.cancel = nil
	}
}

// hasLost reports whether the server was found not to know the session. It does not wait: a look
// runs in the background.
func (l *lookout) hasLost(session string, now time.Time) bool {
	if l.cancel != nil {
		select {
		case lost := <-l.result:
			l.end()
			l.pause = min(2*l.pause, maxLookoutPause)
			l.due = now.Add(l.pause)
			return lost
		default:
			return false
		}
	}
	if session == "" || now.Before(l.due) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookoutTimeout)
	l.cancel, l.result = cancel, make(chan bool, 1)
	go func(result chan<- bool) { result <- l.layout.hasLost(ctx, session) }(l.result)
	return false
}

// hasLost reports whether a server that answers does not execute a statement in the session.
func (l *layout) hasLost(ctx context.Context, session string) bool {
	pool, err := l.dialect.connect(ctx, forReading)
	if err != nil {
		return false
	}
	defer pool.Close()
	q := l.bind(l.fragments.busy)
	busy, err := scanInts(pool.QueryContext(ctx, q.text, q.args([]any{session})...))
	return err == nil && len(busy) == 0
}
