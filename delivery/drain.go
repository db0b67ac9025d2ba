package delivery

import (
	"context"
	"sync"
	"time"

	"silod/address"
)

// drain brings an owner everything that waits in the queues of look, one after
// the other. It gives Delivered when nothing is left; else Offline when there is
// nobody to bring it to, or Undelivered when it must be tried again, with the
// queues that were not emptied.
func (e *Engine) drain(ctx context.Context, a address.AoR, look uint) (v Verdict, left uint) {
	for _, q := range e.queues {
		if look&q.bit == 0 {
			continue
		}
		if v := e.drainQueue(ctx, a, q); v != Delivered {
			return v, look
		}
		look &^= q.bit
	}
	return Delivered, 0
}

// drainQueue brings an owner everything of one queue. Rows are settled while
// the next message is on its way; at the end all of them are waited for and the
// Source is asked once more from its beginning, because a row with a lower key may
// have been committed late by another node.
func (e *Engine) drainQueue(ctx context.Context, a address.AoR, q *Queue) Verdict {
	var st settling
	defer st.wait()
	for after, sent := int64(0), false; ; {
		items, err := q.source.Next(ctx, a, after, e.opt.Page)
		if err != nil {
			e.opt.Log.Warn("read queue", "owner", a, "error", err)
			return Undelivered
		}
		for i := range items {
			it := &items[i]
			after = it.Key
			if !it.Expires.IsZero() && !time.Now().Before(it.Expires) {
				continue // its Source will clear it away
			}
			if v := e.deliver(ctx, a, q, it, &st); v != Delivered {
				return v
			}
			sent = true
		}
		if len(items) > 0 {
			continue
		}
		if err := st.wait(); err != nil {
			e.opt.Log.Warn("settle", "owner", a, "error", err)
			return Undelivered
		}
		if !sent {
			return Delivered
		}
		after, sent = 0, false
	}
}

// deliver sends one item. Delivered means that the queue may move on.
func (e *Engine) deliver(ctx context.Context, a address.AoR, q *Queue, it *Item, st *settling) Verdict {
	begun := time.Now()
	out := q.sender.Send(ctx, a, &it.Message)
	e.Latency.Observe(time.Since(begun))
	switch out.Verdict {
	case Delivered:
		e.Delivered.Inc()
	case Refused:
		e.Refused.Inc()
		e.opt.Log.Info("refused for good", "owner", a, "call_id", it.CallID, "reason", out.Reason)
	case Undelivered, Offline:
		e.Failed.Inc()
		e.opt.Log.Debug("not delivered", "owner", a, "call_id", it.CallID, "reason", out.Reason)
		return out.Verdict
	}
	q.source.Settle(a, it, out, st.begin())
	return Delivered
}

// settling counts what has been settled but is not yet durable.
type settling struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	first error
}

func (s *settling) begin() func(error) {
	s.wg.Add(1)
	return func(err error) {
		if err != nil {
			s.mu.Lock()
			if s.first == nil {
				s.first = err
			}
			s.mu.Unlock()
		}
		s.wg.Done()
	}
}

// wait waits until all is durable, and gives the first failure since the last wait.
func (s *settling) wait() error {
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.first
	s.first = nil
	return err
}
