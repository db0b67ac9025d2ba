package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// soon is the time in which a device that has returned gets its first message. Without the
// REGISTER, 25 s and more would pass until Timer F of the message under way.
const soon = 2 * time.Second

// A back is a way in which a device returns that has fallen silent. lost registers the
// device that falls silent, and again registers it anew and returns the agent that is there
// then.
type back struct {
	network string // of the silent device; "": udp
	lost    func(*ua)
	again   func(s *served, lost *ua) *ua
}

// contact returns a Contact value for the address of an agent.
func (u *ua) contact(params string) string {
	a := u.conn.LocalAddr()
	return fmt.Sprintf("<sip:bob@%s;transport=%s>%s", a, a.Network(), params)
}

// bind sends a REGISTER with Contact values.
func (u *ua) bind(contacts ...string) {
	u.t.Helper()
	a := u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", "Contact: "+strings.Join(contacts, ", "), "Expires: 300"))
	if status(a) != 200 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
	u.awaitLook()
}

const (
	outbound1 = `;+sip.instance="<urn:uuid:1>";reg-id=1`
	outbound2 = `;+sip.instance="<urn:uuid:1>";reg-id=2`
	instance1 = `;+sip.instance="<urn:uuid:1>"`
)

// moved returns a back to a new socket of a network.
func moved(network, before, after string) back {
	return back{
		lost: func(u *ua) { u.bind(u.contact(before)) },
		again: func(s *served, _ *ua) *ua {
			b := s.phone(network, "bob")
			b.bind(b.contact(after))
			return b
		},
	}
}

