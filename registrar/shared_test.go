package registrar

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

	"silod/sip"
)

// A sharedTable is a store that another program writes as well. Its slices have two rows.
type sharedTable struct {
	mu   sync.Mutex
	rows []sharedRow // in the order of their numbers
	last int64
}

type sharedRow struct {
	id  int64
	aor sip.AoR
	b   Binding
}

// write adds or changes a row, as another program does.
func (k *sharedTable) write(a sip.AoR, b Binding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.rows, func(r sharedRow) bool { return r.b.RUID == b.RUID }); i >= 0 {
		k.rows[i].b = b
		return
	}
	k.last++
	k.rows = append(k.rows, sharedRow{k.last, a, b})
}

func (k *sharedTable) delete(ruid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rows = slices.DeleteFunc(k.rows, func(r sharedRow) bool { return r.b.RUID == ruid })
}

func (k *sharedTable) has(ruid string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.rows, func(r sharedRow) bool { return r.b.RUID == ruid })
}

func (k *sharedTable) snapshot() []sharedRow {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.rows)
}

func (k *sharedTable) Load(_ context.Context, now time.Time, f func(sip.AoR, Binding), stale func(string), _ func(error)) error {
	for _, r := range k.snapshot() {
		switch {
		case r.b.Expires.After(now):
			f(r.aor, r.b)
		case strings.HasPrefix(r.b.RUID, RUIDPrefix):
			stale(r.b.RUID)
		}
	}
	return nil
}

func (k *sharedTable) Save(_ context.Context, cs []Change) error {
	for _, c := range cs {
		if c.Removed {
			k.delete(c.Binding.RUID)
		} else {
			k.write(c.AoR, c.Binding)
		}
	}
	return nil
}

func (k *sharedTable) LastRow(context.Context) (last int64, err error) {
	for _, r := range k.snapshot() {
		last = max(last, r.id)
	}
	return last, nil
}

func (k *sharedTable) Others(_ context.Context, after int64, f func(sip.AoR, Binding), skip func(error)) (int64, error) {
	n, last := 0, after
	for _, r := range k.snapshot() {
		if r.id <= after || n == 2 {
			continue
		}
		n, last = n+1, r.id
		switch {
		case strings.HasPrefix(r.b.RUID, "bad"):
			skip(errors.New("bad row"))
		case !strings.HasPrefix(r.b.RUID, RUIDPrefix):
			f(r.aor, r.b)
		}
	}
	return last, nil
}

func (k *sharedTable) Rows(_ context.Context, ruids []string, f func(sip.AoR, Binding), _ func(error)) error {
	for _, r := range k.snapshot() {
		if slices.Contains(ruids, r.b.RUID) {
			f(r.aor, r.b)
		}
	}
	return nil
}

func (k *sharedTable) DeleteExpired(_ context.Context, before time.Time) (n int, err error) {
	for _, r := range k.snapshot() {
		if r.b.Expires.Before(before) {
			k.delete(r.b.RUID)
			n++
		}
	}
	return n, nil
}

// shared runs a test with a table that runs and has loaded its store.
func shared(t *testing.T, f func(t *testing.T, l *Location, k *sharedTable, changed func() []string)) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var users []string
		k := &sharedTable{}
		k.write(alice, theirs("uloc-0", "sip:a@192.0.2.1", time.Hour))
		l := New(Options{Store: k, Shared: k, Changed: func(a sip.AoR) {
			mu.Lock()
			defer mu.Unlock()
			users = append(users, a.User)
		}}, Settings{})
		if _, err := l.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, f.Transport == sip.UDP }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		f(t, l, k, func() []string {
			mu.Lock()
			defer mu.Unlock()
			out := users
			users = nil
			return out
		})
		cancel()
		<-done
	})
}

// theirs returns a binding of another program.
func theirs(ruid, contact string, life time.Duration) Binding {
	now := time.Now()
	return Binding{RUID: ruid, Contact: contact, Expires: now.Add(life), Modified: now, Q: 1, CallID: ruid}
}

