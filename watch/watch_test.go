package watch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"silod/mi"
	"silod/sip"
)

var bob = sip.AoR{User: "bob", Domain: "example.org"}

func newHub() *Hub { return New(sip.NewDomains("example.org"), slog.New(slog.DiscardHandler)) }

// text returns a child of a reply as a line.
func text(n *mi.Node) string {
	var words []string
	for _, a := range n.Attrs {
		if a.Name != "time" {
			words = append(words, fmt.Sprint(a.Name, "=", a.Value))
		}
	}
	return strings.Join(words, " ")
}

// reader calls the watch command and reads its reply.
type reader struct {
	lines chan string
	stop  context.CancelFunc
	done  chan error
}

func read(t *testing.T, h *Hub, args ...string) *reader {
	t.Helper()
	req := &mi.Request{Command: "watch", Peer: "uid=0"}
	for _, a := range args {
		req.Args = append(req.Args, mi.Arg{Value: a})
	}
	ctx, stop := context.WithCancel(t.Context())
	n, err := h.watch(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{lines: make(chan string), stop: stop, done: make(chan error, 1)}
	go func() {
		for n, err := range n.Stream {
			if err != nil {
				r.done <- err
				return
			}
			r.lines <- text(n)
		}
		r.done <- nil
	}()
	return r
}

// TestWatch: a watcher of a user receives the events of messages to and from that user, with
// bodies only on request.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		if h.Active() || (*Hub)(nil).Active() {
			t.Error("a new hub is active")
		}
		h.Publish(Event{What: Stored, User: bob})
		plain, curious := read(t, h, "bob"), read(t, h, "sip:bob@example.org;x=y", "yes")
		for _, r := range []*reader{plain, curious} {
			if got := <-r.lines; got != "event=watching user=sip:bob@example.org" {
				t.Errorf("it begins with %q", got)
			}
		}
		if !h.Active() || h.Watchers() != 2 {
			t.Errorf("%d watch", h.Watchers())
		}
		alice := sip.AoR{User: "alice", Domain: "example.org"}
		body := []byte("hello")
		h.Publish(Event{
			What: Stored, User: bob, From: `"Alice" <sip:alice@example.org>;tag=1`, CallID: "c1", ID: 7, Type: "text/plain", Body: body,
		})
		copy(body, "XXXXX") // as if its memory were reused
		h.Publish(Event{What: Stored, User: alice, From: "sip:carol@example.org"})
		h.Publish(Event{What: Answered, User: alice, From: "<sip:bob@EXAMPLE.org:5060>", Contact: "sip:a@192.0.2.1", Status: 200, Reason: "OK"})
		h.Publish(Event{What: Expired, User: bob, Body: []byte("\xff\xfe")})
		const stored = "event=stored user=sip:bob@example.org from=sip:alice@example.org id=7 call_id=c1 type=text/plain bytes=5"
		const answered = "event=answered user=sip:alice@example.org from=sip:bob@example.org contact=sip:a@192.0.2.1 status=200 reason=OK"
		const expired = "event=expired user=sip:bob@example.org bytes=2"
		for _, c := range []struct {
			r    *reader
			want []string
		}{
			{plain, []string{stored, answered, expired}},
			{curious, []string{stored + " body=hello", answered, expired + " body_base64=//4="}},
		} {
			for _, want := range c.want {
				if got := <-c.r.lines; got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			}
			c.r.stop()
			if err := <-c.r.done; err != nil {
				t.Error(err)
			}
		}
		if h.Active() {
			t.Error("the hub is active without watchers")
		}
	})
}

// TestSlowWatcherReceivesCountOfLost: a watcher that does not read delays no publisher and
// takes no more memory than others. Later it receives the number of lost events.
func TestSlowWatcherReceivesCountOfLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		r := read(t, h, "bob")
		<-r.lines
		const count = maxWaiting + 100
		for i := range count {
			h.Publish(Event{What: Sent, User: bob, ID: int64(i + 1)})
			if i == 0 {
				synctest.Wait() // the reader has the first event, and reads no further ones
			}
		}
		want := make([]string, 0, maxWaiting+2)
		for i := range 2 {
			want = append(want, fmt.Sprintf("event=sent user=sip:bob@example.org id=%d", i+1))
		}
		want = append(want, fmt.Sprintf("event=lost count=%d", count-1-maxWaiting))
		for i := 2; i < maxWaiting+1; i++ {
			want = append(want, fmt.Sprintf("event=sent user=sip:bob@example.org id=%d", i+1))
		}
		var got []string
		for range want {
			got = append(got, <-r.lines)
		}
		slices.Sort(got) // the position of the loss does not matter
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %d lines: %q...", len(got), got[:3])
		}
		r.stop()
		<-r.done
	})
}

