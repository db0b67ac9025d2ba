package imc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/imc"
	"silod/sip"
)

// answers is an Outbox that keeps the messages of one user.
type answers struct {
	mu   sync.Mutex
	user sip.AoR
	got  []string
}

func (a *answers) Send(_ context.Context, ms []im.Outgoing) ([]error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range ms {
		if ms[i].To == a.user {
			a.got = append(a.got, string(ms[i].Body))
		}
	}
	return nil, nil
}

// take returns the messages since the last call.
func (a *answers) take() []string {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

// serve runs a Service on a Store until the test ends.
func serve(t *testing.T, st imc.Store, user string, change func(*imc.Config)) (*imc.Service, *answers) {
	t.Helper()
	c := imc.DefaultConfig()
	if change != nil {
		change(&c)
	}
	set, err := imc.NewSettings(c)
	if err != nil {
		t.Fatal(err)
	}
	box := &answers{user: aor(user)}
	s := imc.New(imc.Options{Store: st, Outbox: box, Waker: nop{}, Log: quiet, Now: time.Now, Domains: domains}, set)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, box
}

// command returns a request to a room.
func command(from, room, text string) imc.Request {
	req := said(from, text)
	req.Room, req.CallID = aor(room), fmt.Sprint(from, room, text)
	return req
}

// TestListOfManyRooms checks that #rooms is one message however many rooms there are, and that the
// command in its last line shows the next ones, up to all that the user can see.
func TestListOfManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newMemStore()
		const rooms = 1000
		for i := range rooms {
			put := []imc.Member{{User: aor(fmt.Sprint("u", i)), Role: imc.Owner}}
			switch i {
			case 10:
				put = append(put, imc.Member{User: aor("bob"), Role: imc.Plain})
			case 20:
				put = append(put, imc.Member{User: aor("bob"), Role: imc.Invited})
			case 30:
				put = append(put, imc.Member{User: aor("bob"), Role: imc.Banned})
			}
			c := imc.Change{Room: imc.Room{AoR: aor(fmt.Sprint("chat-", i)), Private: i%10 == 0, Topic: strings.Repeat("é", i%90)}, Put: put}
			if err := st.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		s, box := serve(t, st, "bob", nil)
		seen := map[string]bool{}
		for next := "#rooms"; next != ""; {
			if r := s.Handle(t.Context(), command("bob", "chat-1", next)); r.Status != 200 {
				t.Fatal(next, r)
			}
			got := box.take()
			if len(got) != 1 || len(got[0]) > 1000 {
				t.Fatalf("%s: %d messages: %q", next, len(got), got)
			}
			lines := strings.Split(got[0], "\n")
			if want := fmt.Sprint("Rooms: ", 902-len(seen)); lines[0] != want {
				t.Errorf("%s: %q, want %q", next, lines[0], want)
			}
			next = ""
			for _, line := range lines[1:] {
				if _, more, found := strings.Cut(line, " more: "); found {
					next = more
					continue
				}
				name, _, _ := strings.Cut(line, " ")
				if seen[name] {
					t.Errorf("%s is shown twice", name)
				}
				seen[name] = true
			}
		}
		if len(seen) != 902 || !seen["chat-10"] || !seen["chat-20"] || seen["chat-30"] || seen["chat-40"] {
			t.Errorf("%d rooms are shown", len(seen))
		}
		// A change of a room changes the list.
		for _, c := range []string{"#accept chat-20", "#leave chat-20", "#leave chat-10"} {
			s.Handle(t.Context(), command("bob", "chat-manager", c))
		}
		s.Handle(t.Context(), command("u1", "chat-1", "#private"))
		s.Handle(t.Context(), command("u2", "chat-2", "#destroy"))
		box.take()
		s.Handle(t.Context(), command("bob", "chat-3", "#rooms"))
		if got := box.take(); len(got) != 1 || !strings.HasPrefix(got[0], "Rooms: 898\n") {
			t.Errorf("%q", got)
		}
	})
}

