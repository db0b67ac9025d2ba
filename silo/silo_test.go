package silo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/db"
	"silod/delivery"
	"silod/im"
	"silod/silo"
	"silod/sip"
)

var (
	alice = sip.AoR{User: "alice", Domain: "example.org"}
	bob   = sip.AoR{User: "bob", Domain: "example.org"}
	noon  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// A box is a Service with its own database and a clock that the test sets.
type box struct {
	*silo.Service
	t     *testing.T
	store silo.Store

	mu     sync.Mutex
	now    time.Time
	online map[sip.AoR]bool
	woken  []sip.AoR // for messages
	called []sip.AoR // for notices
}

// A waker records the owners that were woken.
type waker struct {
	b  *box
	to *[]sip.AoR
}

func (w waker) Wake(a sip.AoR) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	*w.to = append(*w.to, a)
}

// WakeLater records nothing: the tests look only at owners that are served at once.
func (w waker) WakeLater(sip.AoR) {}

// Retry records the owner as Wake does.
func (w waker) Retry(a sip.AoR) { w.Wake(a) }

func newBox(t *testing.T, settings silo.Settings, change ...func(*silo.Options)) *box {
	t.Helper()
	b := &box{t: t, now: noon, online: map[sip.AoR]bool{}}
	d, err := db.Open(t.Context(), "sqlite:"+t.TempDir()+"/silo.db", db.Options{Now: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	b.store = d.Messages()
	if settings.Zone == nil {
		settings.Zone = time.UTC
		settings.Date = func(t time.Time) string { return t.Format(time.ANSIC) }
	}
	opt := silo.Options{
		Store: b.store, Waker: waker{b, &b.woken}, Notices: waker{b, &b.called}, Now: b.clock,
		Domains: sip.NewDomains("example.org"),
		Online: func(a sip.AoR) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.online[a]
		},
	}
	for _, f := range change {
		f(&opt)
	}
	b.Service = silo.New(opt, settings)
	return b
}

func (b *box) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *box) sleep(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *box) set(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = now
}

func (b *box) register(a sip.AoR) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.online[a] = true
}

// text returns a message from alice to bob.
func text(body string, fields ...string) *silo.Incoming {
	m := &im.Message{
		From: `"Alice" <sip:alice@example.org>;tag=a1`, To: "<sip:bob@example.org>", CallID: "call-1@host", CSeq: 7,
		Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte(body),
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Content-Type" {
			m.Headers = nil
		}
		m.Headers = append(m.Headers, sip.Header{Name: name, Value: value})
	}
	return &silo.Incoming{Owner: bob, Sender: alice, Message: m, URI: "sip:bob@example.org"}
}

