package imc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"silod/imc"
	"silod/sip"
)

// roomOfMany returns a world with the room chat-1 of user0 and other members, all of which are
// offline.
func roomOfMany(t *testing.T, st imc.Store, members int, more ...imc.Member) *world {
	t.Helper()
	var put []imc.Member
	for i := range members {
		put = append(put, imc.Member{User: aor(fmt.Sprint("user", i)), Role: imc.Plain, Seen: time.Now()})
	}
	put[0].Role = imc.Owner
	if err := st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: aor("chat-1"), Created: time.Now()}, Put: append(put, more...)}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, st, nil)
	for i := range members {
		w.offline.Store(fmt.Sprint("user", i), true)
	}
	return w
}

// failAfter makes the calls of an operation fail, except for the first ones.
func (st *memStore) failAfter(calls int, op string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.fails = func(o string) error {
		if o != op {
			return nil
		}
		if calls--; calls >= 0 {
			return nil
		}
		return errors.New("killed")
	}
}

// left returns the rooms, the number of entries, and the cursors of rooms that do not exist.
func (st *memStore) left() (rooms []sip.AoR, entries int, lost []imc.Cursor) {
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.order), len(st.log), slices.Clone(st.lost)
}

func (st *memStore) work() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.fails = nil
}

// A closed room that was moving aside when the daemon was killed loses no message for a member and
// delivers none twice, also after the next kill, and its rows are deleted at last.
func TestMoveAsideIsCompleted(t *testing.T) {
	for _, op := range []string{"apply", "erase"} {
		for calls := range 4 {
			synctest.Test(t, func(t *testing.T) {
				st := newMemStore()
				const members = 160
				w := roomOfMany(t, st, members)
				defer func() { w.stop() }()
				w.must("user0", "chat-1", "last words")
				w.must("user0", "chat-1", "#destroy")
				st.failAfter(calls, op)
				w.say("user0", "chat-1", "#create")
				st.work()
				w.ignore()
				w.online("user7")
				if got := w.read("user7"); len(got) != 2 {
					t.Errorf("user7 got %q", got)
				}
				time.Sleep(time.Second) // the cursor is written
				w.crash()
				time.Sleep(3 * time.Minute) // the room itself is erased
				w.crash()
				for i := range members {
					u := fmt.Sprint("user", i)
					want := []string{"chat-1: [user0]: last words", "chat-1: chat-1 has been destroyed by user0."}
					switch i {
					case 0:
						want = want[1:]
					case 7:
						want = nil
					}
					w.online(u)
					if got := w.read(u); !slices.Equal(got, want) {
						t.Fatalf("%s %d: %s gets %q, want %q", op, calls, u, got, want)
					}
				}
				if w.repeats > 0 {
					t.Errorf("%s %d: %d messages were delivered again", op, calls, w.repeats)
				}
				w.say("user0", "chat-1", "#destroy") // if it was created again
				time.Sleep(3 * time.Minute)
				if rooms, entries, _ := st.left(); len(rooms)+entries > 0 {
					t.Errorf("%s %d: left: %v and %d entries", op, calls, rooms, entries)
				}
			})
		}
	}
}

// readingStore lets a member receive messages before each step of the deletion of a room.
type readingStore struct {
	*memStore
	erasing func()
}

func (st *readingStore) Erase(ctx context.Context, room sip.AoR, limit int) (bool, error) {
	if f := st.erasing; f != nil {
		st.erasing = nil
		f()
	}
	return st.memStore.Erase(ctx, room, limit)
}

// A message that a member receives while a closed room moves aside is not delivered again after the
// next start.
func TestCursorMovesWhileRoomMovesAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &readingStore{memStore: newMemStore()}
		w := roomOfMany(t, st, 10)
		defer func() { w.stop() }()
		w.must("user0", "chat-1", "last words")
		w.must("user0", "chat-1", "#destroy")
		st.erasing = func() {
			w.deliverTo(aor("user7"))
			time.Sleep(time.Second) // the cursor is written
		}
		w.must("user0", "chat-1", "#create")
		if got := w.read("user7"); len(got) != 2 {
			t.Errorf("user7 got %q", got)
		}
		w.crash()
		w.online("user7")
		if w.repeats > 0 {
			t.Errorf("user7 got %d messages again", w.repeats)
		}
	})
}