// countingStore counts the positions that are read and the calls that read any.
type countingStore struct {
	*memStore
	mu          sync.Mutex
	reads, rows int
}

func (st *countingStore) Positions(ctx context.Context, room sip.AoR, after int64, limit int) ([]imc.Position, error) {
	ps, err := st.memStore.Positions(ctx, room, after, limit)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.reads++
	st.rows += len(ps)
	return ps, err
}

func (st *countingStore) take() (reads, rows int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	reads, rows = st.reads, st.rows
	st.reads, st.rows = 0, 0
	return reads, rows
}

// TestPurgeReadsNoEntryTwice checks that entries that a member has not got are passed over once,
// and are found and deleted when the member has them.
func TestPurgeReadsNoEntryTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &countingStore{memStore: newMemStore()}
		for _, room := range []string{"chat-1", "chat-2"} {
			c := imc.Change{Room: imc.Room{AoR: aor(room)}, Put: []imc.Member{{User: aor("alice"), Role: imc.Owner, Seen: time.Now()}}}
			if room == "chat-2" {
				c.Put = append(c.Put, imc.Member{User: aor("bob"), Role: imc.Plain, Seen: time.Now()})
			}
			if err := st.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		s, _ := serve(t, st, "bob", func(c *imc.Config) { c.History = 0 })
		const each = 700
		for i := range each {
			for _, room := range []string{"chat-1", "chat-2"} {
				if r := s.Handle(t.Context(), command("alice", room, fmt.Sprint("message ", i))); r.Status != 200 {
					t.Fatal(r)
				}
			}
		}
		minutes := func(n int) (reads, rows int) {
			st.take()
			time.Sleep(time.Duration(n)*time.Minute + 30*time.Second)
			synctest.Wait()
			return st.take()
		}
		if _, rows := minutes(1); rows != 2*each || len(st.logOf(aor("chat-1"))) != 0 || len(st.logOf(aor("chat-2"))) != each {
			t.Errorf("%d rows were read, %d and %d are left", rows, len(st.logOf(aor("chat-1"))), len(st.logOf(aor("chat-2"))))
		}
		if reads, rows := minutes(10); reads != 0 || rows != 0 {
			t.Errorf("%d reads of %d rows although nothing can be deleted", reads, rows)
		}
		for after := int64(0); ; {
			items, err := s.Next(t.Context(), aor("bob"), after, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(items) == 0 {
				break
			}
			for i := range items {
				after = items[i].Key
				s.Settle(aor("bob"), &items[i], delivery.Outcome{Verdict: delivery.Delivered}, func(error) {})
			}
		}
		if _, rows := minutes(1); rows != each || len(st.logOf(aor("chat-2"))) != 0 {
			t.Errorf("%d rows were read, %d are left", rows, len(st.logOf(aor("chat-2"))))
		}
		if reads, rows := minutes(10); reads != 0 || rows != 0 {
			t.Errorf("%d reads of %d rows of an empty log", reads, rows)
		}
	})
}

// frozenStore is a Store whose histories are not read before the time limit.
type frozenStore struct {
	*memStore
	mu     sync.Mutex
	frozen bool
	reads  int // at the same time
	most   int
}

func (st *frozenStore) Recent(ctx context.Context, room sip.AoR, after int64, since time.Time, limit int) ([]imc.Entry, error) {
	st.mu.Lock()
	frozen := st.frozen
	if frozen {
		st.reads++
		st.most = max(st.most, st.reads)
	}
	st.mu.Unlock()
	if frozen {
		<-ctx.Done()
		st.mu.Lock()
		st.reads--
		st.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", imc.ErrBusy, ctx.Err())
	}
	return st.memStore.Recent(ctx, room, after, since, limit)
}

