package imc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/delivery"
	"silod/imc"
	"silod/sip"
)

// devices plays the devices of the users.
type devices struct {
	*world
	offline bool
}

func (d devices) Send(_ context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	if d.offline {
		return delivery.Outcome{Verdict: delivery.Offline}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive(owner, it.Message)
	return delivery.Outcome{Verdict: delivery.Delivered}
}

func (d devices) Alive(context.Context, sip.AoR, []string) bool { return true }

// next returns the items that wait for a user.
func (w *world) next(user string) []delivery.Item {
	w.t.Helper()
	items, err := w.rooms.Next(w.t.Context(), aor(user), 0, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return items
}

// withdrawn returns how many of some items must not be sent any more.
func withdrawn(items []delivery.Item) int {
	n := 0
	for i := range items {
		if items[i].Withdrawn() {
			n++
		}
	}
	return n
}

// TestItemsOfALeavingMemberAreWithdrawn checks that items that were read before a member left are not
// sent, also after it has joined again.
func TestItemsOfALeavingMemberAreWithdrawn(t *testing.T) {
	for _, way := range []struct{ by, text string }{
		{"alice", "#remove bob"}, {"alice", "#ban bob"}, {"bob", "#exit"},
	} {
		within(t, nil, func(w *world) {
			w.must("alice", "chat-1", "#create")
			w.must("bob", "chat-1", "#join")
			w.offline.Store("bob", true)
			for i := range 5 {
				w.must("alice", "chat-1", fmt.Sprint(i))
			}
			items := w.next("bob")
			if len(items) != 5 || withdrawn(items) != 0 {
				w.t.Fatalf("%d items wait, %d are withdrawn", len(items), withdrawn(items))
			}
			w.must(way.by, "chat-1", way.text)
			if n := withdrawn(items); n != 5 {
				w.t.Errorf("%s: %d of 5 items are withdrawn", way.text, n)
			}
			w.must("alice", "chat-1", "meanwhile")
			w.say("alice", "chat-1", "#unban bob")
			w.must("bob", "chat-1", "#join")
			w.must("alice", "chat-1", "welcome")
			if n := withdrawn(items); n != 5 {
				w.t.Errorf("%s: %d of 5 items are withdrawn after bob has joined again", way.text, n)
			}
			w.ignore()
			w.online("bob")
			if got := w.read("bob"); !slices.Equal(got, []string{"chat-1: bob has joined chat-1.", "chat-1: [alice]: welcome"}) {
				w.t.Errorf("%s: bob got %q", way.text, got)
			}
		})
	}
}

// recentStore runs a function while a history is being read.
type recentStore struct {
	imc.Store
	during func()
}

func (st *recentStore) Recent(ctx context.Context, room sip.AoR, after int64, since time.Time, limit int) ([]imc.Entry, error) {
	es, err := st.Store.Recent(ctx, room, after, since, limit)
	if f := st.during; f != nil {
		st.during = nil
		f()
	}
	return es, err
}

// TestMemberLeavesWhileItsHistoryIsRead checks that a user that is removed, or joins again, while its
// #history is being read does not get what it may not read any more.
func TestMemberLeavesWhileItsHistoryIsRead(t *testing.T) {
	onMemory(t, nil, func(w *world, _ *memStore) {
		st := &recentStore{}
		w.wrap = func(s imc.Store) imc.Store { st.Store = s; return st }
		w.restart()
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("alice", "chat-1", "secret")
		w.ignore()
		by := func(from, text string) {
			if r := w.rooms.Handle(w.t.Context(), w.message(from, "chat-1", "text/plain", text)); r.Status != 200 {
				w.t.Error(r)
			}
		}
		st.during = func() { by("alice", "#remove bob") }
		if r := w.say("bob", "chat-1", "#history"); r.Reason != "Not a member" {
			w.t.Errorf("%+v", r)
		}
		w.must("bob", "chat-1", "#join")
		st.during = func() { by("alice", "#remove bob"); by("bob", "#join") }
		w.must("bob", "chat-1", "#history")
		for _, line := range w.read("bob") {
			if strings.Contains(line, "secret") || strings.Contains(line, "Messages in") {
				w.t.Errorf("bob got %q", line)
			}
		}
	})
}

// TestOutsidersSeeNoPrivateRoom checks that every request of a user that is neither a member of a
// private room nor invited is answered as for a name without a room, byte for byte. Only joining and
// creating, which would create the other room, are refused.
func TestOutsidersSeeNoPrivateRoom(t *testing.T) {
	commands := []string{
		"hello", "#accept", "#deny", "#reject", "#invite bob", "#invite alice", "#add bob", "#remove alice", "#exit", "#leave", "#list",
		"#members", "#destroy", "#modify alice member", "#modify mallory owner", "#topic", "#topic tea", "#history", "#history 5",
		"#history since 2h", "#ban alice", "#unban mallory", "#mute alice", "#unmute alice", "#private", "#public", "#catchup 5", "#catchup all",
		"#openhistory", "#closehistory", "#help", "#nonsense", "#", "", "#join nonsense", "#list a b c", "#rooms", "#rooms ROOM", "#rooms chat-0",
		"#bans ROOM bob", "#ban bob ROOM spam", "#mute bob ROOM spam", "#nick Zed ROOM more",
	}
	for _, create := range []bool{true, false} {
		within(t, func(c *imc.Config) {
			c.CreateOnJoin = create
			if !create {
				c.Creators = []string{"sip:alice@" + domain}
			}
		}, func(w *world) {
			w.must("alice", "chat-1", "#create chat-1 private")
			w.must("alice", "chat-1", "#ban troll")
			w.must("alice", "chat-1", "#add former")
			w.must("alice", "chat-1", "#mute former")
			w.must("former", "chat-1", "#exit")
			w.must("alice", "chat-1", "#invite guest")
			w.must("alice", "chat-1", "#remove guest")
			w.must("alice", "chat-3", "#create")
			w.must("alice", "chat-9", "#create")
			w.must("alice", "chat-9", "#add mallory")
			w.must("alice", "chat-9", "#modify mallory admin")
			asks := commands
			if !create {
				asks = append(slices.Clone(commands), "#join", "#create", "#create ROOM private", "#join ROOM")
			}
			for _, user := range []string{"mallory", "troll", "former", "guest", "zoe@far.test"} {
				for _, text := range asks {
					for _, to := range []string{"ROOM", "chat-manager", "chat-9"} {
						if to == "chat-9" && !strings.Contains(text, "ROOM") {
							continue
						}
						answer := func(room string) string {
							w.ignore()
							r := w.say(user, strings.ReplaceAll(to, "ROOM", room), strings.ReplaceAll(text, "ROOM", room))
							return strings.ReplaceAll(fmt.Sprintf("%+v %q", r, w.read(user)), room, "ROOM")
						}
						if private, none := answer("chat-1"), answer("chat-2"); private != none {
							w.t.Errorf("%s -> %s: %s:\n%s\n%s", user, to, text, private, none)
						}
					}
				}
			}
		})
	}
}

// TestCatchUpOfALongLog checks #catchup with more entries than fit a page, while others write and
// the member writes itself.
func TestCatchUpOfALongLog(t *testing.T) {
	within(t, func(c *imc.Config) { c.CatchUpMax = 10 }, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.offline.Store("bob", true)
		var want []string
		for i := range 300 {
			text := fmt.Sprint(i)
			w.must("alice", "chat-1", text)
			want = append(want, "chat-1: [alice]: "+text)
		}
		w.must("bob", "chat-1", "my own")
		w.ignore()
		w.online("bob")
		w.settleDown()
		got, notices := w.read("bob"), 0
		words := slices.DeleteFunc(slices.Clone(got), func(line string) bool {
			told := strings.HasPrefix(line, "chat-1: Earlier messages in chat-1 were skipped: 291.")
			if told {
				notices++
			}
			return told
		})
		if !slices.Equal(words, want[291:]) || notices != 1 {
			w.t.Errorf("bob got %q", got)
		}
		w.must("alice", "chat-1", "new")
		w.must("bob", "chat-1", "#catchup all")
		got = w.read("bob")
		got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "chat-1: You get") })
		if len(got) < 3 || got[0] != "chat-1: [alice]: new" || !slices.Equal(got[1:], want[:291]) {
			w.t.Errorf("bob got %d messages, %q", len(got), got[:min(3, len(got))])
		}
		if n := len(w.next("bob")); n != 0 || w.repeats != 0 {
			w.t.Errorf("%d messages wait, %d came again", n, w.repeats)
		}
		w.must("bob", "chat-1", "#catchup all")
		if got := w.read("bob"); len(got) != 1 || !strings.Contains(got[0], "were skipped for you") {
			w.t.Errorf("bob got %q", got)
		}
	})
}

