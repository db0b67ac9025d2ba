package silo_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/delivery"
	"silod/silo"
	"silod/sip"
)

// A home is the registered devices of bob.
type home struct{ names atomic.Pointer[[]string] }

func (h *home) register(names ...string) { h.names.Store(&names) }

func (h *home) devices(sip.AoR) []delivery.Device {
	var list []delivery.Device
	for _, name := range *h.names.Load() {
		list = append(list, delivery.Device{Name: name})
	}
	return list
}

func newHome(t *testing.T, names ...string) (*box, *home) {
	h := &home{}
	h.register(names...)
	return newBox(t, silo.Settings{}, func(o *silo.Options) { o.Devices = h.devices }), h
}

// addressed returns the waiting messages, each with the devices that it is for.
func (b *box) addressed() string {
	b.t.Helper()
	var list []string
	for _, it := range b.waiting(bob) {
		s := string(it.Body)
		for _, d := range it.Devices {
			s += " " + d.Name
		}
		if it.Partial {
			s += " only"
		}
		if !it.PerDevice {
			b.t.Error("refusals of devices are not expected")
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func refusals(reason string, names ...string) []delivery.Refusal {
	var list []delivery.Refusal
	for _, name := range names {
		list = append(list, delivery.Refusal{Device: name, Reason: reason})
	}
	return list
}

// A message is for the registered devices that have not refused it.
func TestMessagesForOtherDevices(t *testing.T) {
	b, h := newHome(t, "a", "b")
	b.put(text("1"))
	b.put(text("2"))
	for _, step := range []struct {
		registered []string
		refuse     []string // the first waiting message
		verdict    delivery.Verdict
		want       string
	}{
		{[]string{"a", "b"}, []string{"a"}, delivery.Undelivered, "1 b only, 2"},
		{[]string{"a"}, nil, 0, "2"},
		{[]string{"b"}, nil, 0, "1 b, 2"},
		{[]string{"a", "b", "c"}, nil, 0, "1 b c only, 2"},
		{[]string{"a", "b"}, []string{"b"}, delivery.Refused, "2"},
		{[]string{"a", "b", "c"}, nil, 0, "1 c only, 2"},
		{[]string{"c"}, []string{"c"}, delivery.Refused, "2"},
		{[]string{"x"}, nil, 0, "1 x, 2"},
		{[]string{"x"}, []string{"x"}, delivery.Undelivered, "2"}, // y, that might accept it, has gone
		{nil, nil, 0, "2"},
	} {
		h.register(step.registered...)
		if step.refuse != nil {
			out := delivery.Outcome{Verdict: step.verdict, Reason: "415 No", Refusals: refusals("415 No", step.refuse...)}
			settle(t, b.Service, bob, &b.waiting(bob)[0], out)
		}
		if got := b.addressed(); got != step.want {
			t.Errorf("%q are registered: %q, want %q", step.registered, got, step.want)
		}
	}
	b.wantStats(map[string]int64{"stored_messages": 2, "refused_messages": 1})
}

// Devices that have refused a message before it was stored are marked in the same commit. If
// these are all, the message is set aside and its sender is notified, once.
func TestRefusedBeforeItWasStored(t *testing.T) {
	for _, tc := range []struct {
		registered []string
		stuck      string
		want       string
	}{
		{[]string{"a"}, "415 No", ""},
		{[]string{"a", "b"}, "415 No", ""},
		{[]string{"a", "b", "c"}, "", "c only"},
		{nil, "415 No", ""}, // they are no longer registered
	} {
		b, h := newHome(t, tc.registered...)
		in := cpim("negative-delivery")
		in.Refusals = refusals("415 No", "a", "b")
		id := b.put(in)
		b.NotifySender(t.Context(), in, id, true)
		m, err := b.store.Get(t.Context(), id)
		if err != nil || m.Stuck != tc.stuck {
			t.Errorf("%q: set aside because of %q, %v", tc.registered, m.Stuck, err)
		}
		if len(tc.registered) > 0 {
			if _, got, _ := strings.Cut(b.addressed(), "Hello World "); got != tc.want {
				t.Errorf("%q: for %q, want %q", tc.registered, got, tc.want)
			}
		}
		if n := len(b.notified()); (n == 1) != (tc.stuck != "") {
			t.Errorf("%q: %d notifications", tc.registered, n)
		}
		// One more device refuses it, and it expires.
		h.register("a", "b", "x")
		for _, it := range b.waiting(bob) {
			settle(t, b.Service, bob, &it, delivery.Outcome{Verdict: delivery.Refused, Reason: "603 No", Refusals: refusals("603 No", "x")})
		}
		b.sleep(100 * time.Hour)
		b.expireAll()
		if n := len(b.notified()); n != 0 && tc.stuck != "" || n > 1 {
			t.Errorf("%q: %d notifications in the end", tc.registered, n)
		}
	}
}

// notified removes and returns the notifications to alice.
func (b *box) notified() []delivery.Item {
	items := b.waiting(alice)
	items = slices.DeleteFunc(items, func(it delivery.Item) bool { return !strings.Contains(string(it.Body), "<failed/>") })
	for i := range items {
		settle(b.t, b.Service, alice, &items[i], delivery.Outcome{Verdict: delivery.Delivered})
	}
	return items
}

// expireAll runs the sweep.
func (b *box) expireAll() {
	b.t.Helper()
	b.Configure(silo.Settings{Sweep: time.Millisecond})
	b.run(func() bool { return b.stats()["expired_messages"] > 0 })
}

// Refusals that come after a message was stored are recorded.
func TestRefusedAfterItWasStored(t *testing.T) {
	b, h := newHome(t, "a", "b")
	id := b.put(cpim("negative-delivery"))
	refuse := func(names ...string) {
		t.Helper()
		done := make(chan error, 1)
		b.Refuse(bob, id, refusals("603 No", names...), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	refuse("a")
	if got := b.addressed(); !strings.HasSuffix(got, " b only") {
		t.Errorf("waiting: %q", got)
	}
	if n := len(b.notified()); n != 0 {
		t.Errorf("%d notifications", n)
	}
	refuse("a", "b")
	if got := b.addressed(); got != "" {
		t.Errorf("waiting: %q", got)
	}
	if n := len(b.notified()); n != 1 {
		t.Errorf("%d notifications", n)
	}
	id = 999
	refuse("a", "b") // of a message that was delivered meanwhile
	h.register("c")
	if n := len(b.waiting(bob)); n != 1 {
		t.Errorf("%d wait for c", n)
	}
}

// An imported message is as it was: set aside, and refused by the same devices.
func TestArchiveOfRefusedMessages(t *testing.T) {
	from, _ := newHome(t, "a", "b")
	in := text("1")
	in.Refusals = refusals("415 No", "a", "b")
	from.put(in)
	in = text("2")
	in.Message.CallID, in.Refusals = "2", refusals("488 No", "a")
	from.put(in)
	lines := from.export()
	to, h := newHome(t, "a", "b", "c")
	for range 2 {
		to.restore(lines...)
		if got := withoutID(to.export()); fmt.Sprint(got) != fmt.Sprint(withoutID(lines)) {
			t.Errorf("got %s\nwant %s", got, lines)
		}
	}
	if got := to.addressed(); got != "1 c only, 2 b c only" {
		t.Errorf("waiting: %q", got)
	}
	h.register("a")
	if got := to.addressed(); got != "" {
		t.Errorf("waiting for a: %q", got)
	}
}
