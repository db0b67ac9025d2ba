package imc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/imc"
	"silod/sip"
)

// onMemory runs f in a bubble with a store that can be made to fail.
func onMemory(t *testing.T, change func(*imc.Config), f func(w *world, st *memStore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		w := newWorld(t, st, change)
		defer func() { w.stop() }()
		f(w, st)
	})
}

// TestStoreFailureChangesNothing checks that while the store fails every request is
// answered 503, no user gets a message, and no state changes in memory or on disk.
func TestStoreFailureChangesNothing(t *testing.T) {
	onMemory(t, nil, func(w *world, st *memStore) {
		t := w.t
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("alice", "chat-1", "#modify bob admin")
		w.must("carol", "chat-1", "#join")
		w.must("alice", "chat-1", "#invite dave")
		w.must("alice", "chat-1", "#ban troll")
		w.ignore()
		list := func() []string {
			w.must("bob", "chat-1", "#list")
			w.must("bob", "chat-1", "#rooms")
			w.must("bob", "chat-1", "#topic")
			w.must("bob", "chat-1", "#history")
			return w.read("bob")
		}
		before := list()
		for _, c := range []struct{ from, text string }{
			{"erin", "#create chat-2"},
			{"erin", "#join"},
			{"alice", "#invite erin"},
			{"alice", "#add erin"},
			{"dave", "#accept"},
			{"dave", "#deny"},
			{"alice", "#remove carol"},
			{"alice", "#remove dave"},
			{"carol", "#exit"},
			{"alice", "#exit"},
			{"alice", "#destroy"},
			{"alice", "#modify carol admin"},
			{"alice", "#modify bob owner"},
			{"alice", "#topic tea"},
			{"alice", "#ban carol"},
			{"alice", "#ban erin"},
			{"alice", "#unban troll"},
			{"alice", "#mute carol"},
			{"alice", "#private"},
			{"bob", "#history"},
			{"bob", "hello"},
		} {
			st.fails = func(string) error { return imc.ErrBusy }
			r := w.say(c.from, "chat-1", c.text)
			st.fails = nil
			if r.Status != 503 || r.RetryAfter <= 0 {
				t.Errorf("%s: %s: %+v", c.from, c.text, r)
			}
			if len(w.inbox) != 0 {
				t.Errorf("%s: %s: messages were sent: %v", c.from, c.text, w.inbox)
			}
			if after := list(); !reflect.DeepEqual(after, before) {
				t.Errorf("%s: %s: changed to\n%s", c.from, c.text, indent(after))
			}
			w.ignore()
		}
		w.crash()
		if after := list(); !reflect.DeepEqual(after, before) {
			t.Errorf("on disk it is\n%s", indent(after))
		}
		// A message that can never be stored is refused.
		st.fails = func(string) error { return imc.ErrInvalid }
		if r := w.say("bob", "chat-1", "hello"); r.Status != 500 || r.Reason != "Message cannot be stored" {
			t.Errorf("%+v", r)
		}
		st.fails = nil
	})
}

// TestCursorsWaitForTheStore checks that deliveries go on while cursors cannot be
// written, and that the cursors are written later.
func TestCursorsWaitForTheStore(t *testing.T) {
	onMemory(t, nil, func(w *world, st *memStore) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		st.fails = func(op string) error {
			if op == "cursors" {
				return errors.New("disk full")
			}
			return nil
		}
		w.must("alice", "chat-1", "one")
		time.Sleep(5 * time.Second)
		w.must("alice", "chat-1", "two")
		time.Sleep(5 * time.Second)
		st.mu.Lock()
		before := st.rooms[aor("chat-1")].members[aor("bob")].Cursor
		st.fails = nil
		st.mu.Unlock()
		time.Sleep(3 * time.Second)
		st.mu.Lock()
		after := st.rooms[aor("chat-1")].members[aor("bob")].Cursor
		st.mu.Unlock()
		if before != 0 || after != 3 {
			w.t.Errorf("bob's cursor was %d, then %d", before, after)
		}
		if got := w.read("bob"); !slices.Equal(got, []string{"chat-1: bob has joined chat-1.", "chat-1: [alice]: one", "chat-1: [alice]: two"}) {
			w.t.Errorf("bob got %q", got)
		}
	})
}

// shuffled is a Store that returns from commits in random order.
type shuffled struct{ imc.Store }

func (s shuffled) Append(ctx context.Context, e *imc.Entry, queued func()) error {
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	err := s.Store.Append(ctx, e, queued)
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	return err
}

