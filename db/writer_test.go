package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/silo"
)

// A slow queue has commits that wait to be released.
type slow struct {
	queue
	began   chan []*op
	release chan error
}

func newSlow() *slow {
	s := &slow{began: make(chan []*op, 100), release: make(chan error)}
	s.init(func(batch []*op) {
		s.began <- batch
		err := <-s.release
		for _, o := range batch {
			o.done(err)
		}
	}, time.Now)
	return s
}

// call queues a write in the background and returns its outcome.
func (s *slow) call(ctx context.Context, rows, bytes int) chan error {
	out := make(chan error, 1)
	go func() { out <- s.do(ctx, &op{rows: rows, bytes: bytes}) }()
	return out
}

func TestWriterBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		first := s.call(t.Context(), 1, 1)
		synctest.Wait()
		if n := len(<-s.began); n != 1 {
			t.Fatalf("the first batch has %d writes", n)
		}
		var rest []chan error
		for range 300 {
			rest = append(rest, s.call(t.Context(), 1, 1))
		}
		big := []chan error{s.call(t.Context(), 1, batchBytes), s.call(t.Context(), 1, batchBytes)}
		synctest.Wait()
		s.release <- nil
		if err := <-first; err != nil {
			t.Error(err)
		}
		total := 0
		for total < 302 {
			batch := <-s.began
			rows, bytes := 0, 0
			for _, o := range batch {
				rows += o.rows
				bytes += o.bytes
			}
			if rows > batchRows || bytes > batchBytes {
				t.Errorf("a batch of %d rows and %d bytes", rows, bytes)
			}
			total += rows
			s.release <- nil
		}
		for _, c := range append(rest, big...) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if s.running || s.rows != 0 || s.bytes != 0 {
			t.Errorf("the queue is empty, but running=%v rows=%d bytes=%d", s.running, s.rows, s.bytes)
		}
	})
}

// TestWriterDrops: a write of a caller that has left is dropped only while it is queued.
func TestWriterDrops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		ctx, cancel := context.WithCancel(t.Context())
		taken := s.call(ctx, 1, 1)
		synctest.Wait()
		<-s.began
		waiting, patient := s.call(ctx, 1, 1), s.call(t.Context(), 1, 1)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if err := <-waiting; !errors.Is(err, silo.ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("the waiting write: %v", err)
		}
		select {
		case err := <-taken:
			t.Errorf("a write in a transaction has returned before its outcome: %v", err)
		default:
		}
		s.release <- nil
		if err := <-taken; err != nil {
			t.Errorf("the write in a transaction: %v", err)
		}
		if n := len(<-s.began); n != 1 {
			t.Errorf("%d writes in the next transaction", n)
		}
		s.release <- nil
		if err := <-patient; err != nil {
			t.Error(err)
		}
	})
}

// TestWriterTimeout: no write waits longer than writeTimeout in the queue. A full queue
// blocks callers, also those that do not wait for the outcome.
func TestWriterTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		first := s.call(t.Context(), 1, 1)
		synctest.Wait()
		<-s.began
		var full []chan error
		for range queueRows / batchRows {
			full = append(full, s.call(t.Context(), batchRows, 1))
		}
		synctest.Wait()
		began := time.Now()
		time.Sleep(time.Second)
		over, sent := s.call(t.Context(), 1, 1), make(chan error, 1)
		go s.send(&op{rows: 1, bytes: 1}, func(err error) { sent <- err })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := <-s.call(ctx, 1, 1); !errors.Is(err, silo.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write that found the queue full: %v", err)
		}
		for _, c := range full {
			if err := <-c; !errors.Is(err, silo.ErrBusy) {
				t.Errorf("a write that waited: %v", err)
			}
		}
		if time.Since(began) != writeTimeout {
			t.Errorf("they waited %v", time.Since(began))
		}
		// Now the queue has space, and the waiting callers have entered it.
		synctest.Wait()
		s.release <- nil
		if err := <-first; err != nil {
			t.Error(err)
		}
		if n := len(<-s.began); n != 2 {
			t.Errorf("%d writes entered the queue", n)
		}
		s.release <- nil
		for _, c := range []chan error{over, sent} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWriterCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		last := s.call(t.Context(), 1, 1)
		synctest.Wait()
		closed := make(chan struct{})
		go func() { s.close(); close(closed) }()
		synctest.Wait()
		if err := s.do(t.Context(), &op{rows: 1}); !errors.Is(err, silo.ErrBusy) {
			t.Errorf("a write after close: %v", err)
		}
		<-s.began
		s.release <- nil
		if err := <-last; err != nil {
			t.Errorf("a write before close: %v", err)
		}
		<-closed
	})
}

