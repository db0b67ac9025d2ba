package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

// inTurns runs f in a bubble with an engine that has two queues; the first one comes first. Bob is
// woken by f. Each item takes 20 ms.
func inTurns(t *testing.T, second Source, f func(first *box, q1, q2 *Queue, p *phones)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, first := New(Options{}), newBox()
		p := &phones{flying: map[sip.AoR]int{}, answer: func(sip.AoR, *im.Message) Outcome {
			time.Sleep(19 * time.Millisecond)
			return Outcome{Verdict: Delivered}
		}}
		q1, q2 := e.Queue(), e.Queue()
		q1.Serve(first, p)
		q2.Serve(second, p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := e.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		f(first, q1, q2, p)
		cancel()
		<-ended
	})
}

// position returns the number of items that came before one.
func position(t *testing.T, got []string, item string) int {
	t.Helper()
	i := slices.Index(got, item)
	if i < 0 {
		t.Fatalf("%s did not come", item)
	}
	return i
}

// A message of the first queue waits for one item of a long second queue, not for all.
func TestFirstQueueInterrupts(t *testing.T) {
	rooms := newBox()
	inTurns(t, rooms, func(first *box, q1, q2 *Queue, p *phones) {
		for i := range 1500 {
			rooms.put(bob, fmt.Sprint("word ", i))
		}
		first.put(bob, "waiting")
		q2.engine.Wake(bob)
		for i := range 20 {
			time.Sleep(time.Second)
			if q1.Busy(bob) {
				t.Error("the empty first queue counts as busy")
			}
			first.put(bob, fmt.Sprint("personal ", i))
			q1.Wake(bob)
		}
		time.Sleep(time.Minute)
		got := p.received()
		if len(got) != 1521 || position(t, got, "waiting") != 0 {
			t.Errorf("%d items, the first one is %q", len(got), got[0])
		}
		for i := range 20 {
			if at := position(t, got, fmt.Sprint("personal ", i)); at > 52*(i+1)+2 {
				t.Errorf("personal %d is number %d", i, at)
			}
		}
		words := slices.DeleteFunc(got, func(s string) bool { return s[:4] != "word" })
		for i, w := range words {
			if w != fmt.Sprint("word ", i) {
				t.Fatalf("%q is number %d", w, i)
			}
		}
	})
}

// A first queue that never becomes empty does not stop the second one.
func TestSecondQueueGetsTurns(t *testing.T) {
	rooms := newBox()
	inTurns(t, rooms, func(first *box, q1, q2 *Queue, p *phones) {
		for i := range 1000 {
			first.put(bob, fmt.Sprint("personal ", i))
		}
		for i := range 100 {
			rooms.put(bob, fmt.Sprint("word ", i))
		}
		q2.engine.Wake(bob)
		for i := range 1000 { // twice as fast as they are delivered
			time.Sleep(10 * time.Millisecond)
			first.put(bob, fmt.Sprint("later ", i))
			q1.Wake(bob)
		}
		time.Sleep(time.Minute)
		got := p.received()
		if len(got) != 2100 {
			t.Fatalf("%d items", len(got))
		}
		if at := position(t, got, "word 0"); at < 100 || at > 200 {
			t.Errorf("the first word is number %d", at)
		}
		if at := position(t, got, "word 99"); at > 1100 {
			t.Errorf("the last word is number %d", at)
		}
	})
}

// An item that is poison for its recipient delays no other queue.
func TestPoisonDelaysNoOtherQueue(t *testing.T) {
	rooms := newBox()
	inTurns(t, rooms, func(first *box, q1, q2 *Queue, p *phones) {
		p.answer = func(_ sip.AoR, m *im.Message) Outcome {
			if m.CallID == "poison" {
				return Outcome{Verdict: Undelivered, Answered: true}
			}
			return Outcome{Verdict: Delivered}
		}
		first.put(bob, "poison")
		first.put(bob, "personal")
		q1.Wake(bob)
		time.Sleep(2 * time.Minute) // it is poison now
		rooms.put(bob, "word")
		q2.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"personal", "word"}) {
			t.Errorf("got %q", got)
		}
	})
}

