package main

import (
	"fmt"
	"slices"
	"testing"
)

const every = "silo.delivery = 'every'"

// registerAs registers a device with an instance ID.
func (u *ua) registerAs(instance string) {
	u.t.Helper()
	if a := u.tryRegisterAs(instance); status(a) != 200 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
}

// tryRegisterAs sends the REGISTER of registerAs and returns the response.
func (u *ua) tryRegisterAs(instance string) string {
	u.t.Helper()
	contact := fmt.Sprintf(`Contact: <sip:x@%s;transport=%s>;+sip.instance="<urn:uuid:%s>"`, u.conn.LocalAddr(), u.conn.LocalAddr().Network(), instance)
	return u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", contact, "Expires: 300"))
}

// wants waits for requests with these bodies.
func (u *ua) wants(texts ...string) {
	u.t.Helper()
	var got []string
	for range texts {
		got = append(got, body(u.next()))
	}
	if !slices.Equal(got, texts) {
		u.t.Errorf("got %q, want %q", got, texts)
	}
}

// Every device that registers before a message expires receives it once.
func TestEveryDeviceGetsACopy(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), every)
	a, phone, tablet := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("tcp", "bob")
	phone.registerAs("phone")
	tablet.registerAs("tablet")
	for _, text := range []string{"1", "2"} {
		if got := a.message(bob, text); got != 202 {
			t.Errorf("answered %d", got)
		}
	}
	phone.wants("1", "2")
	tablet.wants("1", "2")
	phone.registerAs("phone") // a refresh does not repeat messages
	s.settled()
	phone.nothing()

	// The same phone from another port, as after a restart.
	again := s.phone("udp", "bob")
	again.registerAs("phone")
	s.settled()
	again.nothing()

	// A phone without an instance ID.
	old := s.phone("udp", "bob")
	old.register(300)
	old.wants("1", "2")

	s = s.restart(every)
	a, laptop := s.phone("udp", "alice"), s.phone("udp", "bob")
	laptop.registerAs("laptop")
	laptop.wants("1", "2")
	a.message(bob, "3")
	laptop.wants("3")
	s.settled()
	if n := s.stored(); n != 3 {
		t.Errorf("%d messages are kept", n)
	}
	if n := s.call("silo_list", "bob@127.0.0.1"); attr(n.Nodes[0], "copies") != "4" {
		t.Errorf("copies of the first one: %q", attr(n.Nodes[0], "copies"))
	}
}

// A device that does not answer delays no other device, and later gets the messages in
// order.
func TestDeadDeviceDelaysNoOther(t *testing.T) {
	t.Parallel()
	s := serve(t, every)
	a, phone, dead := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "bob")
	phone.registerAs("phone")
	dead.registerAs("dead")
	dead.autoReply.Store(0)
	for i := range 5 {
		a.message(bob, fmt.Sprint(i))
	}
	phone.wants("0", "1", "2", "3", "4")
	dead.next()
	dead.autoReply.Store(200) // it answers the retransmission
	for want := 0; want < 5; {
		switch got := body(dead.next()); got {
		case fmt.Sprint(want):
			want++
		case fmt.Sprint(want - 1), "0":
		default:
			t.Fatalf("got %q, want %d", got, want)
		}
	}
}

// A device that declines a message gets it once, and the others get their copies.
func TestOneDeviceDeclines(t *testing.T) {
	t.Parallel()
	s := serve(t, every)
	a, phone, tablet := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "bob")
	phone.autoReply.Store(603)
	phone.registerAs("phone")
	a.message(bob, "1")
	phone.wants("1")
	s.settled()
	phone.registerAs("phone")
	tablet.registerAs("tablet")
	tablet.wants("1")
	phone.nothing()
}

// Typing notifications and messages with Expires: 0 are not stored.
func TestEveryStoresNothingEphemeral(t *testing.T) {
	t.Parallel()
	s := serve(t, every)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.registerAs("phone")
	if got := status(a.ask(a.request("MESSAGE", bob, bob, "<x/>", "Content-Type: application/im-iscomposing+xml"))); got != 200 {
		t.Errorf("typing: %d", got)
	}
	if got := a.message(bob, "now", "Expires: 0"); got != 200 {
		t.Errorf("now or never: %d", got)
	}
	b.wants("<x/>", "now")
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

// After a change from "every" to "any" delivered messages are not repeated.
func TestFromEveryToAny(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), every)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.registerAs("phone")
	a.message(bob, "1")
	b.wants("1")
	a.message("sip:carol@127.0.0.1", "2")
	s.settled()
	s = s.restart()
	s.settled()
	b.nothing()
	tablet := s.phone("udp", "bob")
	tablet.registerAs("tablet")
	s.settled()
	tablet.nothing()
	if n := s.stored(); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// With "any" a delivered message is deleted, and other devices get no copy.
func TestAnyKeepsNoCopies(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b, c := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "bob")
	a.message(bob, "1")
	b.registerAs("phone")
	b.wants("1")
	s.settled()
	c.registerAs("tablet")
	s.settled()
	c.nothing()
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// Every device has its own answer also where each gets a copy.
func TestEveryDeviceRefusesForItself(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 405, 415, 501, 603} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			s := serve(t, every)
			a, desk := s.phone("udp", "alice"), s.answering("desk", code)
			a.message(bob, "1")
			desk.wants("1")
			s.settled()
			for range 2 {
				s.refresh(desk, "desk")
			}
			desk.nothing()
			soft := s.answering("soft", 200)
			soft.wants("1")
			s.settled()
			got := ""
			for _, d := range child(s.call("silo_show", attr(s.rows(false)[0], "id")), "devices").Nodes {
				got += attr(d, "device") + " " + attr(d, "answer") + "\n"
			}
			if want := fmt.Sprintf("<urn:uuid:desk> %d Test\n<urn:uuid:soft> received\n", code); got != want {
				t.Errorf("got %s", got)
			}
		})
	}
}
