package registrar

import (
	"context"
	"testing"
	"time"

	"silod/sip"
)

// deadStore is a Store that never answers.
type deadStore struct{ saving chan struct{} }

func (d *deadStore) Load(context.Context, time.Time, func(sip.AoR, Binding), func(string), func(error)) error {
	return nil
}

func (d *deadStore) Save(ctx context.Context, _ []Change) error {
	d.saving <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// Refresh runs on the goroutine that reads a socket: it must return at once, whatever the
// store does.
func TestRefreshDoesNotWait(t *testing.T) {
	store := &deadStore{saving: make(chan struct{}, 1)}
	l := New(Options{Store: store}, Settings{})
	bob := sip.AoR{User: "bob", Domain: "example.org"}
	for l.shard(bob) == l.shard(alice) {
		bob.User += "b" // whose REGISTER must not wait for that of alice
	}
	request := func(a sip.AoR, seq uint32, expires int, contacts string) *Register {
		list, err := sip.ParseList(contacts)
		if err != nil {
			t.Fatal(err)
		}
		return &Register{
			AoR: a, CallID: "1", CSeq: seq, Expires: expires, Contacts: list, Flow: func(sip.URI) (sip.Flow, *Error) { return flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), nil },
		}
	}
	refresh := func(r *Register) (res Registered, ok bool, err error) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			res, ok, err = l.Refresh(r)
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("Refresh waits")
		}
		return res, ok, err
	}
	l.adopt(l.shard(bob), &update{aor: bob, bindings: []Binding{{
		Contact: "sip:1@h", Q: 1, CallID: "1", CSeq: 1, Flow: flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), RUID: "1", Expires: time.Now().Add(time.Hour),
	}}})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	go func() {
		_, err := l.Update(ctx, request(alice, 1, 60, "<sip:1@h>"))
		failed <- err
	}()
	<-store.saving

	for _, tc := range []struct {
		name    string
		request *Register
		ok      bool
		refusal string
	}{
		{"the AoR is being written", request(alice, 2, 60, "<sip:1@h>"), false, ""},
		{"a new contact", request(bob, 2, 60, "<sip:2@h>"), false, ""},
		{"a removed contact", request(bob, 2, 0, "<sip:1@h>"), false, ""},
		{"a refresh", request(bob, 2, 600, "<sip:1@h>"), true, ""},
		{"an old request", request(bob, 1, 600, "<sip:1@h>"), true, "500 REGISTER is out of order, a later one was already carried out"},
		{"a removal of all", request(bob, 3, 60, "*"), true, "400 Contact * needs Expires: 0 and no other contact"},
	} {
		res, ok, err := refresh(tc.request)
		if ok != tc.ok || (err != nil) != (tc.refusal != "") || err != nil && err.Error() != tc.refusal {
			t.Errorf("%s: %v, %v", tc.name, ok, err)
		}
		if done := ok && err == nil; done != (len(res.Bindings) == 1) {
			t.Errorf("%s: bindings %v", tc.name, res.Bindings)
		}
	}
	if bs := l.Bindings(bob); len(bs) != 1 || bs[0].CSeq != 2 || time.Until(bs[0].Expires) > 10*time.Minute {
		t.Errorf("bindings %v: a refresh is lost, or more than that was done", bs)
	}
	cancel()
	if err := <-failed; err == nil {
		t.Error("the store failed, and Update did not")
	}
}

// An expired binding that a REGISTER finds is counted once, though Refresh finds it too.
func TestExpiredIsCountedOnce(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 60, "<sip:1@h1>")
	*now = now.Add(time.Minute)
	k.fail = context.DeadlineExceeded
	if _, err := register(t, l, "b", 1, 60, "<sip:2@h2>"); err == nil {
		t.Error("the store failed, and Update did not")
	}
	k.fail = nil
	if _, err := register(t, l, "b", 1, 60, "<sip:2@h2>"); err != nil {
		t.Error(err)
	}
	l.sweep(t.Context())
	if n := l.Expired.Value(); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// Readers have the bindings of the table itself, so no change may write to them.
func TestBindingsAreReplaced(t *testing.T) {
	l, _, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h>", "<sip:2@h>", "<sip:3@h>;expires=60")
	const want = "sip:1@h 600, sip:2@h 600, sip:3@h 60"
	begin := *now
	bs := l.Bindings(alice)
	for _, tc := range []struct {
		name   string
		change func() error
	}{
		{"an appended binding", func() error { _ = append(l.Bindings(alice), Binding{Contact: "sip:4@h"}); return nil }},
		{"a refresh", func() error { _, err := register(t, l, "a", 2, 700, "<sip:1@h>"); return err }},
		{"a new contact", func() error { _, err := register(t, l, "a", 3, 700, "<sip:4@h>"); return err }},
		{"ul_add", func() error {
			return l.put(t.Context(), alice, Binding{Contact: "sip:2@h", Expires: now.Add(time.Hour), RUID: "x"})
		}},
		{"a removed contact", func() error { _, err := register(t, l, "a", 4, 0, "<sip:1@h>"); return err }},
		{"an expired binding", func() error { *now = now.Add(time.Minute); l.sweep(t.Context()); return nil }},
		{"a closed connection", func() error { l.FlowClosed(t.Context(), flowOf("h")); return nil }},
	} {
		if err := tc.change(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := contacts(bs, begin); got != want {
			t.Fatalf("after %s: %s", tc.name, got)
		}
	}
	if bs := l.Bindings(alice); len(bs) >= 3 {
		t.Errorf("%d bindings are left", len(bs))
	}
}

// Expired bindings are left out.
func TestBindingsThatHaveExpired(t *testing.T) {
	l, _, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h>", "<sip:2@h>;expires=60", "<sip:3@h>")
	*now = now.Add(time.Minute)
	for range 2 { // the first does not change the table
		if got := contacts(l.Bindings(alice), *now); got != "sip:1@h 540, sip:3@h 540" {
			t.Errorf("bindings %s", got)
		}
	}
	if _, n := l.Counts(); n != 3 {
		t.Errorf("%d bindings in the table", n)
	}
}
