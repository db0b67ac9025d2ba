package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// stat returns the value of a statistic.
func (s *served) stat(name string) int64 {
	s.t.Helper()
	for group, st := range s.registry.Statistics() {
		if group+":"+st.Name == name {
			return st.Value()
		}
	}
	s.t.Fatalf("there is no statistic %s", name)
	return 0
}

// settled waits until no delivery is in progress.
func (s *served) settled() {
	s.t.Helper()
	s.eventually("an idle engine", func() bool { return s.engine.Active() == 0 })
}

const dated = "[Offline message - "

func TestDateInFront(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.add_date = 1", "silo.time_zone = 'UTC'", "silo.date_format = '%Y'")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	year := fmt.Sprint(time.Now().UTC().Year())
	a.message(bob, "words")
	a.ask(a.request("MESSAGE", bob, bob, "<p>", "Content-Type: text/html"))
	b.register(300)
	m := b.next()
	if got := body(m); got != dated+year+"] words" {
		t.Errorf("got %q", got)
	}
	if at, err := time.Parse(time.RFC1123, header(m, "Date")); err != nil || time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
		t.Errorf("Date: %q", header(m, "Date"))
	}
	if got := body(b.next()); got != "<p>" {
		t.Errorf("got %q", got)
	}
	s.settled()
	// Relayed messages and replies of rooms have no date.
	a.message(bob, "now")
	b.message("sip:chat-1@127.0.0.1", "#help")
	for range 2 {
		if got := body(b.next()); strings.Contains(got, dated) {
			t.Errorf("got %q", got)
		}
	}
}