// TestCatchUpWhileTheStoreFails checks that a member gets all messages if the database cannot say
// which ones are the last.
func TestCatchUpWhileTheStoreFails(t *testing.T) {
	onMemory(t, func(c *imc.Config) { c.CatchUpMax = 1 }, func(w *world, st *memStore) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.offline.Store("bob", true)
		w.must("alice", "chat-1", "one")
		w.must("alice", "chat-1", "two")
		w.ignore()
		st.fails = func(string) error { return errors.New("disk full") }
		w.online("bob")
		st.fails = nil
		if got := w.read("bob"); !slices.Equal(got, []string{"chat-1: [alice]: one", "chat-1: [alice]: two"}) {
			w.t.Errorf("bob got %q", got)
		}
	})
}

// TestSlowMemberMissesNothing checks that CatchUpMax does not concern a member that was online all
// the time, also over a crash.
func TestSlowMemberMissesNothing(t *testing.T) {
	onMemory(t, func(c *imc.Config) { c.CatchUpMax = 5 }, func(w *world, _ *memStore) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		for i := range 20 {
			if r := w.rooms.Handle(w.t.Context(), w.message("alice", "chat-1", "text/plain", fmt.Sprint(i))); r.Status != 200 {
				w.t.Fatal(r)
			}
		}
		w.crash()
		w.settleDown()
		if got := w.read("bob"); len(got) != 20 {
			w.t.Errorf("bob got %q", got)
		}
	})
}