// A closed room of which only invited users are left, because its deletion has ended early, is
// deleted after the next start. A later room of the name has no invited users from it.
func TestEraseOfInvitedUsersIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		w := roomOfMany(t, st, 150, imc.Member{User: aor("erin"), Role: imc.Invited})
		defer func() { w.stop() }()
		w.must("user0", "chat-1", "#destroy")
		for i := range 150 {
			w.online(fmt.Sprint("user", i))
		}
		st.failAfter(1, "erase")
		time.Sleep(150 * time.Second)
		if rooms, _, _ := st.left(); len(rooms) != 1 {
			t.Fatalf("left: %v", rooms)
		}
		st.work()
		w.crash()
		time.Sleep(2 * time.Minute)
		if rooms, _, _ := st.left(); len(rooms) > 0 {
			t.Errorf("left: %v", rooms)
		}
	})
}

// Members of a room get no message of an earlier room of the name, also when a room in between
// was deleted before that one.
func TestRoomsOfOneNameEndInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemStore(), nil)
		defer func() { w.stop() }()
		generation := func(member string) {
			w.must("alice", "chat-1", "#create")
			if member != "" {
				w.offline.Store(member, true)
				w.must("alice", "chat-1", "#add "+member)
				w.must("alice", "chat-1", "for "+member)
			}
			w.must("alice", "chat-1", "#destroy")
		}
		generation("carol")
		generation("dave")
		w.must("erin", "chat-1", "#create")
		w.online("dave")
		time.Sleep(2 * time.Minute) // the second room is deleted
		w.must("erin", "chat-1", "#destroy")
		time.Sleep(2 * time.Minute) // and the third one
		w.must("erin", "chat-1", "#create")
		w.ignore()
		w.offline.Store("erin", true)
		w.must("alice", "chat-1", "#join")
		w.must("alice", "chat-1", "hello")
		time.Sleep(2 * time.Minute) // the messages are in the store only
		w.online("erin")
		if got, want := w.read("erin"), []string{"chat-1: alice has joined chat-1.", "chat-1: [alice]: hello"}; !slices.Equal(got, want) {
			t.Errorf("erin got %q, want %q", got, want)
		}
	})
}

// A copy of a closed room that ends early is continued by the next #create, and deleted with the
// room if there is none.
func TestMoveAsideContinues(t *testing.T) {
	for _, attempts := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := newMemStore()
			w := roomOfMany(t, st, 450)
			defer func() { w.stop() }()
			w.must("user0", "chat-1", "#destroy")
			status := 0
			for range attempts {
				st.failAfter(1, "apply")
				status = w.say("user0", "chat-1", "#create").Status
			}
			st.work()
			if attempts == 4 && status != 200 {
				t.Errorf("#create was answered %d", status)
			}
			for i := range 450 {
				w.online(fmt.Sprint("user", i))
			}
			time.Sleep(3 * time.Minute)
			if rooms, _, _ := st.left(); len(rooms) != attempts/4 {
				t.Errorf("after %d attempts: left: %v", attempts, rooms)
			}
		})
	}
}

// No cursor is written for a room that was deleted, also if a member has received its last message
// just before.
func TestNoCursorOfDeletedRoom(t *testing.T) {
	for _, before := range []time.Duration{0, time.Millisecond, 499 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			st := newMemStore()
			w := roomOfMany(t, st, 2)
			defer func() { w.stop() }()
			w.must("user0", "chat-1", "#destroy")
			w.online("user0")
			time.Sleep(time.Minute - before)
			w.online("user1")
			time.Sleep(3 * time.Minute)
			if rooms, _, lost := st.left(); len(rooms)+len(lost) > 0 {
				t.Errorf("%v: left: %v, cursors without a room: %v", before, rooms, lost)
			}
		})
	}
}