func held(l *Location, a sip.AoR) string {
	var list []string
	for _, b := range l.Bindings(a) {
		list = append(list, b.RUID+" "+b.Contact)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// Rows that another program writes, changes and deletes are followed.
func TestRowsOfOthers(t *testing.T) {
	shared(t, func(t *testing.T, l *Location, k *sharedTable, changed func() []string) {
		expect := func(want, users string) {
			t.Helper()
			time.Sleep(watchInterval + 5*time.Second)
			if got := held(l, alice); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := strings.Join(changed(), ","); got != users {
				t.Errorf("users told: %q, want %q", got, users)
			}
		}
		expect("uloc-0 sip:a@192.0.2.1", "")
		for i := range 5 { // more than a slice
			k.write(alice, theirs(fmt.Sprint("silod-x", i), "sip:x@192.0.2.9", time.Hour)) // not of others
		}
		k.write(alice, theirs("uloc-1", "sip:b@192.0.2.1", time.Hour))
		expect("uloc-0 sip:a@192.0.2.1, uloc-1 sip:b@192.0.2.1", "alice")
		k.write(alice, theirs("uloc-1", "sip:b@192.0.2.1", 2*time.Hour)) // a refresh
		expect("uloc-0 sip:a@192.0.2.1, uloc-1 sip:b@192.0.2.1", "")
		if bs := l.Bindings(alice); time.Until(bs[1].Expires) < time.Hour {
			t.Error("the refresh was not seen")
		}
		k.write(alice, theirs("uloc-1", "sip:c@192.0.2.1", time.Hour)) // a new address
		expect("uloc-0 sip:a@192.0.2.1, uloc-1 sip:c@192.0.2.1", "alice")
		gone := theirs("uloc-2", "sip:d@192.0.2.1", time.Hour)
		gone.Flow = flow("tcp:192.0.2.1:5060>203.0.113.1:40000#9")
		k.write(alice, gone) // its connection is that of another program
		k.write(alice, theirs("uloc-3", "sip:e@192.0.2.1", -time.Second))
		k.write(alice, theirs("bad-4", "", time.Hour))
		k.delete("uloc-0")
		expect("uloc-1 sip:c@192.0.2.1", "alice")
		if !k.has("uloc-2") || !k.has("uloc-3") || !k.has("bad-4") {
			t.Error("a row of another program was deleted")
		}
		// A program with another time zone may have written these.
		k.write(alice, theirs("uloc-3", "sip:e@192.0.2.1", -25*time.Hour))
		k.write(alice, theirs("uloc-4", "sip:e@192.0.2.1", -expiredGrace))
		time.Sleep(expiredPass + time.Second)
		if !k.has("uloc-3") || k.has("uloc-4") {
			t.Errorf("rows after %v: %v, %v", expiredGrace, k.has("uloc-3"), k.has("uloc-4"))
		}
	})
}

// A number that was used before, as in SQLite, and a row that was written late.
func TestRowsWithLowNumbers(t *testing.T) {
	shared(t, func(t *testing.T, l *Location, k *sharedTable, _ func() []string) {
		time.Sleep(25 * time.Second)
		k.delete("uloc-0")
		k.last = 0
		k.write(alice, theirs("uloc-9", "sip:z@192.0.2.1", time.Hour))
		time.Sleep(15 * time.Second)
		if got := held(l, alice); got != "uloc-9 sip:z@192.0.2.1" {
			t.Errorf("got %q", got)
		}
	})
}

// A binding of another program that a device registers with silod is silod's from then on, until
// the other program writes the row again. Equal contacts of both are one binding.
func TestBindingsTakenOver(t *testing.T) {
	shared(t, func(t *testing.T, l *Location, k *sharedTable, _ func() []string) {
		reg := func(callID string, contact string) {
			t.Helper()
			list, err := sip.ParseList(contact)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Update(t.Context(), &Register{
				AoR: alice, CallID: callID, CSeq: 1, Expires: 600, Contacts: list,
				Flow: func(u sip.URI) (sip.Flow, *Error) { return flowOf(u.HostPort()), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		reg("x", "<sip:a@192.0.2.1>")
		k.delete("uloc-0") // another program's late deletion of what it knew
		time.Sleep(30 * time.Second)
		if got := held(l, alice); got != "uloc-0 sip:a@192.0.2.1" {
			t.Errorf("after a REGISTER: %q", got)
		}
		reg("y", "<sip:b@192.0.2.1>")
		own := held(l, alice)
		old := theirs("uloc-5", "sip:b@192.0.2.1", time.Hour)
		old.Modified = old.Modified.Add(-time.Minute)
		k.write(alice, old)
		time.Sleep(30 * time.Second)
		if got := held(l, alice); got != own {
			t.Errorf("an older row has changed %q to %q", own, got)
		}
		k.write(alice, theirs("uloc-6", "sip:b@192.0.2.1", time.Hour)) // the phone has moved
		time.Sleep(30 * time.Second)
		if got := held(l, alice); got != "uloc-0 sip:a@192.0.2.1, uloc-6 sip:b@192.0.2.1" {
			t.Errorf("after a newer row: %q", got)
		}
		if n := len(slices.DeleteFunc(k.snapshot(), func(r sharedRow) bool { return !strings.HasPrefix(r.b.RUID, RUIDPrefix) })); n != 0 {
			t.Errorf("%d rows of silod are left", n)
		}
	})
}

// The row of a binding that is about to end is read again: its program may have extended it.
func TestExtendedByOthers(t *testing.T) {
	shared(t, func(t *testing.T, l *Location, k *sharedTable, changed func() []string) {
		for i := range 2000 { // passes over the table are long
			k.write(sip.AoR{User: "u", Domain: fmt.Sprint(i)}, theirs(fmt.Sprint("silod-", i), "sip:x@192.0.2.1", time.Hour))
		}
		k.write(alice, theirs("uloc-0", "sip:a@192.0.2.1", time.Minute))
		time.Sleep(50 * time.Second)
		k.write(alice, theirs("uloc-0", "sip:a@192.0.2.1", time.Minute))
		for range 25 {
			time.Sleep(time.Second)
			if got := held(l, alice); got == "" {
				t.Error("the binding has ended")
			}
		}
		time.Sleep(45 * time.Second)
		if got := held(l, alice); got != "" {
			t.Errorf("the binding has not ended: %q", got)
		}
		if !k.has("uloc-0") {
			t.Error("the row was deleted at once")
		}
	})
}