// TestBadRowAlone: a row that only the database refuses is refused alone. The other rows
// of the transaction are stored once.
func TestBadRowAlone(t *testing.T) {
	t.Parallel()
	narrow := map[string]string{
		"sqlite":   "CREATE TRIGGER narrow BEFORE INSERT ON silo WHEN length(new.src_addr) > 30 BEGIN SELECT RAISE(ABORT, 'too long'); END",
		"postgres": "ALTER TABLE silo ALTER COLUMN src_addr TYPE VARCHAR(30)",
		"mariadb":  "ALTER TABLE silo MODIFY src_addr VARCHAR(30) NOT NULL",
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			rawExec(t, db, narrow[e.name])
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					m := text(fmt.Sprint(i))
					if i%40 == 7 {
						m.Src = "sip:" + strings.Repeat("a", 30) + "@example.org"
					}
					err := db.Messages().Add(t.Context(), m)
					if bad := i%40 == 7; bad != errors.Is(err, silo.ErrInvalid) || !bad && err != nil {
						t.Errorf("%d: %v", i, err)
					}
				})
			}
			wg.Wait()
			if n := len(next(t, db.Messages(), 0, 1000)); n != 195 {
				t.Errorf("%d rows, want 195", n)
			}
		})
	}
}

// TestMySQLNumbers: MySQL does not return the numbers of inserted rows.
func TestMySQLNumbers(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		if e.name != "mariadb" {
			continue
		}
		url := e.fresh(t)
		db := open(t, url+"?auto_increment_increment=3", Options{}) // as in a cluster of three
		db.layout.dialect.(*mysqlDB).returning = false
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				m := text(fmt.Sprint(i))
				add(t, db.Messages(), m)
				if got, err := db.Messages().Get(t.Context(), m.ID); err != nil || string(got.Body) != fmt.Sprint(i) {
					t.Errorf("message %d is %q, %v", i, got.Body, err)
				}
			})
		}
		wg.Wait()
	}
}

// countingMark counts its calls and commits nothing.
type countingMark struct{ calls int }

func (m *countingMark) first(*session, *batch) (bool, error) { m.calls++; return false, nil }
func (m *countingMark) confirm(*session, *batch) error       { return nil }

// TestBatchKey: an attempt at a batch that an earlier attempt has committed writes nothing
// again. Every batch asks the marks, also one without a key.
func TestBatchKey(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			w, m := &db.writer, &countingMark{}
			w.marks = append(w.marks, m)
			row, err := db.layout.messageRow(text("once"), noon)
			if err != nil {
				t.Fatal(err)
			}
			b := newBatch([]*op{{join: func(p *plan) { p.messages = append(p.messages, row) }, deadline: time.Now().Add(writeTimeout)}})
			attempt := func() {
				t.Helper()
				if _, err := w.attempt(b); err != nil || b.state != batchCommitted {
					t.Fatalf("state %d, %v", b.state, err)
				}
			}
			attempt()
			if w.layout.traits.keyed {
				b.state = batchUnknown // as if the answer had been lost
				attempt()
			}
			if got := bodies(next(t, db.Messages(), 0, 10)); got != "once" || m.calls != 1 {
				t.Errorf("stored %q, %d calls", got, m.calls)
			}
			remove(t, db.Messages(), row.m.ID)
			if m.calls != 2 {
				t.Errorf("%d calls", m.calls)
			}
		})
	}
}
