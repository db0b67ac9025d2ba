package db

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A batch is a set of writes that are committed together. It may take several attempts.
type batch struct {
	ops      []*op
	plan     plan
	key      [16]byte
	deadline time.Time // of the last attempt: the first deadline of the writes
	state    batchState
	rows     addedRows // by the last attempt
	undo     []func(*session) error
	told     bool // the callers got an error before the outcome was known, see doubt
	toldAt   time.Time
	stored   bool // the server had committed it when the doubt ended; it may be undone since then

	divisible bool // the last attempt failed at a statement of the plan
}

// A batchState is the outcome of the attempts so far.
type batchState int

const (
	batchOpen      batchState = iota // not committed by any attempt so far
	batchUnknown                     // a commit got no answer
	batchCommitted                   // durable
	batchRefused                     // not committed, or undone, and not attempted again
)

// newBatch returns a batch that has not been attempted.
func newBatch(ops []*op) *batch {
	b := &batch{ops: ops, deadline: ops[0].deadline}
	_, _ = rand.Read(b.key[:])
	for _, o := range ops {
		o.join(&b.plan)
		if o.undo != nil {
			b.undo = append(b.undo, o.undo)
		}
		if o.deadline.Before(b.deadline) {
			b.deadline = o.deadline
		}
	}
	return b
}

// outlive removes the writes that have time left from a batch that was refused at its deadline,
// and returns them.
func (b *batch) outlive(now time.Time) (others []*op) {
	now = now.Add(maxPause)
	if b.state != batchRefused || len(b.ops) < 2 || now.Before(b.deadline) {
		return nil
	}
	var late []*op
	for _, o := range b.ops {
		if now.Before(o.deadline) {
			others = append(others, o)
		} else {
			late = append(late, o)
		}
	}
	b.ops = late
	return others
}

// addedRows are the rows that a transaction has added and that are deleted where it must be
// undone: messages, and entries of rooms' logs. Those that a step adds are not among the messages:
// they replace others.
type addedRows struct{ messages, entries []int64 }

// isUndoable reports whether undoing the batch would change something.
func (b *batch) isUndoable() bool {
	return len(b.rows.messages)+len(b.rows.entries)+len(b.undo) > 0
}

// takeBack deletes the rows that the batch has added, and undoes its other writes.
func (b *batch) takeBack(s *session) error {
	if err := deleteMessages(s, anys(b.rows.messages), true); err != nil {
		return err
	}
	if err := s.deleteAll(logTable.name, logTable.serial, anys(b.rows.entries)); err != nil {
		return fmt.Errorf("delete room entries: %w", err)
	}
	for _, undo := range slices.Backward(b.undo) {
		if err := undo(s); err != nil {
			return err
		}
	}
	return nil
}

// maxHalvings limits how often a batch is halved to find the writes that the database
// refuses for another reason than their values. It is enough to find one.
const maxHalvings = 10

// divide returns the parts in which a batch that was refused is attempted again: one for
// each kind of work, or halves. It returns nil if the refusal concerns every write.
func (b *batch) divide(f fault, halvings *int) [][]*op {
	if len(b.ops) < 2 || !b.divisible && f != faultRow || b.state != batchRefused {
		return nil
	}
	switch f {
	case faultRow, faultOther, faultDenied, faultLocked, faultNumbers:
	default:
		return nil
	}
	if parts := b.byKind(); len(parts) > 1 {
		return parts
	}
	if f != faultRow {
		sameStatement := f != faultOther && b.plan.kinds() != kindSteps
		if sameStatement || *halvings == 0 {
			return nil
		}
		*halvings--
	}
	half := len(b.ops) / 2
	return [][]*op{b.ops[:half], b.ops[half:]}
}

// byKind returns the writes of each kind, in the order in which a plan runs the kinds.
func (b *batch) byKind() (parts [][]*op) {
	all := b.plan.kinds()
	if all&(all-1) == 0 {
		return nil
	}
	byKind := map[planKinds][]*op{}
	for _, o := range b.ops {
		var p plan
		o.join(&p)
		k := p.kinds()
		byKind[k] = append(byKind[k], o)
	}
	for _, k := range slices.Sorted(maps.Keys(byKind)) {
		parts = append(parts, byKind[k])
	}
	return parts
}

// final reports whether a batch is not attempted again after a fault. A write that waits for
// a row that another program has locked would keep all others waiting; its caller repeats it
// later. New messages wait only while the whole table is locked.
func (f fault) final(b *batch) bool {
	switch f {
	case faultOther, faultDenied:
		return true
	case faultLocked:
		return b.plan.kinds()&^(kindMessages|kindEntries) != 0
	}
	return false
}

// A mark is a row by which an attempt at a batch recognises that the batch must not be
// written, or not again. Every attempt begins its transaction with the marks.
type mark interface {
	// first writes the mark, as the first statement of the transaction. It reports
	// whether an earlier attempt has committed the batch.
	first(s *session, b *batch) (committed bool, err error)
	// confirm is called when first has reported true, with the transaction of first still
	// open. It returns nil if the earlier commit is durable.
	confirm(s *session, b *batch) error
}

// A batchKey keeps a batch from being written twice. Each batch has a random key, which is
// written to a table where it is unique. If an earlier attempt was committed and its answer
// was lost, the key is there already.
type batchKey struct {
	cleaned int64 // when old keys were last deleted, unix seconds
}

const insertKey = "INSERT INTO silod_batch (batch_key, at) VALUES ($1, $2)"

// first writes the key of a batch that must not be written twice. It does not write the
// keys of other batches: to delete a message, or to save a binding or a cursor, twice does
// no harm, and the key would be the most expensive statement of a small batch.
func (k *batchKey) first(s *session, b *batch) (bool, error) {
	if !b.plan.mustRunOnce() {
		return false, nil
	}
	err := s.exec(insertKey, b.key[:], s.now)
	if err != nil && s.layout.dialect.fault(err) == faultDuplicate {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("write batch key: %w", err)
	}
	b.state = batchOpen // no earlier attempt was committed, and none can be any more
	if err := k.deleteOldKeys(s); err != nil {
		return false, fmt.Errorf("delete old batch keys: %w", err)
	}
	return false, nil
}

// confirm commits another key. The earlier commit may have lost its answer while it waited
// for a synchronous standby, and may not be there yet. The standby receives commits in
// order, so when it has this one it has the earlier one too.
func (k *batchKey) confirm(s *session, _ *batch) error {
	other := make([]byte, 16)
	_, _ = rand.Read(other)
	_, err := s.raw("ROLLBACK")
	if err == nil {
		_, err = s.raw(s.layout.fragments.begin)
	}
	if err == nil {
		err = s.exec(insertKey, other, s.now)
	}
	if err == nil {
		err = s.commit()
	}
	if err != nil {
		return fmt.Errorf("confirm batch: %w", err)
	}
	return nil
}

// deleteOldKeys deletes, once a minute, keys that are ten minutes old: a batch is attempted
// for writeTimeout only, and while its outcome is in doubt no other key is written.
func (k *batchKey) deleteOldKeys(s *session) error {
	if s.now < k.cleaned+60 {
		return nil
	}
	k.cleaned = s.now
	return s.exec("DELETE FROM silod_batch WHERE at < $1", s.now-600)
}