// TestWatchersAreBounded: the number of watchers is limited, the place of one that ends is
// free, and all end when the daemon stops.
func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		var rs []*reader
		for range maxWatchers {
			r := read(t, h, "bob")
			<-r.lines
			rs = append(rs, r)
		}
		if err := <-read(t, h, "bob").done; err == nil || !strings.Contains(err.Error(), "503 Too many watchers: 16 are allowed") {
			t.Errorf("one too many: %v", err)
		}
		rs[3].stop()
		<-rs[3].done
		rs[3] = read(t, h, "bob")
		<-rs[3].lines
		h.Stop()
		h.Stop()
		for _, r := range rs {
			if err := <-r.done; err != nil {
				t.Error(err)
			}
		}
		if h.Watchers() != 0 {
			t.Errorf("%d watch", h.Watchers())
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	h := newHub()
	for want, req := range map[string]*mi.Request{
		"400 Bad address":         {Args: []mi.Arg{{Value: "sip:@"}}},
		"404 sip:x@elsewhere.net": {Args: []mi.Arg{{Value: "x@elsewhere.net"}}},
		"403 A read-only socket shows no message texts": {
			Args: []mi.Arg{{Value: "bob"}, {Value: "yes"}}, ReadOnly: true,
		},
	} {
		if _, err := h.watch(t.Context(), req); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestWatchConcurrently runs publishers and watchers at the same time, for the race detector.
func TestWatchConcurrently(t *testing.T) {
	h := newHub()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if h.Active() {
					h.Publish(Event{What: Sent, User: bob, Body: []byte("x")})
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				w := &watcher{of: bob, bodies: true, events: make(chan published, maxWaiting)}
				h.join(w)
				for len(w.events) > 0 {
					<-w.events
				}
				h.leave(w)
			}
		})
	}
	wg.Wait()
	if h.Active() {
		t.Error("a watcher is left")
	}
}

func BenchmarkWithoutWatchers(b *testing.B) {
	h := newHub()
	b.ReportAllocs()
	for b.Loop() {
		if h.Active() {
			h.Publish(Event{What: Sent, User: bob})
		}
	}
}

// TestBusiest: messages are counted while the command runs, and not afterwards.
func TestBusiest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		ctx, stop := context.WithCancel(t.Context())
		n, err := h.busiest(ctx, &mi.Request{Args: []mi.Arg{{Value: "5"}}})
		if err != nil {
			t.Fatal(err)
		}
		reports := make(chan string)
		go func() {
			defer close(reports)
			for n, err := range n.Stream {
				if err != nil {
					t.Error(err)
				}
				var lines []string
				for _, c := range n.Nodes {
					lines = append(lines, fmt.Sprint(c.Name, " ", c.Value, " ", c.Attrs[0].Name, "=", c.Attrs[0].Value))
				}
				for _, a := range n.Attrs[1:] {
					lines = append(lines, fmt.Sprint(a.Name, "=", a.Value))
				}
				reports <- strings.Join(lines, ", ")
			}
		}()
		synctest.Wait()
		room := sip.AoR{User: "chat-1", Domain: "example.org"}
		for range 3 {
			h.Publish(Event{What: Said, User: room})
			h.Publish(Event{What: Sent, User: bob})
		}
		h.Publish(Event{What: Stored, User: bob})
		if got := <-reports; got != "ROOM sip:chat-1@example.org said=3, MAILBOX sip:bob@example.org stored=1" {
			t.Errorf("got %q", got)
		}
		for i := range maxCounted + 5 {
			h.Publish(Event{What: Stored, User: sip.AoR{User: fmt.Sprint(i), Domain: "example.org"}})
		}
		if got := <-reports; strings.Count(got, "MAILBOX") != maxListed || !strings.HasSuffix(got, "not_counted=5") {
			t.Errorf("got %q", got)
		}
		stop()
		if _, more := <-reports; more || h.Active() {
			t.Error("the command continues after its end")
		}
		if _, err := h.busiest(t.Context(), &mi.Request{Args: []mi.Arg{{Value: "0"}}}); err == nil {
			t.Error("an interval of 0 seconds was accepted")
		}
	})
}
