package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asking returns a message that requests every notification of RFC 5438.
func asking(text string) string {
	return strings.Join([]string{
		"From: <" + alice + ">", "To: <" + bob + ">", "NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: id-" + text,
		"DateTime: 2026-11-21T12:00:00Z", "imdn.Disposition-Notification: processing, positive-delivery, negative-delivery",
		"", "Content-Type: text/plain", "", text,
	}, "\r\n")
}

func TestDispositionNotifications(t *testing.T) {
	t.Parallel()
	s := serve(t, append(notices, "silo.check_time = 1", "silo.clean_period = 1", "silo.add_date = 1")...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.register(300)
	send := func(text string, want int, more ...string) string {
		t.Helper()
		request := a.request("MESSAGE", bob, bob, asking(text), append(more, "Content-Type: message/cpim")...)
		if got := status(a.ask(request)); got != want {
			t.Fatalf("answered %d", got)
		}
		return request
	}
	notified := func(text, word string) {
		t.Helper()
		for {
			m := a.next()
			if strings.Contains(body(m), "is offline!") {
				continue // the offline notice
			}
			if !strings.Contains(body(m), "<message-id>id-"+text+"</message-id>") || !strings.Contains(body(m), "<status><"+word+"/></status>") ||
				header(m, "Content-Type") != "message/cpim" || !strings.HasPrefix(header(m, "From"), "<"+bob+">;tag=") {
				t.Errorf("notified\n%s", m)
			}
			return
		}
	}
	send("expires", 202, "Expires: 1")
	notified("expires", "stored")
	notified("expires", "failed")

	request := send("arrives", 202)
	notified("arrives", "stored")
	b.register(300)
	if m := b.next(); body(m) != body(request) || header(m, "Call-ID") != header(request, "Call-ID") {
		t.Errorf("delivered\n%s", m)
	}
	s.settled()
	b.autoReply.Store(486)
	send("declined", 202)
	b.next()
	notified("declined", "stored")
	b.autoReply.Store(603)
	b.register(300)
	b.next()
	notified("declined", "failed")
	s.settled()
	a.nothing()
}

// Texts are delivered before receipts, and receipts are not changed.
func TestReceiptsComeLast(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	const zipped = "\x78\x9c\x00\x01\r\n\xff"
	for i := range 3 {
		a.ask(a.request("MESSAGE", bob, bob, zipped, "Content-Type: message/imdn+xml", "Content-Encoding: deflate", "Priority: non-urgent"))
		a.message(bob, fmt.Sprint("chat ", i))
	}
	b.register(300)
	b.wants("chat 0", "chat 1", "chat 2")
	for range 3 {
		if m := b.next(); body(m) != zipped || header(m, "Content-Encoding") != "deflate" || header(m, "Content-Type") != "message/imdn+xml" {
			t.Errorf("got\n%q", m)
		}
	}
}

// With silo.outbound_proxy all messages of the silo are sent to the proxy.
func TestSiloBehindAProxy(t *testing.T) {
	t.Parallel()
	proxy := listen(t, "127.0.0.1")
	s := serve(t, append(notices, "silo.outbound_proxy = 'sip:"+proxy.addr()+";lr'")...)
	a := s.phone("udp", "alice")
	if got := a.message(bob, "hello", "Contact: <sip:alice@192.0.2.9:5077>"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	lines := map[string]string{}
	for range 2 {
		m := proxy.next()
		line, _, _ := strings.Cut(m, "\r\n")
		lines[body(m)] = line
	}
	if got, want := lines["hello"], "MESSAGE sip:bob@127.0.0.1 SIP/2.0"; got != want {
		t.Errorf("the message has %q", got)
	}
	if got, want := lines["*** User bob is offline!"], "MESSAGE sip:alice@192.0.2.9:5077 SIP/2.0"; got != want {
		t.Errorf("the notice has %q", got)
	}
	s.eventually("the row's end", func() bool { return s.stored() == 0 })
}

// A reload applies the keys of [silo].
func TestReloadOfTheSilo(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.register(300)
	file := filepath.Join(s.dir, "silod.toml")
	lines := append(append(notices, reminders...), "silo.max_messages = 1", "silo.add_date = 1", "silo.discard = ['x/y']", "silo.expire_time = 5000",
		"silo.store_on = ['486']", "silo.notice_interval = '2h'")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.daemon.file = file
	s.call("reload")
	if got := a.message(bob, "1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	if got := body(a.next()); got != "*** User bob is offline!" {
		t.Errorf("got %q", got)
	}
	if got := a.message(bob, "2"); got != 480 {
		t.Errorf("one too many: answered %d", got)
	}
	if got := status(a.ask(a.request("MESSAGE", bob, bob, "x", "Content-Type: x/y"))); got != 200 {
		t.Errorf("discarded: answered %d", got)
	}
	b.register(300)
	if got := body(b.next()); !strings.HasPrefix(got, dated) {
		t.Errorf("got %q", got)
	}
	s.settled()
	b.autoReply.Store(404)
	if got := a.message(bob, "3"); got != 404 {
		t.Errorf("answered %d", got)
	}
	s.call("silo_remind", "carol@127.0.0.1", "20370101000000", "x")
}
