package imc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/delivery"
	"silod/imc"
	"silod/sip"
)

// TestSettleOutOfOrder settles some items and leaves others, as the engine does with
// messages that a device refuses for now. No message may be lost, and none may be
// returned again after it was settled, except after a crash.
func TestSettleOutOfOrder(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		onMemory(t, nil, func(w *world, _ *memStore) {
			t := w.t
			w.must("alice", "chat-1", "#create")
			w.must("bob", "chat-1", "#join")
			w.must("carol", "chat-2", "#create")
			w.must("bob", "chat-2", "#join")
			w.ignore()
			w.offline.Store("bob", true)
			said, settled, missing := 0, map[string]bool{}, map[string]bool{}
			for range 300 {
				switch rnd.IntN(8) {
				case 0, 1, 2:
					said++
					body := fmt.Sprint("message ", said)
					if rnd.IntN(2) == 0 {
						w.must("alice", "chat-1", body)
						missing["[alice]: "+body] = true
					} else {
						w.must("carol", "chat-2", body)
						missing["[carol]: "+body] = true
					}
				case 3:
					w.must("bob", "chat-1", "me too")
				case 4:
					if rnd.IntN(10) == 0 {
						w.crash()
						clear(settled)
					}
					time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				default: // a pass of the engine
					for after := int64(0); ; {
						items, err := w.rooms.Next(t.Context(), aor("bob"), after, 1+rnd.IntN(5))
						if err != nil {
							t.Fatal(err)
						}
						if len(items) == 0 {
							break
						}
						for i := range items {
							after = items[i].Key
							body := string(items[i].Body)
							if settled[body] {
								t.Fatalf("%q is returned again", body)
							}
							if rnd.IntN(3) > 0 {
								settled[body] = true
								delete(missing, body)
								w.rooms.Settle(aor("bob"), &items[i], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
							}
						}
						if rnd.IntN(4) == 0 {
							break // the device is gone
						}
					}
				}
			}
			w.online("bob")
			for _, line := range w.read("bob") {
				_, body, _ := strings.Cut(line, ": ")
				delete(missing, body)
			}
			if len(missing) > 0 {
				t.Fatalf("bob never got %v", missing)
			}
			if err := w.rooms.Waiting(t.Context(), func(u sip.AoR) {
				if u == aor("bob") {
					t.Error("messages still wait for bob")
				}
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestUndeliverableMessageIsSkipped checks that a message that is never settled does not
// take memory without limit.
func TestUndeliverableMessageIsSkipped(t *testing.T) {
	onMemory(t, nil, func(w *world, st *memStore) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		w.offline.Store("bob", true)
		w.must("alice", "chat-1", "poison")
		returned := 0
		for i := range 300 {
			w.must("alice", "chat-1", fmt.Sprint(i))
			items, err := w.rooms.Next(w.t.Context(), aor("bob"), 0, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			for i := range items {
				if string(items[i].Body) == "[alice]: poison" {
					returned++
					continue
				}
				w.rooms.Settle(aor("bob"), &items[i], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
			}
		}
		if returned < 200 || returned > 260 {
			w.t.Errorf("it was returned %d times", returned)
		}
		if err := w.rooms.Flush(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if c := st.rooms[aor("chat-1")].members[aor("bob")].Cursor; c != st.seq {
			w.t.Errorf("bob's cursor is %d of %d", c, st.seq)
		}
	})
}

// A hookStore is a Store that calls a function, once, while it writes a change.
type hookStore struct {
	imc.Store
	during atomic.Pointer[func()]
}

func (m *hookStore) Apply(ctx context.Context, c imc.Change) error {
	if f := m.during.Swap(nil); f != nil {
		(*f)()
	}
	return m.Store.Apply(ctx, c)
}

// TestCursorDoesNotGoBackInAChange checks that a cursor that moves while a change of the
// member is written does not go back, in memory or on disk.
func TestCursorDoesNotGoBackInAChange(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		m := &hookStore{}
		w.wrap = func(st imc.Store) imc.Store { m.Store = st; return m }
		w.restart()
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		w.offline.Store("bob", true)
		w.must("alice", "chat-1", "one")
		w.must("alice", "chat-1", "two")
		during := func() {
			w.deliverTo(aor("bob"))
			if err := w.rooms.Flush(w.t.Context()); err != nil {
				w.t.Error(err)
			}
		}
		m.during.Store(&during)
		w.must("alice", "chat-1", "#modify bob admin")
		before := w.repeats
		w.online("bob")
		w.crash()
		w.settleDown()
		want := []string{"chat-1: [alice]: one", "chat-1: [alice]: two", "chat-1: bob is now admin of chat-1."}
		if got := w.read("bob"); !slices.Equal(got, want) {
			w.t.Errorf("bob got %q", got)
		}
		if w.repeats-before != 2 { // the notice to both members, because the crash lost their cursors
			w.t.Errorf("%d messages came again", w.repeats-before)
		}
	})
}

// TestSeenWhileBeingPaused checks that a member whose device answers while its pause is
// written is not paused, in memory or on disk.
func TestSeenWhileBeingPaused(t *testing.T) {
	onMemory(t, func(c *imc.Config) { c.PauseAfter = 10 * time.Hour }, func(w *world, st *memStore) {
		m := &hookStore{}
		w.wrap = func(st imc.Store) imc.Store { m.Store = st; return m }
		w.restart()
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		w.offline.Store("bob", true)
		w.must("alice", "chat-1", "one")
		during := func() { w.deliverTo(aor("bob")) }
		m.during.Store(&during)
		time.Sleep(12 * time.Hour)
		w.offline.Delete("bob")
		w.must("alice", "chat-1", "two")
		if got := w.read("bob"); !slices.Equal(got, []string{"chat-1: [alice]: one", "chat-1: [alice]: two"}) {
			w.t.Errorf("bob got %q", got)
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.rooms[aor("chat-1")].members[aor("bob")].Paused {
			w.t.Error("bob is paused on disk")
		}
	})
}
