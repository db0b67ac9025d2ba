package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

var errUnavailable = errors.New("database is not available")

// stubborn is a Source that cannot remove the items that fails selects.
type stubborn struct {
	*box
	fails  func(it *Item) bool
	settle atomic.Int64  // calls of Settle
	takes  time.Duration // until Settle fails
	reads  atomic.Int64  // nanoseconds until Next returns
	panics bool
}

func (s *stubborn) Settle(a sip.AoR, it *Item, out Outcome, done func(error)) {
	s.settle.Add(1)
	s.mu.Lock()
	fails, takes := s.fails(it), s.takes
	s.mu.Unlock()
	switch {
	case !fails:
		s.box.Settle(a, it, out, done)
	case s.panics:
		panic("Settle")
	default:
		time.AfterFunc(takes, func() { done(errUnavailable) })
	}
}

// change changes the Source while the engine runs.
func (s *stubborn) change(fails func(*Item) bool, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.takes = fails, takes
}

func nothing(*Item) bool    { return false }
func everything(*Item) bool { return true }

// inStubborn is inEngine with a stubborn Source.
func inStubborn(t *testing.T, f func(e *Engine, q *Queue, s *stubborn, p *phones)) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		s := &stubborn{box: b, fails: everything, takes: 10 * time.Millisecond}
		q.Serve(s, p)
		f(e, q, s, p)
	})
}

// put adds the texts from, ..., to-1 to a mailbox and returns the texts 0, ..., to-1.
func (s *stubborn) put(a sip.AoR, from, to int) []string {
	var texts []string
	for i := range to {
		if i >= from {
			s.box.put(a, fmt.Sprint(i))
		}
		texts = append(texts, fmt.Sprint(i))
	}
	return texts
}

// Items whose removal fails for a while are sent once, however often the recipient
// registers meanwhile, and those behind them in order.
func TestRemovalThatFailsForAWhile(t *testing.T) {
	for name, panics := range map[string]bool{"error": false, "panic": true} {
		t.Run(name, func(t *testing.T) {
			inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
				s.panics = panics
				var failures atomic.Int64
				s.fails = func(*Item) bool { return failures.Add(1) <= 25 }
				s.put(bob, 0, 20)
				q.Wake(bob)
				time.Sleep(time.Second / 2)
				if q.Busy(bob) {
					t.Error("busy, although all is delivered")
				}
				want := s.put(bob, 20, 30)
				for range 60 {
					e.Wake(bob)
					time.Sleep(time.Second)
				}
				if got := p.received(); !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
				if n := s.left(bob); n != 0 || q.settler.unsettled != 0 || len(q.settler.keys)+len(q.settler.failed) != 0 {
					t.Errorf("%d left, settler %+v", n, &q.settler)
				}
				if q.settler.timer != nil || e.Active() != 0 {
					t.Error("something goes on in the end")
				}
			})
		})
	}
}

// An item whose removal fails for ever is sent once, delivered or refused, and its
// removal is retried with back-off.
func TestRemovalThatFailsForEver(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		s.fails = func(it *Item) bool { return it.CallID < "2" }
		refused := 0
		p.answer = func(a sip.AoR, m *im.Message) Outcome {
			if m.CallID == "1" {
				refused++
				return Outcome{Verdict: Refused, Reason: "603 Decline"}
			}
			return Outcome{Verdict: Delivered}
		}
		want := s.put(bob, 0, 10)
		for range 3600 {
			e.Wake(bob)
			time.Sleep(time.Second)
		}
		if got := p.received(); !slices.Equal(got, slices.Delete(want, 1, 2)) || refused != 1 {
			t.Errorf("got %q, refused %d times", got, refused)
		}
		if n := s.settle.Load(); n < 100 || n > 200 {
			t.Errorf("%d calls of Settle in an hour", n)
		}
		if s.left(bob) != 2 || len(q.settler.keys[recipientKey{AoR: bob}]) != 2 {
			t.Errorf("%d left, settler %+v", s.left(bob), &q.settler)
		}
	})
}

