package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// retriedSoon makes retries quick.
const retriedSoon = "silo.retry = '1s'"

// row is the stored message of a user, without the count of its attempts.
func (s *served) row() string {
	s.t.Helper()
	n := s.call("silo_list")
	if len(n.Nodes) != 1 {
		return fmt.Sprintf("%d rows", len(n.Nodes))
	}
	var b strings.Builder
	for _, a := range n.Nodes[0].Attrs {
		fmt.Fprintf(&b, "%s=%v ", a.Name, a.Value)
	}
	for _, c := range n.Nodes[0].Nodes {
		fmt.Fprintf(&b, "%s=%v ", c.Name, c.Value)
	}
	return b.String()
}

// unmoved checks that the one stored message is still the same one, neither set aside nor
// counted as delivered.
func (s *served) unmoved(row string) {
	s.t.Helper()
	if got := s.row(); got != row {
		s.t.Errorf("the stored message is\n%s, it was\n%s", got, row)
	}
	if n := s.silo.Stats.Dumped.Value() + s.engine.Delivered.Value(); n != 0 {
		s.t.Errorf("%d messages count as delivered", n)
	}
	if n := s.silo.Stats.Stored.Value(); n > 1 {
		s.t.Errorf("%d messages were stored", n)
	}
	if n := s.silo.Stats.Refused.Value(); n != 0 {
		s.t.Errorf("%d messages were set aside", n)
	}
}

// TestLoopThroughProxy has a proxy that returns each message, as Kamailio does with silod as
// its failure route. The stored message stays the one that it is, however much of the request
// the proxy hides, and arrives once when the proxy finds the recipient.
func TestLoopThroughProxy(t *testing.T) {
	t.Parallel()
	remove := func(names ...string) func(string) string {
		return func(m string) string {
			for _, name := range names {
				if i := strings.Index(m, name+":"); i >= 0 {
					m = m[:i] + m[i+strings.Index(m[i:], "\r\n")+2:]
				}
			}
			return m
		}
	}
	keep := func(m string) string { return m }
	for _, tt := range []struct {
		name   string
		hide   bool
		change func(string) string
	}{
		{"everything is passed on", false, keep},
		{"the Vias are hidden", true, keep},
		{"the field is removed", false, remove("Loop-Mark")},
		{"the Vias are hidden and the field is removed", true, remove("Loop-Mark")},
		{"the field is in lower case, and joined with another", true, func(m string) string {
			return strings.Replace(m, "Loop-Mark: ", "loop-mark: xaaaaaaaa ,", 1)
		}},
		{"the Request-URI has parameters", true, func(m string) string {
			return strings.Replace(m, "MESSAGE "+bob, "MESSAGE "+bob+";x=1;user=ip", 1)
		}},
		{"the Request-URI is written differently", true, func(m string) string {
			return strings.Replace(m, "MESSAGE "+bob, "MESSAGE sip:%62ob@127.0.0.1", 1)
		}},
		{"Max-Forwards is renewed", true, remove("Max-Forwards", "Max-Breadth")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := between(t)
			p.hide = tt.hide
			s := serve(t, "silo.outbound_proxy = 'sip:"+p.addr()+"'", retriedSoon, "silo.max_retry = '1s'")
			p.routeBy(func(m string) (netip.AddrPort, string) { return s.addr("udp"), tt.change(m) })
			if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
				t.Fatalf("answered %d", got)
			}
			row := s.row()
			p.awaitRequests("MESSAGE", 3)
			s.unmoved(row)
			if n := s.router.Stats.Messages.Value(); n > 5 {
				t.Errorf("%d MESSAGEs were handled", n)
			}
			p.answers(200)
			s.eventually("the delivery", func() bool { return s.stored() == 0 })
			if m := p.requests("MESSAGE"); body(m[len(m)-1]) != "hello" || !strings.HasPrefix(m[len(m)-1], "MESSAGE "+bob+" ") {
				t.Errorf("delivered\n%s", m[len(m)-1])
			}
			if n := s.engine.Delivered.Value(); n != 1 {
				t.Errorf("it was delivered %d times", n)
			}
		})
	}
}

// TestLoopOverRestart has the proxy return the message only when another process has the
// address of silod and its database.
func TestLoopOverRestart(t *testing.T) {
	t.Parallel()
	p := between(t)
	p.hide = true
	p.answers(0)
	more := []string{"silo.outbound_proxy = 'sip:" + p.addr() + "'", retriedSoon}
	s := serveIn(t, t.TempDir(), fixedPort(t), more...)
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	row := s.row()
	held := p.awaitRequests("MESSAGE", 1)[0]
	s = s.restart(append(more, "silo.retry = '1h'", "silo.max_retry = '1h'")[2:]...)
	p.returnTo(s.addr("udp"))
	p.take(held, s.addr("udp"))
	s.eventually("the return", func() bool { return s.router.Stats.Messages.Value() == 1 })
	s.unmoved(row)
}

