package silo_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/silo"
	"silod/sip"
)

var update = flag.Bool("update", false, "write the golden files anew")

// cpim returns a message that asks for notifications (RFC 5438 section 7.1.1.2).
func cpim(wants string) *silo.Incoming {
	return text(strings.Join([]string{
		"From: Alice <im:alice@example.org>", "To: Bob & Co <im:bob@example.org>", "NS: imdn <urn:ietf:params:imdn>",
		"imdn.Message-ID: 34jk324j", "DateTime: 2026-11-21T12:16:49-05:00", "imdn.Disposition-Notification: " + wants,
		"", "Content-type: text/plain", "Content-length: 12", "", "Hello World",
	}, "\r\n"), "Content-Type: message/cpim")
}

// golden compares a message with a golden file.
func golden(t *testing.T, name string, m *im.Message) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\nTo: %s\nCall-ID: %s\nCSeq: %d\n", m.From, m.To, m.CallID, m.CSeq)
	for _, h := range m.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	b.WriteString("\n" + strings.ReplaceAll(string(m.Body), "\r\n", "\n") + "\n")
	file := filepath.Join("testdata", name)
	want, err := os.ReadFile(file)
	if err != nil || b.String() != string(want) {
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("%s: %v, got\n%s", name, err, b.String())
	}
}

func TestStoredNotification(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	b.storeAndNotify(cpim("positive-delivery, processing"))
	got := b.waiting(alice)
	if len(got) != 1 {
		t.Fatalf("%d notifications", len(got))
	}
	if !got[0].Later {
		t.Error("it is not delivered after the other messages")
	}
	if n := strings.Count(string(got[0].Body), "\r\n"); n < 8 {
		t.Errorf("%d lines end in CR LF", n)
	}
	golden(t, "stored.txt", &got[0].Message)
	b.wantStats(map[string]int64{"stored_messages": 2, "dispositions": 1, "notices": 1})
}

func TestNoNotificationUnlessAskedFor(t *testing.T) {
	anonymous := cpim("processing")
	anonymous.Sender.User, anonymous.Sender.Domain = "", ""
	noID := cpim("processing")
	noID.Message.Body = []byte(strings.Replace(string(noID.Message.Body), "imdn.Message-ID: 34jk324j\r\n", "", 1))
	lower := cpim("processing")
	lower.Message.Body = []byte(strings.Replace(string(lower.Message.Body), "imdn.Disposition", "imdn.disposition", 1))
	squeezed := cpim("processing")
	squeezed.Message.Headers = append(squeezed.Message.Headers, sip.Header{Name: "Content-Encoding", Value: "deflate"})
	for name, in := range map[string]*silo.Incoming{
		"plain text":               text("imdn.Disposition-Notification: processing"),
		"other kinds":              cpim("positive-delivery, negative-delivery, display"),
		"a longer word":            cpim("processing2"),
		"no verified sender":       anonymous,
		"no Message-ID":            noID,
		"names are case-sensitive": lower,
		"encoded":                  squeezed,
	} {
		b := newBox(t, silo.Settings{})
		b.NotifySender(t.Context(), in, b.put(in), true)
		if n := len(b.waiting(alice)); n != 0 {
			t.Errorf("%s: %d notifications", name, n)
		}
	}
}

func TestFailedNotification(t *testing.T) {
	b := newBox(t, silo.Settings{Sweep: time.Millisecond})
	in := cpim("negative-delivery;x=y,processing")
	in.Message.Headers = append(in.Message.Headers, sip.Header{Name: "Expires", Value: "60"})
	b.put(in)
	b.sleep(time.Minute)
	b.run(func() bool { return len(b.waiting(alice)) == 1 })
	golden(t, "expired.txt", &b.waiting(alice)[0].Message)
	ran := 0
	b.run(func() bool { ran++; return ran > 10 })
	if n := len(b.waiting(alice)); n != 1 {
		t.Errorf("%d notifications", n)
	}
}

// A refused message causes one notification, not another when it expires.
func TestFailedNotificationAfterRefusal(t *testing.T) {
	b := newBox(t, silo.Settings{Sweep: time.Millisecond})
	in := cpim("negative-delivery")
	in.Message.Headers = append(in.Message.Headers, sip.Header{Name: "Expires", Value: "60"})
	b.put(in)
	settle(t, b.Service, bob, &b.waiting(bob)[0], delivery.Outcome{Verdict: delivery.Refused, Reason: "603 Decline"})
	golden(t, "refused.txt", &b.waiting(alice)[0].Message)
	b.sleep(time.Minute)
	b.run(func() bool { return b.stats()["expired_messages"] == 1 })
	if n := len(b.waiting(alice)); n != 1 {
		t.Errorf("%d notifications", n)
	}
}

