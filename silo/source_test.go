package silo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/delivery"
	"silod/silo"
	"silod/sip"
)

// Notifications and non-urgent messages are delivered last, unchanged.
func TestLowPriorityMessages(t *testing.T) {
	b := newBox(t, silo.Settings{})
	b.put(text("z", "Content-Type: message/imdn+xml", "Content-Encoding: deflate", "Priority: non-urgent"))
	b.put(text("chat"))
	b.put(text("From: <sip:a@x>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>", "Content-Type: Message/CPIM"))
	b.put(text("From: <sip:a@x>\r\n\r\nContent-Type: text/plain\r\n\r\nhi", "Content-Type: message/cpim"))
	b.put(text("news", "Priority: Non-Urgent"))
	var later []bool
	for _, it := range b.waiting(bob) {
		later = append(later, it.Later)
	}
	if !slices.Equal(later, []bool{true, false, true, false, true}) {
		t.Errorf("later: %v", later)
	}
	if got := b.waiting(bob)[0].Header("Content-Encoding"); got != "deflate" {
		t.Errorf("Content-Encoding %q", got)
	}
}

// Expired messages are deleted in chunks.
func TestExpiredMessagesAreDeleted(t *testing.T) {
	b := newBox(t, silo.Settings{Sweep: time.Millisecond})
	var wg sync.WaitGroup
	for i := range 450 {
		wg.Go(func() { b.put(text(fmt.Sprint(i), "Expires: 60")) })
	}
	wg.Wait()
	b.put(text("stays"))
	b.sleep(time.Minute)
	b.run(func() bool { return b.stats()["expired_messages"] == 450 })
	if got := bodies(b.waiting(bob)); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("left: %q", got)
	}
}

// A row of which no request can be made is refused before it is sent. One without a sender is
// anonymous.
func TestUndeliverableRows(t *testing.T) {
	b := newBox(t, silo.Settings{})
	for _, src := range []string{"", "no URI at all", "sip:al ice@example.org", "sip:alice@example.org"} {
		m := &silo.Message{Owner: bob, Src: src, Dst: "sip:bob@example.org", Stored: noon, Expires: noon.Add(time.Hour)}
		m.From, m.To, m.Body = "<"+src+">", "<sip:bob@example.org>", []byte(src)
		if err := b.store.Add(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	next := &recorder{out: delivery.Outcome{Verdict: delivery.Delivered}}
	by := b.WrapSender(next)
	for _, it := range b.waiting(bob) {
		out := by.Send(t.Context(), bob, &it).Wait(t.Context())
		if want := len(it.Body) == 0 || string(it.Body) == "sip:alice@example.org"; (out.Verdict == delivery.Delivered) != want || !want && out.Verdict != delivery.Refused {
			t.Errorf("from %q: %+v", it.Body, out)
		}
	}
	for i, from := range []string{"<sip:anonymous@anonymous.invalid>;tag=", "<sip:alice@example.org>;tag="} {
		if len(next.sent) != 2 || next.sent[i].CallID == "" || next.sent[i].CSeq == 0 || !strings.HasPrefix(next.sent[i].From, from) {
			t.Fatalf("sent: %+v", next.sent)
		}
	}
	b.wantStats(map[string]int64{"failed_messages": 2})
}

// A recorder is a Sender that records items.
type recorder struct {
	out  delivery.Outcome
	sent []delivery.Item
}

func (r *recorder) Send(_ context.Context, _ sip.AoR, it *delivery.Item) delivery.Attempt {
	r.sent = append(r.sent, *it)
	return r.out
}

func (r *recorder) Alive(context.Context, sip.AoR, []string) bool { return true }

func TestFailedAttemptsAreCounted(t *testing.T) {
	b := newBox(t, silo.Settings{})
	b.put(text("x"))
	it := b.waiting(bob)[0]
	for _, tc := range []struct {
		verdict delivery.Verdict
		failed  int64
	}{{delivery.Delivered, 0}, {delivery.Offline, 0}, {delivery.Undelivered, 1}, {delivery.Undelivered, 2}, {delivery.Refused, 3}} {
		b.WrapSender(&recorder{out: delivery.Outcome{Verdict: tc.verdict}}).Send(t.Context(), bob, &it).Wait(t.Context())
		if got := b.stats()["failed_messages"]; got != tc.failed {
			t.Errorf("after verdict %d: %d", tc.verdict, got)
		}
	}
	stopping, cancel := context.WithCancel(t.Context())
	cancel()
	b.WrapSender(&recorder{}).Send(stopping, bob, &it).Wait(stopping)
	if got := b.stats()["failed_messages"]; got != 3 {
		t.Errorf("an attempt interrupted by the end of the process counts: %d", got)
	}
}

// An incoming message that was stored is identified as the item that is read for it.
func TestItemOfAnIncoming(t *testing.T) {
	b := newBox(t, silo.Settings{})
	in := text("1")
	id, err := b.Put(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got, want := in.Item(id), b.waiting(bob)[0]
	if got.Key != want.Key || got.CallID != want.CallID || got.CSeq != want.CSeq || !got.Expires.Equal(want.Expires) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