// TestFiftySendersAndCrashes has fifty members send concurrently while the daemon is
// killed and devices come and go. Every message that was answered 200 must reach every
// member, in the same order for all, and each sender's in the order of sending.
func TestFiftySendersAndCrashes(t *testing.T) {
	within(t, nil, func(w *world) {
		const users, messages, kills = 50, 30, 4
		t := w.t
		w.wrap, w.page = func(st imc.Store) imc.Store { return shuffled{st} }, 64
		w.restart()
		name := func(i int) string { return fmt.Sprintf("user%d", i) }
		w.must(name(0), "chat-1", "#create")
		for i := 1; i < users; i++ {
			w.must(name(i), "chat-1", "#join")
		}
		w.ignore()

		var mu sync.Mutex
		accepted := map[string]bool{}
		var senders sync.WaitGroup
		current := func() *imc.Service { mu.Lock(); defer mu.Unlock(); return w.rooms }
		for i := range users {
			senders.Go(func() {
				for n := range messages {
					body := fmt.Sprintf("%d says %d", i, n)
					mu.Lock()
					req := w.message(name(i), "chat-1", "text/plain", body)
					mu.Unlock()
					for current().Handle(context.Background(), req).Status != 200 {
						time.Sleep(time.Millisecond) // the daemon is down: the client tries again
					}
					mu.Lock()
					accepted[fmt.Sprintf("[%s]: %s", name(i), body)] = true
					mu.Unlock()
					time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
				}
			})
		}
		done := make(chan struct{})
		go func() { senders.Wait(); close(done) }()
		for k, running := 0, true; running; {
			select {
			case <-done:
				running = false
			case <-time.After(20 * time.Millisecond):
				mu.Lock()
				if k < kills {
					k++
					w.crash()
				}
				w.offline.Store(name(rand.IntN(users)), true)
				w.offline.Delete(name(rand.IntN(users)))
				mu.Unlock()
				w.deliver()
			}
		}
		for i := range users {
			w.online(name(i))
		}

		orders := make([][]string, users)
		for i := range users {
			for _, m := range w.take(name(i)) {
				orders[i] = append(orders[i], string(m.Body))
			}
		}
		for i, got := range orders {
			seen, last := map[string]int{}, map[string]int{}
			for _, line := range got {
				seen[line]++
				var user, n int
				var tag string
				if _, err := fmt.Sscanf(line, "%s %d says %d", &tag, &user, &n); err != nil {
					t.Fatalf("%s got %q", name(i), line)
				}
				if n < last[tag] {
					t.Errorf("%s got %q after number %d", name(i), line, last[tag])
				}
				last[tag] = n
			}
			for line := range accepted {
				own := strings.HasPrefix(line, "["+name(i)+"]")
				if !own && seen[line] != 1 || own && seen[line] != 0 {
					t.Errorf("%s got %q %d times", name(i), line, seen[line])
				}
			}
		}
		common := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(l string) bool {
				return strings.HasPrefix(l, "[user1]") || strings.HasPrefix(l, "[user2]")
			})
		}
		if a, b := common(orders[1]), common(orders[2]); !slices.Equal(a, b) {
			t.Error("two members got the same messages in different orders")
		}
	})
}

// TestLoadOfForeignRows checks Load with rows of other programs.
func TestLoadOfForeignRows(t *testing.T) {
	member := func(user string, role imc.Role) imc.Member { return imc.Member{User: aor(user), Role: role} }
	st := newMemStore()
	for _, c := range []imc.Change{
		{Room: imc.Room{AoR: aor("chat-1")}, Put: []imc.Member{member("alice", imc.Owner), member("bob", imc.Owner), member("carol", imc.Plain)}},
		{Room: imc.Room{AoR: aor("chat-2")}, Put: []imc.Member{member("carol", imc.Plain), member("dave", imc.Admin)}},
		{Room: imc.Room{AoR: aor("chat-3")}},
		{Room: imc.Room{AoR: aor("chat-4")}, Put: []imc.Member{member("erin", imc.Invited)}},
		{Room: imc.Room{AoR: aor("lobby")}, Put: []imc.Member{member("alice", imc.Owner)}},
	} {
		if err := st.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	old := &imc.Entry{Room: aor("chat-1"), From: aor("alice"), At: time.Now()}
	if err := st.Append(t.Context(), old, func() {}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, st, nil)
		defer func() { w.stop() }()
		w.settleDown()
		if len(w.inbox) != 0 {
			t.Errorf("members got old messages: %v", w.inbox)
		}
		w.must("carol", "chat-1", "#list")
		w.must("carol", "chat-2", "#list")
		w.must("alice", "LOBBY", "hello")
		want := []string{"chat-1: Members of chat-1: 3\n*alice\n~bob\ncarol", "chat-2: Members of chat-2: 2\n*dave\ncarol"}
		if got := w.read("carol"); !slices.Equal(got, want) {
			t.Errorf("carol got %q", got)
		}
		// A room without members does not exist: its name is available.
		w.must("zoe", "chat-3", "#create")
		w.must("zoe", "chat-4", "#create")
	})
}

// TestLoadReportsTheStore checks that Load fails if the Store does.
func TestLoadReportsTheStore(t *testing.T) {
	st := newMemStore()
	_ = st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: aor("chat-1")}, Put: []imc.Member{{User: aor("alice"), Role: imc.Owner}}})
	st.fails = func(op string) error {
		if op == "ends" {
			return imc.ErrBusy
		}
		return nil
	}
	s := service(t, st)
	if err := s.Load(t.Context()); !errors.Is(err, imc.ErrBusy) {
		t.Errorf("Load: %v", err)
	}
}

// service returns a Service without a world around it.
func service(t *testing.T, st imc.Store) *imc.Service {
	t.Helper()
	return serviceWith(t, st, nop{})
}

// serviceWith returns a Service with a Waker.
func serviceWith(t testing.TB, st imc.Store, waker imc.Waker) *imc.Service {
	t.Helper()
	set, err := imc.NewSettings(imc.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return imc.New(imc.Options{
		Store: st, Outbox: nop{}, Waker: waker, Log: quiet, Now: time.Now,
		Domains: sip.NewDomains(domain),
	}, set)
}

// nop is an Outbox and a Waker that do nothing.
type nop struct{}

func (nop) Send(context.Context, []im.Outgoing) ([]error, error) { return nil, nil }
func (nop) WakeAll(any, []sip.AoR, sip.AoR)                      {}