// The keys are bounded: beyond that delivery to the recipient pauses, and goes on when
// the Source removes items again. Other recipients and other queues do not pause.
func TestUnsettledKeysAreBounded(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		rooms := e.Queue()
		roomLog := newBox()
		rooms.Serve(roomLog, p)
		want := s.put(bob, 0, 1000)
		var works atomic.Bool
		s.fails = func(*Item) bool { return !works.Load() }
		for range 600 {
			q.Wake(bob)
			time.Sleep(time.Second)
		}
		if n := len(p.received()); n > maxUnsettledFor || n <= maxUnsettledFor-e.opt.Page {
			t.Errorf("%d sent with a Source that removes nothing", n)
		}
		if n := q.settler.unsettled; n != len(p.received()) {
			t.Errorf("%d unsettled of %d", n, len(p.received()))
		}
		if !q.Busy(bob) {
			t.Error("not busy with messages that wait")
		}
		s.box.put(carol, "carol's")
		q.Wake(carol)
		roomLog.put(bob, "bob's room")
		rooms.Wake(bob)
		time.Sleep(time.Second)
		got := p.received()
		if n := len(got); !slices.Contains(got[n-2:], "carol's") || !slices.Contains(got[n-2:], "bob's room") {
			t.Errorf("got %q in the end", got[n-2:])
		}
		works.Store(true)
		time.Sleep(time.Minute)
		got = slices.DeleteFunc(p.received(), func(s string) bool { return s == "carol's" || s == "bob's room" })
		if !slices.Equal(got, want) {
			t.Errorf("got %d: %q", len(got), got)
		}
		if s.left(bob) != 0 || q.settler.unsettled != 0 || len(q.settler.paused) != 0 || e.Active() != 0 {
			t.Errorf("%d left, settler %+v", s.left(bob), &q.settler)
		}
	})
}

// All recipients together are bounded as well.
func TestUnsettledItemsAreBounded(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		q.settler.unsettled = maxUnsettled - 3 // of others
		s.takes = 0
		for _, a := range people(10) {
			s.box.put(a, a.User)
			q.Wake(a)
			time.Sleep(time.Second / 20)
		}
		if n := len(p.received()); n != 3 {
			t.Errorf("%d sent", n)
		}
		s.change(nothing, 0)
		time.Sleep(time.Minute)
		if n := len(p.received()); n != 10 || len(q.settler.keys) != 0 {
			t.Errorf("%d sent, settler %+v", n, &q.settler)
		}
	})
}

// A single item that cannot be removed does not keep the others.
func TestOneRemovalDoesNotBlockTheOthers(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		var works atomic.Bool
		s.fails = func(it *Item) bool { return !works.Load() || it.CallID == "0" }
		s.put(bob, 0, 200)
		q.Wake(bob)
		time.Sleep(10 * time.Second)
		works.Store(true)
		time.Sleep(time.Minute)
		if n := s.left(bob); n != 1 {
			t.Errorf("%d left", n)
		}
	})
}

// Next returns items that may be removed meanwhile.
func (s *stubborn) Next(ctx context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	items, err := s.box.Next(ctx, a, after, limit)
	time.Sleep(time.Duration(s.reads.Load()))
	return items, err
}

// An item that is removed while it is being read is not sent again.
func TestRemovalDuringARead(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		s.put(bob, 0, 1)
		q.Wake(bob)
		time.Sleep(time.Second / 2)
		s.reads.Store(int64(5 * time.Second))
		q.Wake(bob)
		s.change(nothing, 0)
		time.Sleep(time.Minute)
		if n := len(p.received()); n != 1 || s.left(bob) != 0 {
			t.Errorf("sent %d times, %d left", n, s.left(bob))
		}
	})
}

// A message that was relayed, and stored before the device answered, is as one that was
// delivered by the engine.
func TestSettledByAnotherWay(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		release := q.Hold(bob)
		s.put(bob, 0, 2)
		tries := 0
		items, _ := s.box.Next(t.Context(), bob, 0, 1)
		delivered := Outcome{Verdict: Delivered}
		q.Settle(bob, Item{Key: 1, Message: im.Message{CallID: items[0].CallID, CSeq: items[0].CSeq}, Expires: items[0].Expires}, delivered, func(done func(error)) {
			if tries++; tries < 5 {
				done(errUnavailable)
				return
			}
			s.box.Settle(bob, &items[0], delivered, done)
		}, release)
		s.change(nothing, 0)
		time.Sleep(time.Minute)
		s.back(bob, items...) // as after a failover
		q.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1"}) || s.left(bob) != 0 || tries != 5 {
			t.Errorf("got %q, %d left after %d tries", got, s.left(bob), tries)
		}
	})
}

// When the engine stops, removals are retried once more, and it does not wait long for
// a Source that does not answer.
func TestRemovalsAreRetriedAtTheEnd(t *testing.T) {
	for name, settles := range map[string]bool{"removed": true, "no answer": false} {
		t.Run(name, func(t *testing.T) {
			inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
				s.put(bob, 0, 100)
				q.Wake(bob)
				time.Sleep(50 * time.Second)
				if settles {
					s.change(nothing, 0)
				} else {
					s.change(everything, time.Minute)
				}
				start := time.Now()
				q.settler.stop()
				if took := time.Since(start); took > lastSweep {
					t.Errorf("the end took %v", took)
				}
				if n := s.left(bob); settles != (n == 0) {
					t.Errorf("%d left", n)
				}
				s.change(s.fails, 0)
				time.Sleep(time.Hour) // until the Source has answered
			})
		})
	}
}
