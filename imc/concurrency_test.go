package imc_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/imc"
)

// slow is a Store with slow commits.
type slow struct{ imc.Store }

// Apply yields instead of sleeping: it runs under a lock for which others wait, and in a
// bubble no time would pass.
func (s slow) Apply(ctx context.Context, c imc.Change) error {
	for range 50 {
		runtime.Gosched()
	}
	return s.Store.Apply(ctx, c)
}

func (s slow) Append(ctx context.Context, e *imc.Entry, queued func()) error {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return imc.ErrBusy
	}
	return s.Store.Append(ctx, e, queued)
}

func onSlow(t *testing.T, change func(*imc.Config), f func(w *world)) {
	onMemory(t, change, func(w *world, _ *memStore) {
		w.wrap = func(st imc.Store) imc.Store { return slow{st} }
		w.restart()
		f(w)
	})
}

// together sends requests concurrently and returns the replies.
func (w *world) together(reqs ...imc.Request) []imc.Reply {
	replies := make([]imc.Reply, len(reqs))
	var all sync.WaitGroup
	for i, req := range reqs {
		all.Go(func() { replies[i] = w.rooms.Handle(context.Background(), req) })
	}
	all.Wait()
	w.settleDown()
	return replies
}

// TestConcurrentCreate checks that of concurrent #create commands for one room the first
// creates it and the others join.
func TestConcurrentCreate(t *testing.T) {
	onSlow(t, func(c *imc.Config) { c.MaxRooms = 1 }, func(w *world) {
		var reqs []imc.Request
		for i := range 20 {
			reqs = append(reqs, w.message(fmt.Sprintf("user%d", i), "chat-1", "text/plain", "#create"))
		}
		for i, r := range w.together(reqs...) {
			if r.Status != 200 {
				w.t.Errorf("user%d: %+v", i, r)
			}
		}
		w.ignore()
		w.must("user0", "chat-1", "#list")
		list := w.read("user0")
		if len(list) != 1 || !strings.HasPrefix(list[0], "chat-1: Members of chat-1: 20\n") || strings.Count(list[0], "*") != 1 {
			w.t.Errorf("%q", list)
		}
	})
}

// TestLimitsHoldForConcurrentRequests checks the limits with concurrent requests.
func TestLimitsHoldForConcurrentRequests(t *testing.T) {
	onSlow(t, func(c *imc.Config) { c.MaxRooms, c.MaxRoomsPerUser, c.MaxMembers = 5, 3, 4 }, func(w *world) {
		var reqs []imc.Request
		for i := range 20 {
			reqs = append(reqs, w.message("alice", fmt.Sprintf("chat-%d", i), "text/plain", "#create"))
			reqs = append(reqs, w.message("bob", fmt.Sprintf("chat-%d", 20+i), "text/plain", "#create"))
		}
		made := 0
		for _, r := range w.together(reqs...) {
			if r.Status == 200 {
				made++
			}
		}
		if made != 5 {
			w.t.Errorf("%d rooms were created, 5 are allowed", made)
		}
		room := ""
		for i := range 40 {
			if w.rooms.Handle(context.Background(), w.message("carol", fmt.Sprintf("chat-%d", i), "text/plain", "#join")).Status == 200 {
				room = fmt.Sprintf("chat-%d", i)
				break
			}
		}
		reqs = nil
		for i := range 10 {
			reqs = append(reqs, w.message(fmt.Sprintf("user%d", i), room, "text/plain", "#join"))
		}
		in := 0
		for _, r := range w.together(reqs...) {
			if r.Status == 200 {
				in++
			}
		}
		if in != 2 { // besides the owner and carol
			w.t.Errorf("%d users joined %s, 2 could", in, room)
		}
	})
}