// A sender that is not verified is not notified, now or later.
func TestNoFailedNotificationForUnverifiedSender(t *testing.T) {
	b := newBox(t, silo.Settings{})
	in := cpim("negative-delivery, processing")
	in.Sender.User, in.Sender.Domain = "", ""
	b.storeAndNotify(in)
	it := b.waiting(bob)[0]
	if string(it.Body) != string(in.Message.Body) || it.Header("X-Silod-Untold") != "" {
		t.Errorf("it is %+v", it)
	}
	settle(t, b.Service, bob, &it, delivery.Outcome{Verdict: delivery.Refused, Reason: "603 Decline"})
	if n := len(b.waiting(alice)); n != 0 {
		t.Errorf("%d notifications", n)
	}
}

// A notification does not ask for notifications.
func TestNotificationsEnd(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	b.storeAndNotify(cpim("processing, negative-delivery"))
	it := b.waiting(alice)[0]
	back := &silo.Incoming{Owner: alice, Sender: bob, Message: &it.Message, URI: "sip:alice@example.org"}
	b.storeAndNotify(back)
	settle(t, b.Service, alice, &it, delivery.Outcome{Verdict: delivery.Refused})
	if n := len(b.waiting(bob)); n != 1 {
		t.Errorf("%d messages wait for bob, want only the message to bob", n)
	}
	if n := len(b.notices(bob)); n != 0 {
		t.Errorf("%d notices for bob", n)
	}
}

func TestCopies(t *testing.T) {
	b := newBox(t, silo.Settings{Sweep: time.Millisecond}, func(o *silo.Options) { o.Every = true })
	short := cpim("negative-delivery")
	short.Message.Headers = append(short.Message.Headers, sip.Header{Name: "Expires", Value: "60"})
	b.put(short)
	b.put(text("2"))
	phone, tablet := b.Device("phone"), b.Device("tablet")
	next := func(s delivery.Source) []delivery.Item {
		t.Helper()
		items, err := s.Next(t.Context(), bob, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	items := next(phone)
	settle(t, phone, bob, &items[0], delivery.Outcome{Verdict: delivery.Delivered})
	settle(t, phone, bob, &items[1], delivery.Outcome{Verdict: delivery.Refused, Reason: "415 No"})
	if n := len(next(phone)); n != 0 {
		t.Errorf("%d wait for the phone", n)
	}
	if got := bodies(next(tablet)); len(got) != 2 || got[1] != "2" {
		t.Errorf("for the tablet wait %q", got)
	}
	b.wantStats(map[string]int64{"stored_messages": 2, "dumped_messages": 1, "refused_messages": 1})
	// A message that a device has received has not failed when it expires.
	b.sleep(time.Minute)
	b.run(func() bool { return len(next(tablet)) == 1 })
	b.sleep(80 * time.Hour)
	b.run(func() bool { return b.stats()["expired_messages"] == 1 })
	if n := len(b.waiting(alice)); n != 0 {
		t.Errorf("%d notifications", n)
	}
}

// If one device's copy is enough again, messages that a device has received are deleted.
func TestOneCopyIsEnoughAgain(t *testing.T) {
	b := newBox(t, silo.Settings{}, func(o *silo.Options) { o.Every = true })
	var want []string
	for i := range 500 {
		b.put(text(fmt.Sprint(i)))
	}
	items, err := b.Device("phone").Next(t.Context(), bob, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		if i%2 == 0 {
			settle(t, b.Device("phone"), bob, &items[i], delivery.Outcome{Verdict: delivery.Delivered})
		} else {
			want = append(want, string(items[i].Body))
		}
	}
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ = b.Next(t.Context(), bob, 0, 1000); len(items) != 500 {
		t.Errorf("%d are left while every device gets a copy", len(items))
	}
	anyone := silo.New(silo.Options{Store: b.store, Now: b.clock}, silo.Settings{})
	if err := anyone.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ = anyone.Next(t.Context(), bob, 0, 1000); !slices.Equal(bodies(items), want) {
		t.Errorf("%d are left, want %d", len(items), len(want))
	}
}
