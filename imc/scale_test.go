package imc_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/imc"
	"silod/sip"
)

// bigStore is a Store with many rooms, which Load generates.
type bigStore struct {
	*memStore
	rooms, members int
}

func (st bigStore) Load(_ context.Context, f func(imc.Room, []imc.Member), _ func(error)) error {
	for i := range st.rooms {
		members := make([]imc.Member, st.members)
		for j := range members {
			members[j] = imc.Member{
				User: aor(fmt.Sprintf("user%d", (i+j*7919)%5000)), Role: imc.Plain, Seen: time.Unix(1700000000, 0),
			}
		}
		members[0].Role = imc.Owner
		f(imc.Room{AoR: aor(fmt.Sprintf("chat-%d", i)), Topic: "tea"}, members)
	}
	return nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryOfIdleRooms checks that a room of five members takes less than 3 KB.
func TestMemoryOfIdleRooms(t *testing.T) {
	const rooms = 10_000
	s := service(t, bigStore{newMemStore(), rooms, 5})
	before := heap()
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	each := (heap() - before) / rooms
	t.Logf("%d bytes for a room", each)
	if each > 2900 {
		t.Errorf("a room takes %d bytes", each)
	}
	if !s.IsRoom(aor("chat-9999")) {
		t.Error("a room is missing")
	}
}

// counter is a Waker that counts.
type counter struct {
	nop
	n atomic.Int64
}

func (c *counter) WakeAll(_ any, owners []sip.AoR, except sip.AoR) {
	c.n.Add(int64(len(owners)))
	if slices.Contains(owners, except) {
		c.n.Add(-1)
	}
}

// largeRoom returns a Service with one room, with cursors at the end of the log, and its
// Waker.
func largeRoom(t testing.TB, st *memStore, members int) (*imc.Service, *counter) {
	t.Helper()
	put := make([]imc.Member, members)
	for i := range put {
		put[i] = imc.Member{User: aor(fmt.Sprintf("user%d", i)), Role: imc.Plain, Seen: time.Now()}
	}
	put[0].Role = imc.Owner
	if err := st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: aor("chat-1")}, Put: put}); err != nil {
		t.Fatal(err)
	}
	woken := new(counter)
	s := serviceWith(t, st, woken)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, woken
}

func said(from, body string) imc.Request {
	return imc.Request{Sender: sender(from), Room: aor("chat-1"), Message: im.Message{
		From: "<sip:" + from + "@" + domain + ">;tag=1", To: "<sip:chat-1@" + domain + ">", CallID: "call " + body, CSeq: 1,
		Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte(body),
	}}
}

// TestTenThousandMembers checks that a message to ten thousand members is one row and one
// body in memory, and wakes each other member once.
func TestTenThousandMembers(t *testing.T) {
	const members = 10_000
	st := newMemStore()
	s, woken := largeRoom(t, st, members)
	if r := s.Handle(t.Context(), said("user0", "hello")); r.Status != 200 {
		t.Fatal(r)
	}
	if n := woken.n.Load(); n != members-1 {
		t.Errorf("%d members were woken", n)
	}
	if n := len(st.logOf(aor("chat-1"))); n != 1 {
		t.Errorf("%d rows were written", n)
	}
	var body *byte
	for i := 1; i < members; i++ {
		u := aor(fmt.Sprintf("user%d", i))
		items, err := s.Next(t.Context(), u, 0, 64)
		if err != nil || len(items) != 1 || string(items[0].Body) != "[user0]: hello" {
			t.Fatalf("%v gets %v, %v", u, items, err)
		}
		if body == nil {
			body = &items[0].Body[0]
		} else if body != &items[0].Body[0] {
			t.Fatal("bodies are copied")
		}
		s.Settle(u, &items[0], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for u, m := range st.rooms[aor("chat-1")].members {
		if m.Cursor != 1 {
			t.Fatalf("the cursor of %v is %d", u, m.Cursor)
		}
	}
	n := 0
	if err := s.Waiting(t.Context(), func(sip.AoR) { n++ }); err != nil || n != 0 {
		t.Errorf("%d are waiting, %v", n, err)
	}
}

// TestMemoryOfBusyRooms checks that the tail of a room is bounded: a member with an old
// cursor reads from the store.
func TestMemoryOfBusyRooms(t *testing.T) {
	st := newMemStore()
	s, _ := largeRoom(t, st, 3)
	before := heap()
	big := make([]byte, 64<<10)
	for i := range 500 {
		req := said("user0", fmt.Sprint(i))
		req.Body = append([]byte(fmt.Sprint(i)), big...)
		if r := s.Handle(t.Context(), req); r.Status != 200 {
			t.Fatal(r)
		}
		st.mu.Lock()
		log := st.log
		log[len(log)-1].Body = log[len(log)-1].Body[:10] // the memory of the store does not count
		st.mu.Unlock()
	}
	if took := int64(heap()) - int64(before); took > 40<<20 {
		t.Errorf("%d bytes for 500 messages of 64 KB", took)
	}
	items, err := s.Next(t.Context(), aor("user1"), 0, 1000)
	if err != nil || len(items) == 0 || items[0].Key != 1 {
		t.Errorf("user1 gets %d items, %v", len(items), err)
	}
}

func BenchmarkRoomOf100(b *testing.B) {
	st := newMemStore()
	s, _ := largeRoom(b, st, 100)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if r := s.Handle(b.Context(), said("user0", fmt.Sprint("hello ", n))); r.Status != 200 {
			b.Fatal(r)
		}
		for i := 1; i < 100; i++ {
			u := aor(fmt.Sprintf("user%d", i))
			items, _ := s.Next(b.Context(), u, 0, 64)
			for i := range items {
				s.Settle(u, &items[i], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
			}
			_, _ = s.Next(b.Context(), u, items[0].Key, 64)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/99, "ns/delivery")
}