func (b *box) put(in *silo.Incoming) int64 {
	b.t.Helper()
	id, err := b.Put(b.t.Context(), in)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// waiting returns the messages that wait for an owner.
func (b *box) waiting(a sip.AoR) []delivery.Item {
	b.t.Helper()
	items, err := b.Next(b.t.Context(), a, 0, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}

func bodies(items []delivery.Item) []string {
	out := []string{}
	for _, it := range items {
		out = append(out, string(it.Body))
	}
	return out
}

// notices returns the notices that wait for a sender.
func (b *box) notices(a sip.AoR) []delivery.Item {
	b.t.Helper()
	items, err := b.Notices().Next(b.t.Context(), a, 0, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}

func settle(t *testing.T, s delivery.Source, a sip.AoR, it *delivery.Item, out delivery.Outcome) {
	t.Helper()
	done := make(chan error, 1)
	s.Settle(a, it, out, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// run calls Run until ok returns true.
func (b *box) run(ok func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); !ok() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		b.t.Error(err)
	}
	if !ok() {
		b.t.Fatal("not done in time")
	}
}

// stats returns the counters that are not 0, by msilo's names.
func (b *box) stats() map[string]int64 {
	m := map[string]int64{}
	for _, s := range b.Counters() {
		if v := s.Value(); v != 0 {
			m[s.Name] = v
		}
	}
	return m
}

func (b *box) wantStats(want map[string]int64) {
	b.t.Helper()
	if got := b.stats(); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("statistics %v, want %v", got, want)
	}
}

func TestMessageIsUnchanged(t *testing.T) {
	b := newBox(t, silo.Settings{})
	body := "Grüße,\r\n\x00\xff bytes\r\n"
	in := text(body, "Content-Type: text/plain;charset=UTF-8;x=\"y;z\"", "Subject: A, subject", "Date: Sat, 21 Nov 2026 11:59:59 GMT",
		"Priority: urgent", "Reply-To: <sip:al@example.org>", "Content-Language: de", "X-Silod-From: mine", "X-Two: 1", "X-Two: 2", "X-Empty: ")
	b.put(in)
	for range 2 { // the same in every attempt
		items := b.waiting(bob)
		if len(items) != 1 {
			t.Fatalf("%d messages wait", len(items))
		}
		m := items[0].Message
		if m.From != in.Message.From || m.To != in.Message.To || m.CallID != in.Message.CallID || m.CSeq != in.Message.CSeq ||
			string(m.Body) != body || !slices.Equal(m.Headers, in.Message.Headers) {
			t.Errorf("delivered %+v", m)
		}
	}
	b.sleep(time.Hour)
	settle(t, b.Service, bob, &b.waiting(bob)[0], delivery.Outcome{Verdict: delivery.Delivered})
	if got := b.waiting(bob); len(got) != 0 {
		t.Errorf("%d wait after the delivery", len(got))
	}
	b.wantStats(map[string]int64{"stored_messages": 1, "dumped_messages": 1})
}

// RFC 3428 section 7: the time counts from the Date.
func TestLifetime(t *testing.T) {
	b := newBox(t, silo.Settings{})
	for _, tc := range []struct {
		name   string
		fields []string
		want   time.Duration // 0: refused
	}{
		{"no Expires", nil, 72 * time.Hour},
		{"shorter", []string{"Expires: 60"}, time.Minute},
		{"longer than allowed", []string{"Expires: 2592000"}, 72 * time.Hour},
		{"of use only now", []string{"Expires: 0"}, 0},
		{"unreadable", []string{"Expires: soon"}, 72 * time.Hour},
		{"negative", []string{"Expires: -5"}, 72 * time.Hour},
		{"sent a while ago", []string{"Expires: 3600", "Date: Sat, 21 Nov 2026 11:10:00 GMT"}, 10 * time.Minute},
		{"sent too long ago", []string{"Expires: 3600", "Date: Sat, 21 Nov 2026 11:00:00 GMT"}, 0},
		{"sent tomorrow", []string{"Expires: 3600", "Date: Sun, 22 Nov 2026 11:00:00 GMT"}, time.Hour},
		{"unreadable Date", []string{"Expires: 3600", "Date: yesterday"}, time.Hour},
		{"Date alone", []string{"Date: Sat, 21 Nov 2020 11:00:00 GMT"}, 72 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.set(noon)
			in := text("x", tc.fields...)
			in.Owner.User = tc.name
			_, err := b.Put(t.Context(), in)
			if tc.want == 0 {
				if !errors.Is(err, silo.ErrExpired) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := b.waiting(in.Owner)[0].Expires.Sub(noon); got != tc.want {
				t.Errorf("it lives %v, want %v", got, tc.want)
			}
			b.sleep(tc.want - time.Second)
			if len(b.waiting(in.Owner)) != 1 {
				t.Error("expired too early")
			}
			b.sleep(time.Second)
			if len(b.waiting(in.Owner)) != 0 {
				t.Error("not expired")
			}
		})
	}
}

// Concurrent messages do not exceed the quota of a mailbox.
func TestQuota(t *testing.T) {
	b := newBox(t, silo.Settings{Mailbox: silo.Usage{Messages: 5}})
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 40 {
		wg.Go(func() {
			_, err := b.Put(t.Context(), text("x"))
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, silo.ErrQuota) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(b.waiting(bob)); n != 5 || refused != 35 {
		t.Errorf("%d are stored and %d refused", n, refused)
	}
	other := text("x")
	other.Owner = alice
	b.put(other) // another mailbox
	b.wantStats(map[string]int64{"stored_messages": 6, "over_quota": 35})

	settle(t, b.Service, bob, &b.waiting(bob)[0], delivery.Outcome{Verdict: delivery.Delivered})
	b.put(text("again"))
	for i := range 6 { // reminders have a quota of their own
		in := text("r")
		in.SendAt = noon.Add(time.Hour)
		if _, err := b.Put(t.Context(), in); errors.Is(err, silo.ErrQuota) != (i == 5) {
			t.Errorf("reminder %d: %v", i, err)
		}
	}
}

// A sender has a quota in a mailbox, for all spellings of an address together.
func TestQuotaOfASender(t *testing.T) {
	for name, every := range map[string]bool{"any": false, "every": true} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, silo.Settings{Mailbox: silo.Usage{Messages: 5}, PerSender: silo.Usage{Messages: 2}}, func(o *silo.Options) { o.Every = every })
			put := func(from string, want error) {
				t.Helper()
				in := text("x")
				in.Message.From = from
				if _, err := b.Put(t.Context(), in); !errors.Is(err, want) {
					t.Errorf("from %s: %v, want %v", from, err, want)
				}
			}
			put("<sip:alice@example.org>;tag=1", nil)
			put(`"Alice" <sip:%61lice@Example.org:5070;transport=tcp>;tag=2`, nil)
			put("sip:alice@example.org:5080;tag=3", silo.ErrSenderQuota)
			put("<sip:carol@example.org>;tag=4", nil)
			put("<sip:alice@elsewhere.example>;tag=5", nil)
			put("<sip:dave@example.org>;tag=6", nil)
			put("<sip:erin@example.org>;tag=7", silo.ErrQuota)
			b.wantStats(map[string]int64{"stored_messages": 5, "over_quota": 1, "over_sender_quota": 1})
			var by delivery.Source = b.Service
			if every {
				by = b.Device("phone") // the message is kept for other devices
			}
			settle(t, by, bob, &b.waiting(bob)[0], delivery.Outcome{Verdict: delivery.Delivered})
			put("<sip:alice@example.org>;tag=8", nil)

			for i := range 3 { // reminders have a quota of their own
				in := text("r")
				in.SendAt = noon.Add(time.Hour)
				if _, err := b.Put(t.Context(), in); errors.Is(err, silo.ErrSenderQuota) != (i == 2) {
					t.Errorf("reminder %d: %v", i, err)
				}
			}
		})
	}
}

// An owner that registers during the commit is woken.
func TestWakeAfterCommit(t *testing.T) {
	b := newBox(t, silo.Settings{})
	b.put(text("1"))
	if len(b.woken) != 0 {
		t.Error("an offline owner was woken")
	}
	b.register(bob)
	b.put(text("2"))
	if !slices.Equal(b.woken, []sip.AoR{bob}) {
		t.Errorf("woken: %v", b.woken)
	}
}

func TestRefusedMessageIsSetAside(t *testing.T) {
	b := newBox(t, silo.Settings{})
	id := b.put(text("1"))
	b.put(text("2"))
	settle(t, b.Service, bob, &b.waiting(bob)[0], delivery.Outcome{Verdict: delivery.Refused, Reason: "603 Decline"})
	if got := bodies(b.waiting(bob)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("waiting: %q", got)
	}
	m, err := b.store.Get(t.Context(), id)
	if err != nil || m.Stuck != "603 Decline" {
		t.Errorf("set aside because of %q, %v", m.Stuck, err)
	}
	b.wantStats(map[string]int64{"stored_messages": 2, "refused_messages": 1})
}
