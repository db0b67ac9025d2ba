package delivery

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

// A device of which the state changes.
type device struct {
	mu    sync.Mutex
	state deviceState
}

type deviceState int

const (
	accepts deviceState = iota
	acceptsLate
	isOffline
	answers500
	isSilent
)

func (d *device) set(s deviceState) (old deviceState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, d.state = d.state, s
	return old
}

func (d *device) is() deviceState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

func (d *device) answer(_ sip.AoR, _ *im.Message) Outcome {
	switch d.is() {
	case acceptsLate:
		time.Sleep(3 * time.Second)
	case isOffline:
		return Outcome{Verdict: Offline}
	case answers500:
		return Outcome{Verdict: Undelivered, Answered: true}
	case isSilent:
		time.Sleep(32 * time.Second)
		return Outcome{Verdict: Undelivered}
	}
	return Outcome{Verdict: Delivered}
}

// Each item of each queue is delivered once, whatever happens meanwhile, and nothing remains. Where
// a device only goes offline, the order of each queue and of each room is kept. Elsewhere items
// are also committed in another order than that of their keys.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deliverAtRandom(t, rand.New(rand.NewPCG(seed, 16)), seed%2 == 0) })
		})
	}
}

// prepare is put, but the item is there when commit is called, as in a transaction.
func (b *box) prepare(a sip.AoR, text string) (commit func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.key++
	it := Item{Key: b.key, Message: im.Message{CallID: text}}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.items[a] = append(b.items[a], it)
		slices.SortFunc(b.items[a], func(x, y Item) int { return cmp.Compare(x.Key, y.Key) })
	}
}

func deliverAtRandom(t *testing.T, rnd *rand.Rand, ordered bool) {
	dev := new(device)
	e := New(Options{Workers: 32, Page: 5})
	p := &phones{flying: map[sip.AoR]int{}, answer: dev.answer, alive: func() bool { return dev.is() != isSilent }}
	boxes := []*box{newBox(), newBox()}
	rooms := &divided{rooms: []*box{newBox(), newBox(), newBox()}}
	queues := []*Queue{e.Queue(), e.Queue(), e.Queue()}
	queues[0].Serve(boxes[0], p)
	queues[1].Serve(boxes[1], p)
	queues[2].Serve(rooms, p)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })

	states := 5
	if ordered {
		states = 3
	}
	change := func(s deviceState) {
		if dev.set(s) == isOffline {
			e.Wake(bob)
		}
	}
	var sent []string
	for i := range 400 {
		switch n := rnd.IntN(20); n {
		case 0, 1:
			change(deviceState(rnd.IntN(states)))
		case 2:
			change(accepts)
		case 3:
			e.Wake(bob)
		case 4:
			e.Refreshed(bob)
		case 5:
			release := queues[0].Hold(bob)
			time.AfterFunc(time.Duration(rnd.IntN(5000))*time.Millisecond, release)
		case 6, 7, 8, 9, 10:
			text := fmt.Sprintf("%d %d", n%2, i)
			sent = append(sent, text)
			commit := boxes[n%2].prepare(bob, text)
			if ordered {
				commit()
				queues[n%2].Wake(bob)
				break
			}
			time.AfterFunc(time.Duration(rnd.IntN(300))*time.Millisecond, func() {
				commit()
				queues[n%2].Wake(bob)
			})
		case 11:
			queues[2].Wake(bob)
		default:
			room := rnd.IntN(3)
			for range 1 + rnd.IntN(8) {
				text := fmt.Sprintf("r%d %d", room, len(sent))
				sent = append(sent, text)
				rooms.put(room, text)
			}
			queues[2].WakeAll(room, []sip.AoR{bob, carol}, carol)
		}
		time.Sleep(time.Duration(rnd.IntN(1<<rnd.IntN(14))) * time.Millisecond)
	}
	change(accepts)
	time.Sleep(2 * time.Hour)
	got := p.received()
	if a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(sent)); !slices.Equal(a, b) {
		t.Errorf("%d items were sent, %d were received", len(b), len(a))
	}
	if ordered {
		for _, part := range []string{"0 ", "1 ", "r0 ", "r1 ", "r2 "} {
			other := func(s string) bool { return !strings.HasPrefix(s, part) }
			if a, b := slices.DeleteFunc(slices.Clone(got), other), slices.DeleteFunc(slices.Clone(sent), other); !slices.Equal(a, b) {
				t.Errorf("the order of %q is not kept", part)
			}
		}
	}
	if n := e.Active(); n != 0 || len(e.scheduler.groups) != 0 {
		t.Errorf("%d recipients are active, %d groups are left", n, len(e.scheduler.groups))
	}
	cancel()
	running.Wait()
}