// TestRestartTriesAgain checks that a stored message is tried at the outbound proxy after a
// restart too, although nothing is known of the recipient.
func TestRestartTriesAgain(t *testing.T) {
	t.Parallel()
	p := between(t)
	more := []string{"silo.outbound_proxy = 'sip:" + p.addr() + "'", retriedSoon}
	s := serveIn(t, t.TempDir(), fixedPort(t), more...)
	s.phone("udp", "alice").message(bob, "hello")
	s = s.restart(more...)
	p.answers(200)
	s.eventually("the delivery", func() bool { return s.stored() == 0 })
	if n := s.engine.Delivered.Value(); n != 1 {
		t.Errorf("it was delivered %d times", n)
	}
}

// TestLoopThroughAnotherInstance has the proxy send to another silod for the same domain, which
// shares nothing with the first one.
func TestLoopThroughAnotherInstance(t *testing.T) {
	t.Parallel()
	p := between(t)
	p.hide = true
	proxied := "silo.outbound_proxy = 'sip:" + p.addr() + "'"
	s, other := serve(t, proxied, retriedSoon), serve(t, proxied, retriedSoon)
	p.returnTo(other.addr("udp"))
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	row := s.row()
	p.awaitRequests("MESSAGE", 2)
	s.unmoved(row)
	if n := other.stored(); n != 0 {
		t.Errorf("the other instance stores %d messages", n)
	}
}

// TestSpiral has bob's device forward to carol: a message may return for another recipient,
// but not in a circle, even if it was stored on the way.
func TestSpiral(t *testing.T) {
	t.Parallel()
	p := between(t)
	p.hide = true
	s := serve(t, retriedSoon, "silo.max_retry = '1s'")
	a, c := s.phone("udp", "alice"), s.phone("udp", "carol")
	swap := strings.NewReplacer("MESSAGE sip:bob@", "MESSAGE sip:carol@", "MESSAGE sip:carol@", "MESSAGE sip:bob@")
	p.routeBy(func(m string) (netip.AddrPort, string) {
		first, rest, _ := strings.Cut(m, "\r\n")
		return s.addr("udp"), strings.Replace(swap.Replace(first), p.addr(), "127.0.0.1", 1) + "\r\n" + rest
	})
	s.call("ul_add", "location", "bob@127.0.0.1", "sip:bob@"+p.addr(), "0", "1", "0", "0", "0", "0")
	c.register(300)
	if got := a.message(bob, "to carol"); got != 200 {
		t.Errorf("forwarded to carol: answered %d", got)
	}
	m := c.next()
	if n := strings.Count(m, "\r\nLoop-Mark: u"); n != 2 || body(m) != "to carol" {
		t.Errorf("carol gets %d marks in\n%s", n, m)
	}
	c.register(0)
	if got := a.message(bob, "in a circle"); got != 202 { // stored for carol
		t.Errorf("stored for carol: answered %d", got)
	}
	row := s.row()
	if !strings.Contains(row, "carol") {
		t.Fatalf("stored: %s", row)
	}
	s.call("ul_add", "location", "carol@127.0.0.1", "sip:carol@"+p.addr(), "0", "1", "0", "0", "0", "0")
	s.call("silo_dump", "carol")
	p.awaitRequests("MESSAGE", 4)
	if got := s.row(); got != row {
		t.Errorf("stored: %s, was %s", got, row)
	}
}

// TestContactNamesUs checks that a binding whose next hop is silod itself stands for the
// devices of the user that it names: never for itself, never for a room, one level deep.
func TestContactNamesUs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, contact string
		want          int // answer to a message for bob
	}{
		{"bob himself", "sip:bob@%s", 202},
		{"with parameters", "sip:bob@%s;x=1;transport=udp", 202},
		{"another user, online", "sip:carol@%s", 200},
		{"another user, offline", "sip:dave@%s", 202},
		{"a user whose contact leads back", "sip:erin@%s", 202},
		{"a room", "sip:chat-1@%s", 202},
		{"the manager", "sip:chat-manager@%s", 202},
		{"no user", "sip:%s", 202},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "auth.strangers = 'users'", "silo.retry = '1h'", "silo.max_retry = '1h'")
			a, c := s.phone("udp", "alice"), s.phone("udp", "carol")
			c.register(300)
			own := s.addr("udp").String()
			s.call("ul_add", "location", "erin@127.0.0.1", "sip:bob@"+own, "0", "1", "0", "0", "0", "0")
			s.call("ul_add", "location", "bob@127.0.0.1", fmt.Sprintf(tt.contact, own), "0", "1", "0", "0", "0", "0")
			if got := a.message(bob, "#create"); got != tt.want {
				t.Errorf("answered %d, want %d", got, tt.want)
			}
			if tt.want == 200 {
				c.next()
			}
			if n := s.router.Stats.Messages.Value(); n != 1 {
				t.Errorf("%d MESSAGEs were handled for one", n)
			}
			if n := s.stored(); n != (tt.want-200)/2 {
				t.Errorf("%d messages are stored", n)
			}
			if n := s.call("imc_list_rooms"); len(n.Nodes) != 0 {
				t.Error("the message got into a room")
			}
		})
	}
}

