package db

import (
	"crypto/rand"
	"fmt"
	"time"
)

// A batch is a set of writes that are committed together. It may take several attempts.
type batch struct {
	ops      []*op
	plan     plan
	key      [16]byte
	deadline time.Time // of the last attempt
	state    batchState
}

type batchState int

const (
	batchOpen      batchState = iota // not committed by any attempt so far
	batchUnknown                     // a commit got no answer
	batchCommitted                   // durable
	batchRefused                     // not committed, and not attempted again
)

func newBatch(ops []*op) *batch {
	b := &batch{ops: ops, deadline: ops[0].queuedAt.Add(retryTimeout)}
	_, _ = rand.Read(b.key[:])
	for _, o := range ops {
		o.join(&b.plan)
	}
	return b
}

// A mark is a condition under which a batch may be written. Every transaction of a batch
// begins with its marks.
type mark interface {
	// first writes the mark, as the first statement of the transaction. It reports
	// whether an earlier attempt has committed the batch.
	first(s *session, b *batch) (committed bool, err error)
	// confirm returns nil when a batch that first reported as committed is durable. The
	// transaction of first is still open.
	confirm(s *session, b *batch) error
}

// A batchKey makes the attempts at a batch one: it is a row with a unique key. Where an
// earlier attempt was committed and its answer was lost, the row exists already.
type batchKey struct {
	cleaned int64 // when old keys were last deleted, unix seconds
}

const insertKey = "INSERT INTO silod_batch (batch_key, at) VALUES ($1, $2)"

// first writes the key of a batch that must not be written twice. Other batches have
// none: to delete a message, or to save a binding or a cursor, twice does no harm, and
// the key would be the most expensive statement of a small batch.
func (k *batchKey) first(s *session, b *batch) (bool, error) {
	if !b.plan.mustRunOnce() {
		return false, nil
	}
	_, err := s.exec(insertKey, b.key[:], s.now)
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

// confirm commits another key. After that the earlier commit is as durable as the
// database promises. With a synchronous standby its answer may have been lost while it
// waited for the standby.
func (k *batchKey) confirm(s *session, _ *batch) error {
	other := make([]byte, 16)
	_, _ = rand.Read(other)
	_, err := s.raw("ROLLBACK")
	if err == nil {
		_, err = s.exec(insertKey, other, s.now)
	}
	if err != nil {
		return fmt.Errorf("confirm batch: %w", err)
	}
	return nil
}

// deleteOldKeys deletes, once a minute, the keys of batches that are not attempted any more.
func (k *batchKey) deleteOldKeys(s *session) error {
	if s.now < k.cleaned+60 {
		return nil
	}
	k.cleaned = s.now
	_, err := s.exec("DELETE FROM silod_batch WHERE at < $1", s.now-600)
	return err
}