// backs are ways in which a device returns.
func backs() map[string]back {
	all := map[string]back{
		"a new port":                       moved("udp", "", ""),
		"a new port of the instance":       moved("udp", instance1, instance1),
		"a new flow of the instance":       moved("udp", outbound1, outbound2),
		"a flow that replaces the old one": moved("udp", outbound1, outbound1),
		"another network":                  moved("tcp", "", ""),
		"a flow over another network":      moved("tcp", outbound1, outbound2),
	}
	tcp := moved("udp", "", "")
	tcp.network = "tcp"
	all["udp after a connection that hangs"] = tcp
	plain := func(u *ua) { u.bind(u.contact("")) }
	all["both in one REGISTER"] = back{lost: plain, again: func(s *served, lost *ua) *ua {
		b := s.phone("udp", "bob")
		b.bind(lost.contact(";expires=0"), b.contact(""))
		return b
	}}
	all["the old contact is removed first"] = back{lost: plain, again: func(s *served, lost *ua) *ua {
		b := s.phone("udp", "bob")
		b.bind(lost.contact(";expires=0"))
		b.bind(b.contact(""))
		return b
	}}
	all["the old contact is removed later"] = back{lost: plain, again: func(s *served, lost *ua) *ua {
		b := s.phone("udp", "bob")
		b.bind(b.contact(""))
		b.bind(lost.contact(";expires=0"))
		return b
	}}
	all["all contacts are removed first"] = back{lost: plain, again: func(s *served, lost *ua) *ua {
		b := s.phone("udp", "bob")
		b.ask(b.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: *", "Expires: 0"))
		b.bind(b.contact(""))
		return b
	}}
	all["a restart at the same address"] = back{lost: plain, again: func(_ *served, lost *ua) *ua {
		for len(lost.requests) > 0 {
			<-lost.requests
		}
		lost.autoReply.Store(200)
		lost.bind(lost.contact(""))
		return lost
	}}
	all["an administrator adds it"] = back{lost: plain, again: func(s *served, _ *ua) *ua {
		b := s.phone("udp", "bob")
		_, _ = b.conn.Write([]byte("\r\n"))
		s.call("ul_add", "location", bob, "sip:bob@"+b.conn.LocalAddr().String(), "300", "1", "0", "0", "0", "0")
		return b
	}}
	return all
}

// gets checks that texts arrive in order, the first one soon, each once.
func (u *ua) gets(texts ...string) {
	u.t.Helper()
	u.takes(texts, func(m string) (string, bool) { return body(m), true })
}

// takes checks that texts arrive in order, the first one soon, each once. read returns the text
// of a message, and reports whether it counts.
func (u *ua) takes(texts []string, read func(m string) (text string, counts bool)) {
	u.t.Helper()
	var got []string
	calls := map[string]bool{}
	for late := time.After(soon); len(got) < len(texts); {
		select {
		case m := <-u.requests:
			if text, counts := read(m); counts && !calls[header(m, "Call-ID")] {
				got = append(got, text)
			}
			calls[header(m, "Call-ID")] = true
		case <-late:
			u.t.Fatalf("got %q in %v, want %q", got, soon, texts)
		}
	}
	if !slices.Equal(got, texts) {
		u.t.Errorf("got %q, want %q", got, texts)
	}
}

// silentBob registers a device of bob that does not answer.
func silentBob(s *served, b back) *ua {
	s.t.Helper()
	network := b.network
	if network == "" {
		network = "udp"
	}
	lost := s.phone(network, "bob")
	lost.autoReply.Store(0)
	b.lost(lost)
	return lost
}

// forBacks runs a test for each way to return.
func forBacks(t *testing.T, test func(t *testing.T, b back)) {
	t.Parallel()
	for name, b := range backs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

// A message that is being relayed to a silent device is sent to the device at its new
// contact, before and after its sender was answered.
func TestRelayFollowsTheDevice(t *testing.T) {
	forBacks(t, func(t *testing.T, b back) {
		for _, accept := range []string{"5s", "300ms"} {
			s := serve(t, "sip.accept_timeout = '"+accept+"'")
			lost, a := silentBob(s, b), s.phone("tcp", "alice")
			answered := make(chan int, 1)
			go func() { answered <- a.message(bob, "1") }()
			lost.next()
			want := 200
			if accept == "300ms" {
				want = 202
				if got := <-answered; got != want {
					t.Fatalf("answered %d", got)
				}
				answered <- want
				if got := s.phone("tcp", "carol").message(bob, "2"); got != 202 {
					t.Fatalf("the second message: %d", got)
				}
			} else {
				time.Sleep(400 * time.Millisecond) // a device that returns within this time gets it a little later
			}
			phone := b.again(s, lost)
			if want == 202 {
				phone.gets("1", "2")
			} else {
				phone.gets("1")
				if got := <-answered; got != 200 && got != 202 { // it is stored while bob has no contact
					t.Errorf("answered %d", got)
				}
			}
			s.eventually("the rows' end", func() bool { return s.stored() == 0 })
			phone.nothing()
			if got := a.message(bob, "3"); got != 200 {
				t.Errorf("the next message: %d", got)
			}
			phone.gets("3")
		}
	})
}

// The same for stored messages that are being delivered.
func TestDeliveryFollowsTheDevice(t *testing.T) {
	forBacks(t, func(t *testing.T, b back) {
		s := serve(t)
		a := s.phone("tcp", "alice")
		for _, text := range []string{"1", "2", "3"} {
			if got := a.message(bob, text); got != 202 {
				t.Fatalf("answered %d", got)
			}
		}
		lost := silentBob(s, b)
		lost.next()
		time.Sleep(400 * time.Millisecond)
		phone := b.again(s, lost)
		phone.gets("1", "2", "3")
		s.eventually("the rows' end", func() bool { return s.stored() == 0 })
		phone.nothing()
	})
}

// The same for the texts of a room.
func TestRoomFollowsTheDevice(t *testing.T) {
	forBacks(t, func(t *testing.T, b back) {
		s := serve(t)
		const room = "sip:chat-1@127.0.0.1"
		a := s.phone("tcp", "alice")
		a.register(300)
		first := s.phone("tcp", "bob")
		first.register(300)
		a.message(room, "#create chat-1")
		a.next()
		first.message(room, "#join chat-1")
		first.next()
		first.register(0)
		lost := silentBob(s, b)
		for _, text := range []string{"1", "2"} {
			a.message(room, text)
		}
		lost.next()
		time.Sleep(400 * time.Millisecond)
		b.again(s, lost).hears("1", "2")
	})
}

// hears checks that texts arrive in a room soon, in order, each once.
func (u *ua) hears(texts ...string) {
	u.t.Helper()
	u.takes(texts, func(m string) (string, bool) {
		i := slices.IndexFunc(texts, func(text string) bool { return strings.HasSuffix(body(m), text) })
		if i < 0 {
			return "", false // a notice of the room
		}
		return texts[i], true
	})
}

// The same for a mailbox that the device shares (m_dump(owner)).
func TestSharedMailboxFollowsTheDevice(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.store_owner = '$hdr(X-Mailbox)'", "silo.dump_owner = '$hdr(X-Mailbox)'")
	a := s.phone("tcp", "alice")
	for _, text := range []string{"1", "2"} {
		if got := a.message("sip:sales@127.0.0.1", text, "X-Mailbox: sip:shop@127.0.0.1"); got != 202 {
			t.Fatalf("answered %d", got)
		}
	}
	register := func(u *ua) *ua {
		t.Helper()
		if a := u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", "Contact: "+u.contact(""), "X-Mailbox: shop", "Expires: 300")); status(a) != 200 {
			t.Fatalf("REGISTER was answered\n%s", a)
		}
		return u
	}
	lost := s.phone("udp", "desk")
	lost.autoReply.Store(0)
	register(lost).next()
	time.Sleep(400 * time.Millisecond)
	register(s.phone("udp", "desk")).gets("1", "2")
}

// The same where every device gets a copy.
func TestCopyFollowsTheDevice(t *testing.T) {
	forBacks(t, func(t *testing.T, b back) {
		s := serve(t, every)
		a := s.phone("tcp", "alice")
		a.message(bob, "1")
		lost := silentBob(s, b)
		lost.next()
		a.message(bob, "2")
		time.Sleep(400 * time.Millisecond)
		b.again(s, lost).gets("1", "2")
	})
}