// TestManyContactsNameUs registers the contacts of one client that floods silod with itself.
func TestManyContactsNameUs(t *testing.T) {
	t.Parallel()
	s := serve(t, retriedSoon)
	for i := range 60 {
		s.call("ul_add", "location", "bob@127.0.0.1", fmt.Sprintf("sip:bob@%s;x=%d", s.addr("udp"), i), "0", "1", "0", "0", "0", "0")
	}
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	row := s.row()
	time.Sleep(2 * time.Second)
	s.unmoved(row)
	if n := s.router.Stats.Messages.Value(); n != 1 {
		t.Errorf("%d MESSAGEs were handled for one", n)
	}
}

// TestRoomLoop has the device of a member, and the proxy of rooms, send the text of a room back
// to the room, or to another room.
func TestRoomLoop(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"chat-1", "chat-2", "chat-manager"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			p := between(t)
			p.hide = true
			s := serve(t, retriedSoon, "imc.outbound_proxy = 'sip:"+p.addr()+"'", "auth.trusted = ['127.0.0.1 identity']")
			p.routeBy(func(m string) (netip.AddrPort, string) {
				_, rest, _ := strings.Cut(m, "\r\n")
				// The proxy even claims that bob, a member, is the sender.
				return s.addr("udp"), "MESSAGE sip:" + to + "@127.0.0.1 SIP/2.0\r\nP-Asserted-Identity: <" + bob + ">\r\n" + rest
			})
			a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
			for _, room := range []string{"sip:chat-1@127.0.0.1", "sip:chat-2@127.0.0.1"} {
				a.message(room, "#create")
				b.message(room, "#join")
			}
			s.eventually("the texts of joining", func() bool { return len(p.requests("MESSAGE")) > 0 })
			before := s.roomTexts()
			if got := a.message("sip:chat-1@127.0.0.1", "round and round"); got != 200 {
				t.Fatalf("answered %d", got)
			}
			s.eventually("the text", func() bool {
				for _, m := range p.requests("MESSAGE") {
					if strings.Contains(body(m), "round and round") {
						return true
					}
				}
				return false
			})
			time.Sleep(2 * time.Second)
			if got := s.roomTexts() - before; got != 1 {
				t.Errorf("%d texts are in the rooms for one", got)
			}
			if n := s.engine.Delivered.Value(); n != 0 {
				t.Errorf("%d messages count as delivered", n)
			}
		})
	}
}

// roomTexts returns the number of texts that rooms have accepted.
func (s *served) roomTexts() int64 {
	for _, st := range s.rooms.Counters() {
		if st.Name == "messages" {
			return st.Counter.Value()
		}
	}
	return -1
}

// TestContactReturns has the device of bob send messages for bob back, as a forwarding loop
// between two servers does. The sender gets 202, and the message waits for another device.
func TestContactReturns(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{false, true} {
		p := between(t)
		p.hide = hide
		s := serve(t, retriedSoon, "silo.max_retry = '1s'")
		p.routeBy(func(m string) (netip.AddrPort, string) {
			_, rest, _ := strings.Cut(m, "\r\n")
			return s.addr("udp"), "MESSAGE " + bob + ";back=yes SIP/2.0\r\n" + rest
		})
		s.call("ul_add", "location", "bob@127.0.0.1", "sip:bob@"+p.addr(), "0", "1", "0", "0", "0", "0")
		if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
			t.Errorf("answered %d", got)
		}
		row := s.row()
		p.awaitRequests("MESSAGE", 3)
		s.unmoved(row)
		b := s.phone("udp", "bob")
		b.register(300)
		if got := body(b.next()); got != "hello" {
			t.Errorf("delivered %q", got)
		}
		s.eventually("the row's end", func() bool { return s.stored() == 0 })
	}
}

// TestSharedMailboxLoop has messages for bob stored in the mailbox of a group, and the proxy
// return the deliveries of that mailbox to bob.
func TestSharedMailboxLoop(t *testing.T) {
	t.Parallel()
	p := between(t)
	p.hide = true
	s := serve(t, retriedSoon, "silo.max_retry = '1s'", "silo.outbound_proxy = 'sip:"+p.addr()+"'", "silo.store_owner = 'sip:team@127.0.0.1'")
	p.routeBy(func(m string) (netip.AddrPort, string) {
		return s.addr("udp"), strings.Replace(m, "MESSAGE sip:team@", "MESSAGE sip:bob@", 1)
	})
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	row := s.row()
	p.awaitRequests("MESSAGE", 3)
	s.unmoved(row)
}