// An item that is the only one of its queue, and that the recipient never answers, becomes poison when
// an item of another queue is accepted. Then it is not tried before each of these.
func TestPoisonAloneInItsQueue(t *testing.T) {
	rooms := newBox()
	inTurns(t, rooms, func(first *box, q1, q2 *Queue, p *phones) {
		tries := 0
		p.answer = func(_ sip.AoR, m *im.Message) Outcome {
			if m.CallID == "poison" {
				tries++
				time.Sleep(5 * time.Second)
				return Outcome{Verdict: Undelivered}
			}
			return Outcome{Verdict: Delivered}
		}
		first.put(bob, "poison")
		q1.Wake(bob)
		var want []string
		for i := range 120 {
			text := fmt.Sprint("word ", i)
			want = append(want, text)
			rooms.put(bob, text)
			q2.Wake(bob)
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Minute)
		if got := p.received(); !slices.Equal(got, want) {
			t.Errorf("%d words of %d came", len(got), len(want))
		}
		if tries > 14 {
			t.Errorf("the first item was tried %d times", tries)
		}
	})
}

// divided is a Source of several rooms.
type divided struct {
	rooms []*box
	key   int64 // of the last item of all rooms
}

// put adds an item to a room. Keys rise in the order of all rooms.
func (d *divided) put(room int, text string) {
	b := d.rooms[room]
	b.mu.Lock()
	b.key = d.key
	b.mu.Unlock()
	b.put(bob, text)
	d.key++
}

func (d *divided) Next(ctx context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	var all []Item
	for _, b := range d.rooms {
		items, err := b.Next(ctx, a, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	slices.SortFunc(all, func(a, b Item) int { return cmp.Compare(a.Key, b.Key) })
	return all[:min(len(all), limit)], nil
}

func (d *divided) Settle(a sip.AoR, it *Item, out Outcome, done func(error)) {
	for _, b := range d.rooms {
		b.Settle(a, it, out, func(error) {})
	}
	done(nil)
}

func (d *divided) Waiting(context.Context, func(sip.AoR)) error { return nil }

func (d *divided) Parts(a sip.AoR) (parts []Reader) {
	for _, b := range d.rooms {
		if b.left(a) > 0 {
			parts = append(parts, b)
		}
	}
	return parts
}

// A long backlog of one room does not delay an item of another one, and the order of each room
// is kept.
func TestRoomsTakeTurns(t *testing.T) {
	d := &divided{rooms: []*box{newBox(), newBox(), newBox()}}
	inTurns(t, d, func(_ *box, _, q2 *Queue, p *phones) {
		for i := range 1000 {
			d.put(0, fmt.Sprint("a", i))
		}
		for i := range 100 {
			d.put(1, fmt.Sprint("b", i))
		}
		q2.Wake(bob)
		for i := range 5 {
			time.Sleep(2 * time.Second)
			d.put(2, fmt.Sprint("c", i))
			q2.Wake(bob)
		}
		time.Sleep(time.Minute)
		got := p.received()
		if len(got) != 1105 {
			t.Fatalf("%d items", len(got))
		}
		if at := position(t, got, "b99"); at > 250 {
			t.Errorf("b99 is number %d", at)
		}
		for i := range 5 {
			if at := position(t, got, fmt.Sprint("c", i)); at > 102*(i+1)+2 {
				t.Errorf("c%d is number %d", i, at)
			}
		}
		for room, last := range map[byte]int{'a': 1000, 'b': 100, 'c': 5} {
			own := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s[0] != room })
			for i := range last {
				if own[i] != fmt.Sprintf("%c%d", room, i) {
					t.Fatalf("%q is number %d of its room", own[i], i)
				}
			}
		}
	})
}