// TestMessagesShareACommit checks that concurrent messages share commits.
func TestMessagesShareACommit(t *testing.T) {
	onSlow(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		var reqs []imc.Request
		for i := range 100 {
			reqs = append(reqs, w.message("alice", "chat-1", "text/plain", fmt.Sprint(i)))
		}
		start := time.Now()
		for _, r := range w.together(reqs...) {
			if r.Status != 200 {
				w.t.Error(r)
			}
		}
		if took := time.Since(start); took > 20*time.Millisecond { // of bubble time
			w.t.Errorf("a hundred messages took %v, more than two commits", took)
		}
		if n := len(w.read("bob")); n != 101 {
			w.t.Errorf("bob got %d messages", n)
		}
	})
}

// TestSenderGivesUp checks that a request whose context ends before the commit is
// answered 503, and that later messages are delivered.
func TestSenderGivesUp(t *testing.T) {
	onSlow(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		var all sync.WaitGroup
		send := func(body string, patience time.Duration) {
			req := w.message("alice", "chat-1", "text/plain", body)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			all.Go(func() {
				defer cancel()
				if r := w.rooms.Handle(ctx, req); (r.Status == 200) != (patience > 20*time.Millisecond) {
					w.t.Errorf("%s: %+v", body, r)
				}
			})
			synctest.Wait()
		}
		send("first", time.Second)
		send("leaves", 5*time.Millisecond)
		time.Sleep(6 * time.Millisecond)
		send("second", time.Second)
		send("leaves in the middle", 8*time.Millisecond)
		all.Wait()
		send("third", time.Second)
		all.Wait()
		w.settleDown()
		want := []string{"chat-1: [alice]: first", "chat-1: [alice]: second", "chat-1: [alice]: third"}
		if got := w.read("bob"); !slices.Equal(got, want) {
			w.t.Errorf("bob got %q", got)
		}
	})
}

// TestSenderRepeatsAfterACrash checks a message that is sent again because the daemon
// died between the commit and the answer: members get it once. A message with the same
// Call-ID and CSeq but another body is another message.
func TestSenderRepeatsAfterACrash(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		req := w.message("alice", "chat-1", "text/plain", "once")
		other := w.message("alice", "chat-1", "text/plain", "another")
		other.CallID, other.From = req.CallID, req.From
		for range 3 {
			if r := w.handle(req); r.Status != 200 {
				w.t.Error(r)
			}
			w.crash()
			w.settleDown()
		}
		w.handle(other)
		if got := w.read("bob"); !slices.Equal(got, []string{"chat-1: [alice]: once", "chat-1: [alice]: another"}) {
			w.t.Errorf("bob got %q", got)
		}
	})
}

// TestUnsettledItemsComeAgain checks that Next returns items until they are settled, in
// the order of their Seqs over all rooms.
func TestUnsettledItemsComeAgain(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("alice", "chat-2", "#create")
		w.must("bob", "chat-2", "#join")
		w.ignore()
		w.offline.Store("bob", true)
		for i := range 10 {
			w.must("alice", fmt.Sprintf("chat-%d", 1+i%2), fmt.Sprint(i))
		}
		next := func(after int64, limit int) []delivery.Item {
			items, err := w.rooms.Next(w.t.Context(), aor("bob"), after, limit)
			if err != nil {
				w.t.Fatal(err)
			}
			return items
		}
		all := next(0, 100)
		if len(all) != 10 {
			w.t.Fatalf("%d items are waiting", len(all))
		}
		for i, it := range all {
			if got := string(it.Body); got != fmt.Sprintf("[alice]: %d", i) {
				w.t.Errorf("item %d is %q", i, got)
			}
		}
		// No item was settled: Next returns the same again.
		if again := next(0, 3); len(again) != 3 || again[2].CallID != all[2].CallID {
			w.t.Errorf("again: %v", again)
		}
		if rest := next(all[6].Key, 100); len(rest) != 3 || rest[0].CallID != all[7].CallID {
			w.t.Errorf("the rest: %v", rest)
		}
		w.rooms.Settle(aor("bob"), &all[0], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
		if now := next(0, 100); len(now) != 9 || now[0].CallID != all[1].CallID {
			w.t.Errorf("after one was settled: %d items", len(now))
		}
		if none := next(all[9].Key, 100); len(none) != 0 {
			w.t.Errorf("after the last: %v", none)
		}
	})
}