// TestHistoryOfFrozenStore checks that histories that are not read do not delay others: few are
// read at a time, each user reads one, all end after their time limit, and meanwhile messages
// and changes of the same room are accepted.
func TestHistoryOfFrozenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &frozenStore{memStore: newMemStore()}
		c := imc.Change{Room: imc.Room{AoR: aor("chat-1")}}
		for i := range 100 {
			c.Put = append(c.Put, imc.Member{User: aor(fmt.Sprint("user", i)), Role: imc.Plain, Seen: time.Now()})
		}
		c.Put[0].Role = imc.Owner
		if err := st.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		s, box := serve(t, st, "user1", nil)
		st.mu.Lock()
		st.frozen = true
		st.mu.Unlock()
		begin := time.Now()
		var mu sync.Mutex
		replies := map[string]int{}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				r := s.Handle(t.Context(), command(fmt.Sprint("user", i%100), "chat-1", fmt.Sprint("#history ", 1+i)))
				mu.Lock()
				defer mu.Unlock()
				replies[fmt.Sprint(r.Status, " ", r.Reason)]++
				if took := time.Since(begin); took > 10*time.Second {
					t.Errorf("an answer after %v: %+v", took, r)
				}
			})
		}
		synctest.Wait()
		for _, text := range []string{"hello", "#topic tea"} {
			if r := s.Handle(t.Context(), command("user0", "chat-1", text)); r.Status != 200 || time.Since(begin) > 0 {
				t.Errorf("%s: %+v after %v", text, r, time.Since(begin))
			}
		}
		all.Wait()
		if st.most > 2 || replies["503 The history cannot be read now, try again"] < 100 || replies["500 Last request not answered yet"] < 60 {
			t.Errorf("%d reads at a time; answers: %v", st.most, replies)
		}
		st.mu.Lock()
		st.frozen = false
		st.mu.Unlock()
		box.take()
		if r := s.Handle(t.Context(), command("user1", "chat-1", "#history")); r.Status != 200 {
			t.Error(r)
		}
		if got := box.take(); len(got) != 1 || !strings.Contains(got[0], "hello") {
			t.Errorf("user1 got %q", got)
		}
	})
}

// TestEraseIsResumed checks that a closed room whose copy is incomplete, because the daemon was
// killed while the room moved aside, loses no message for a member.
func TestEraseIsResumed(t *testing.T) {
	for _, op := range []string{"apply", "erase"} {
		for steps := range 4 {
			synctest.Test(t, func(t *testing.T) {
				st := newMemStore()
				members := make([]imc.Member, 250)
				for i := range members {
					members[i] = imc.Member{User: aor(fmt.Sprint("user", i)), Role: imc.Plain, Seen: time.Now()}
				}
				members[0].Role = imc.Owner
				if err := st.Apply(t.Context(), imc.Change{Room: imc.Room{AoR: aor("chat-1")}, Put: members}); err != nil {
					t.Fatal(err)
				}
				s, _ := serve(t, st, "user1", nil)
				s.Handle(t.Context(), command("user0", "chat-1", "last words"))
				s.Handle(t.Context(), command("user0", "chat-1", "#destroy"))
				n := 0
				st.mu.Lock()
				st.fails = func(o string) error {
					if o == op {
						n++
					}
					if n > steps {
						return errors.New("killed")
					}
					return nil
				}
				st.mu.Unlock()
				s.Handle(t.Context(), command("user0", "chat-1", "#create"))
				st.mu.Lock()
				st.fails = nil
				st.mu.Unlock()
				s, _ = serve(t, st, "user1", nil)
				for _, m := range members[1:] {
					items, err := s.Next(t.Context(), m.User, 0, 10)
					if err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, it := range items {
						got = append(got, string(it.Body))
					}
					if want := []string{"[user0]: last words", "chat-1 has been destroyed by user0."}; !slices.Equal(got, want) {
						t.Fatalf("%s %d: %v gets %q, want %q", op, steps, m.User, got, want)
					}
				}
			})
		}
	}
}
