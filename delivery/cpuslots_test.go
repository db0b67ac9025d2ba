package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

// busy is a Sender that takes time for sending and for the answer.
type busy struct {
	send, answer time.Duration

	mu      sync.Mutex
	sending int
	most    int
	done    int
}

func (b *busy) Send(context.Context, sip.AoR, *Item) Attempt {
	b.mu.Lock()
	b.sending++
	b.most = max(b.most, b.sending)
	b.mu.Unlock()
	time.Sleep(b.send)
	b.mu.Lock()
	b.sending--
	b.mu.Unlock()
	return later(func() Outcome {
		time.Sleep(b.answer)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.done++
		return Outcome{Verdict: Delivered}
	})
}

func (b *busy) Alive(context.Context, sip.AoR, []string) bool { return true }

// serve delivers a message to each of so many people and returns the time that it took.
func serve(t *testing.T, people int, way *busy) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Workers: 1 << 16}) // more than people
		e.workers.cpu = newCPUSlots(1)
		b, q := newBox(), e.Queue()
		q.Serve(b, way)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = e.Run(ctx) })
		begun := time.Now()
		for i := range people {
			a := sip.AoR{User: fmt.Sprint(i), Domain: "example.org"}
			b.put(a, "x")
			q.Wake(a)
		}
		for e.Active() > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		took = time.Since(begun)
		time.Sleep(2 * adjustEvery)
		cancel()
		running.Wait()
		e.workers.cpu.mu.Lock()
		defer e.workers.cpu.mu.Unlock()
		if e.workers.cpu.free != 1 || e.workers.cpu.total != 1 || len(e.workers.cpu.queue) != 0 {
			t.Errorf("in the end there are %d slots, %d free, %d waiting", e.workers.cpu.total, e.workers.cpu.free, len(e.workers.cpu.queue))
		}
	})
	if way.done != people {
		t.Errorf("%d of %d messages were delivered", way.done, people)
	}
	return took
}

// Workers compute one after the other. While they wait for answers, others compute.
func TestSlotsAreHandedOver(t *testing.T) {
	way := &busy{send: 20 * time.Microsecond, answer: 500 * time.Millisecond}
	took := serve(t, 1000, way)
	if way.most != 1 {
		t.Errorf("%d worked at once", way.most)
	}
	if most := time.Second; took > most {
		t.Errorf("it took %v", took)
	}
}

// Workers that wait while holding a slot do not delay the others for long.
func TestSlotsHeldByWaitingWorkers(t *testing.T) {
	way := &busy{send: 5 * time.Second}
	if took := serve(t, 1000, way); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
}