func TestFieldsOfStoredMessages(t *testing.T) {
	t.Parallel()
	s := serve(t, `silo.extra_hdrs = "X-Stored: yes\r\nX-For: $tU\r\n"`, "silo.add_contact = 1", `silo.extra_hdrs_avp = "X-Source: $si\r\n"`)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(bob, "offline", "X-Own: 1")
	b.register(300)
	m := b.next()
	for name, want := range map[string]string{
		"X-Stored": "yes", "X-For": "bob", "X-Source": "127.0.0.1", "X-Own": "1", "Contact": "<" + alice + ">;msilo=yes",
	} {
		if got := header(m, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s.settled()
	a.message(bob, "online")
	if m := b.next(); header(m, "X-Stored")+header(m, "Contact")+header(m, "X-Source") != "" {
		t.Errorf("relayed as\n%s", m)
	}
}

var notices = []string{
	"silo.from_address = 'sip:registrar@$rd'", "silo.offline_message = '*** User $rU is offline!'",
	`silo.contact_hdr = "Contact: <sip:registrar@127.0.0.1>;msilo=yes\r\n"`, `silo.content_type_hdr = "Content-Type: text/plain\r\n"`,
}

func TestOfflineNotice(t *testing.T) {
	t.Parallel()
	s := serve(t, notices...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.register(300)
	b.register(300)
	a.message(bob, "online")
	b.next()
	b.register(0)
	if got := a.message(bob, "offline"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	m := a.next()
	if body(m) != "*** User bob is offline!" || !strings.HasPrefix(header(m, "From"), "<sip:registrar@127.0.0.1>;tag=") || header(m, "To") != "<"+alice+">" ||
		header(m, "Contact") != "<sip:registrar@127.0.0.1>;msilo=yes" || header(m, "Content-Type") != "text/plain" || header(m, "Date") != "" {
		t.Errorf("the notice is\n%s", m)
	}
	// Linphone sends a receipt for every text to its sender.
	const registrar = "sip:registrar@127.0.0.1"
	receipt := a.request("MESSAGE", registrar, registrar, "\x78\x9c", "Content-Type: message/imdn+xml", "Content-Encoding: deflate")
	if got := status(a.ask(receipt)); got != 200 {
		t.Errorf("the receipt is answered %d", got)
	}
	a.message(registrar, "who are you?")
	a.message(bob, "offline again")
	a.nothing()
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are stored", n)
	}
	if got := s.stat("msilo:notices"); got != 1 {
		t.Errorf("%d notices", got)
	}
}

// The notice is sent to the device that sent the message.
func TestNoticeGoesToTheDevice(t *testing.T) {
	t.Parallel()
	for use, want := range map[int]int{1: 1, 0: 2} {
		s := serve(t, append(notices, fmt.Sprintf("silo.use_contact = %d", use))...)
		one, two := s.phone("udp", "alice"), s.phone("tcp", "alice")
		one.register(300)
		two.register(300)
		contact := fmt.Sprintf("Contact: <sip:alice@%s;transport=udp>", one.conn.LocalAddr())
		if got := one.message(bob, "hello", contact); got != 202 {
			t.Fatalf("answered %d", got)
		}
		one.next()
		if want == 1 {
			two.nothing()
		} else {
			two.next()
		}
	}
}

// The notice for a sender that is not registered is sent to the Contact.
func TestNoticeForAStranger(t *testing.T) {
	t.Parallel()
	s := serve(t, notices...)
	a := s.phone("udp", "alice")
	if got := a.message(bob, "hello", fmt.Sprintf("Contact: <sip:x@%s>", a.conn.LocalAddr())); got != 202 {
		t.Fatalf("answered %d", got)
	}
	if m := a.next(); !strings.HasPrefix(m, "MESSAGE sip:x@"+a.conn.LocalAddr().String()+" SIP/2.0\r\n") || body(m) != "*** User bob is offline!" {
		t.Errorf("got\n%s", m)
	}
}

// Rooms get no notice about members who are offline.
func TestNoNoticeForARoom(t *testing.T) {
	t.Parallel()
	s := serve(t, notices...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	const room = "sip:chat-1@127.0.0.1"
	a.register(300)
	a.message(room, "#create chat-1")
	a.next()
	r := phone(t, "udp", s.addr("udp"), room)
	if got := r.message(bob, "[alice]: hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	r.nothing()
	b.register(300)
	b.next()
	if got := s.stat("msilo:notices"); got != 0 {
		t.Errorf("%d notices", got)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.max_messages = 3")
	a := s.phone("udp", "alice")
	for i := range 4 {
		got := a.ask(a.request("MESSAGE", bob, bob, "x", "Content-Type: text/plain"))
		if want := 202; i < 3 && status(got) != want {
			t.Errorf("message %d: %s", i, got)
		} else if i == 3 && !strings.HasPrefix(got, "SIP/2.0 480 Temporarily Unavailable, the recipient's mailbox is full\r\n") {
			t.Errorf("message %d: %s", i, got)
		}
	}
	if got := a.message("sip:carol@127.0.0.1", "x"); got != 202 {
		t.Errorf("to another one: %d", got)
	}
}

func TestQuotaOfASender(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.max_per_sender = 2")
	a, carol := s.phone("udp", "alice"), s.phone("tcp", "carol")
	for i := range 3 {
		got := a.ask(a.request("MESSAGE", bob, bob, "x", "Content-Type: text/plain"))
		if i < 2 && status(got) != 202 || i == 2 && !strings.HasPrefix(got, "SIP/2.0 480 Temporarily Unavailable, the recipient's mailbox has enough") {
			t.Errorf("message %d: %s", i, got)
		}
	}
	if got := a.message("sip:dave@127.0.0.1", "x"); got != 202 {
		t.Errorf("to another one: %d", got)
	}
	if got := carol.message(bob, "x"); got != 202 {
		t.Errorf("from another one: %d", got)
	}
}

// Expired messages are not delivered, neither before nor after the sweep.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.expire_time = 2", "silo.check_time = 1", "silo.clean_period = 3")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(bob, "1")
	a.message(bob, "2", "Expires: 1000")
	time.Sleep(2 * time.Second) // until they have expired
	b.register(300)
	b.nothing()
	s.eventually("the sweep", func() bool { return s.stat("msilo:expired_messages") == 2 })
	if n := s.stored(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

var reminders = []string{
	"silo.reminder = 'sip:reminder@127.0.0.1'", "silo.send_time = 1", "silo.snd_time_avp = '$hdr(X-Send-At)'", "silo.time_zone = 'UTC'",
}

// TestPurgeSelects checks that silo_purge deletes the selected messages, and that a request
// without a selection is an error.
func TestPurgeSelects(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.phone("udp", "alice")
	for _, to := range []string{bob, bob, "sip:carol@127.0.0.1"} {
		if got := a.message(to, "hello"); got != 202 {
			t.Fatalf("answered %d", got)
		}
	}
	for _, args := range [][]string{nil, {"owner", ""}, {"limit", "10"}, {"all", "no"}} {
		if n, err := s.callNamed("silo_purge", args...); err == nil || !strings.Contains(err.Error(), "400 Select messages") {
			t.Errorf("%q: %+v, %v", args, n, err)
		}
	}
	for _, c := range []struct {
		args    []string
		deleted int64
	}{
		{[]string{"older_than", "1h"}, 0},
		{[]string{"owner", "carol"}, 1},
		{[]string{"from", "alice", "limit", "1"}, 1},
		{[]string{"all", "yes"}, 1},
	} {
		n, err := s.callNamed("silo_purge", c.args...)
		if err != nil || n.Nodes[0].Value != c.deleted {
			t.Errorf("%q: %+v, %v, want %d deleted", c.args, n, err, c.deleted)
		}
	}
}
