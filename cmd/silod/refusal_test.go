package main

import (
	"fmt"
	"io"
	"testing"
	"time"

	"silod/mi"
)

// answering registers a device of bob under an instance ID that answers every MESSAGE with
// a status.
func (s *served) answering(instance string, status int) *ua {
	s.t.Helper()
	u := s.phone("udp", "bob")
	u.autoReply.Store(int32(status))
	u.registerAs(instance)
	u.awaitLook()
	return u
}

// refresh registers a device again and waits for the delivery that this starts.
func (s *served) refresh(u *ua, instance string) {
	s.t.Helper()
	u.registerAs(instance)
	s.settled()
}

// rows returns the rows of a list of messages.
func (s *served) rows(stuck bool) []*mi.Node {
	s.t.Helper()
	n, err := s.callNamed("silo_list", "owner", "bob@127.0.0.1", "stuck", map[bool]string{true: "yes"}[stuck])
	if err != nil {
		s.t.Fatal(err)
	}
	return n.Nodes
}

// A device that refuses a message that is relayed to it is not asked again, and the message
// waits for another device.
func TestRefusedByTheOnlyDevice(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 405, 406, 415, 416, 421, 488, 493, 501, 505, 513} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			s := serveIn(t, t.TempDir(), fixedPort(t))
			a, desk := s.phone("udp", "alice"), s.answering("desk", code)
			for _, text := range []string{"1", "2"} {
				if got := a.message(bob, text); got != 202 {
					t.Errorf("answered %d", got)
				}
			}
			desk.wants("1", "2")
			s.settled()
			if n := s.stat("msilo:refused_messages"); n != 2 {
				t.Errorf("%d refused", n)
			}
			for range 3 {
				s.refresh(desk, "desk")
			}
			s.call("silo_dump", "bob@127.0.0.1")
			s.settled()
			desk.nothing()

			s = s.restart()
			desk = s.answering("desk", code)
			s.settled()
			desk.nothing()
			if got := attr(s.rows(true)[0], "stuck"); got != fmt.Sprint(code, " Test") {
				t.Errorf("stuck: %q", got)
			}
			desk.autoReply.Store(0) // does not delay the other one
			soft := s.answering("soft", 200)
			soft.wants("1", "2")
			s.settled()
			desk.nothing()
			if n := s.stored(); n != 0 {
				t.Errorf("%d are stored", n)
			}
			s.refresh(soft, "soft")
			soft.nothing()
		})
	}
}

// After other failures the device is asked again.
func TestFailureOfTheMoment(t *testing.T) {
	t.Parallel()
	for _, code := range []int{404, 408, 410, 480, 482, 486, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a, desk := s.phone("udp", "alice"), s.answering("desk", code)
			if got := a.message(bob, "1"); got != 202 {
				t.Errorf("answered %d", got)
			}
			desk.wants("1", "1")
			if n := len(s.rows(true)); n != 0 {
				t.Errorf("%d are set aside", n)
			}
			desk.autoReply.Store(200)
			desk.registerAs("desk")
			desk.wants("1")
		})
	}
}

// A refused message reaches the device that registers later in the order of storing.
func TestRefusedMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, desk := s.phone("udp", "alice"), s.answering("desk", 415)
	a.message(bob, "1")
	a.message(bob, "2")
	desk.wants("1", "2")
	desk.tryUnregisterAs("desk")
	a.message(bob, "3")
	soft := s.answering("soft", 200)
	soft.wants("1", "2", "3")
	s.settled()
	soft.nothing()
}

// tryUnregisterAs removes the binding of registerAs.
func (u *ua) tryUnregisterAs(instance string) {
	u.t.Helper()
	contact := fmt.Sprintf(`Contact: <sip:x@%s;transport=%s>;+sip.instance="<urn:uuid:%s>";expires=0`, u.conn.LocalAddr(), u.conn.LocalAddr().Network(), instance)
	if a := u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", contact)); status(a) != 200 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
}

// When all devices have refused a message, it is listed with the answer of each, until
// another one accepts it.
func TestRefusedByAllDevices(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.phone("udp", "alice")
	a.message(bob, "1")
	s.answering("one", 488).wants("1")
	s.settled()
	s.answering("two", 603).wants("1")
	s.settled()
	rows := s.rows(true)
	if len(rows) != 1 {
		t.Fatalf("%d are set aside", len(rows))
	}
	if n := s.stat("msilo:refused_messages"); n != 1 {
		t.Errorf("%d refused", n)
	}
	got := ""
	for _, d := range child(s.call("silo_show", attr(rows[0], "id")), "devices").Nodes {
		at, err := time.Parse(time.RFC3339, attr(d, "at"))
		if err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("at %q", attr(d, "at"))
		}
		got += attr(d, "device") + " " + attr(d, "answer") + "\n"
	}
	if got != "<urn:uuid:one> 488 Test\n<urn:uuid:two> 603 Test\n" {
		t.Errorf("got %s", got)
	}
	three := s.answering("three", 200)
	three.wants("1")
	s.settled()
	if n := s.stored(); n != 0 {
		t.Errorf("%d are stored", n)
	}
}

// child returns the member of a reply with a name.
func child(n *mi.Node, name string) *mi.Node {
	for _, c := range n.Nodes {
		if c.Name == name {
			return c
		}
	}
	return &mi.Node{}
}

// A requeued message is sent to all devices again.
func TestRequeueAsksAllDevices(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, desk := s.phone("udp", "alice"), s.answering("desk", 415)
	a.message(bob, "1")
	desk.wants("1")
	s.settled()
	desk.autoReply.Store(200)
	s.call("silo_requeue", attr(s.rows(true)[0], "id"))
	desk.wants("1")
	s.settled()
	if n := s.stored(); n != 0 {
		t.Errorf("%d are stored", n)
	}
}

// A 6xx that comes after the 202 is the answer of one device.
func TestDeclinedAfterTheSenderWasAnswered(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '300ms'")
	a, desk := s.phone("udp", "alice"), s.answering("desk", 0)
	if got := a.message(bob, "1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	m := desk.next()
	desk.autoReply.Store(200)
	desk.reply(m, 603)
	s.eventually("set aside", func() bool { return len(s.rows(true)) == 1 })
	for len(desk.requests) > 0 {
		<-desk.requests // retransmissions
	}
	s.refresh(desk, "desk")
	desk.nothing()
	soft := s.answering("soft", 200)
	soft.wants("1")
}

// Of two devices, one refuses and the other fails: only the other one is asked again, and it
// does not delay messages that the first one accepts.
func TestOneRefusesAndOneFails(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, desk, soft := s.phone("udp", "alice"), s.answering("desk", 415), s.answering("soft", 480)
	if got := a.message(bob, "1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	desk.wants("1")
	soft.wants("1")
	desk.autoReply.Store(200)
	a.message(bob, "2")
	desk.wants("2")
	soft.autoReply.Store(200)
	soft.registerAs("soft")
	s.eventually("an empty mailbox", func() bool { return s.stored() == 0 })
	desk.nothing()
	last := ""
	for len(soft.requests) > 0 {
		last = body(<-soft.requests)
	}
	if last != "1" {
		t.Errorf("the last one is %q", last)
	}
}

// The same with a device that does not answer.
func TestOneRefusesAndOneIsSilent(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '300ms'")
	a, desk, gone := s.phone("udp", "alice"), s.answering("desk", 415), s.answering("soft", 0)
	if got := a.message(bob, "1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	desk.wants("1")
	gone.next()
	desk.autoReply.Store(200)
	time.Sleep(34 * time.Second) // Timer F
	for i := range 3 {
		text := fmt.Sprint("text ", i)
		begin := time.Now()
		a.message(bob, text)
		for body(desk.next()) != text {
			t.Error("the desk phone got another message")
		}
		if d := time.Since(begin); i > 0 && d > 5*time.Second {
			t.Errorf("%s came after %v", text, d)
		}
	}
	soft := s.phone("udp", "bob") // from another port
	soft.registerAs("soft")
	soft.wants("1")
	desk.nothing()
}

// Many refused messages delay neither a registration nor a new message.
func TestMailboxOfRefusedMessages(t *testing.T) {
	t.Parallel()
	const many = 900
	s := serve(t)
	a := s.phone("tcp", "alice")
	for i := range many {
		_, _ = io.WriteString(a.conn, a.request("MESSAGE", bob, bob, fmt.Sprint(i), "Content-Type: text/plain"))
	}
	for range many {
		if m := <-a.answers; status(m) != 202 {
			t.Fatalf("answered %s", m)
		}
	}
	desk := s.answering("desk", 415)
	for end := time.Now().Add(time.Minute); len(desk.requests) < many && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	s.settled()
	for len(desk.requests) > 0 {
		<-desk.requests
	}
	desk.autoReply.Store(200)
	var slowest time.Duration
	for range 20 {
		begin := time.Now()
		desk.registerAs("desk")
		slowest = max(slowest, time.Since(begin))
		a.message(bob, "new")
		desk.wants("new")
		slowest = max(slowest, time.Since(begin))
	}
	if slowest > 2*time.Second {
		t.Errorf("a message came after %v", slowest)
	}
	t.Logf("slowest %v", slowest)
	desk.nothing()
	if n := len(s.rows(true)); n != many {
		t.Errorf("%d are set aside", n)
	}
}

// A device that has refused a message is not asked again while the database cannot record
// that.
func TestUnrecordedRefusalRepeatsNothing(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 20)
	r.admin(t, "REVOKE INSERT ON silod_device FROM app")
	desk := r.answering("desk", 415)
	desk.wants(r.want...)
	for range 5 {
		time.Sleep(time.Second)
		desk.refreshAs("desk")
	}
	desk.nothing()
	r.admin(t, "GRANT INSERT ON silod_device TO app")
	r.eventually("set aside", func() bool { return len(r.rows(true)) == 20 })
	r.refresh(desk, "desk")
	desk.nothing()
	soft := r.answering("soft", 200)
	soft.wants(r.want...)
	r.eventually("an empty mailbox", func() bool { return r.stored() == 0 })
	desk.nothing()
}

// With a proxy that knows the devices, a message that the proxy has refused is sent again
// when another device registers here.
func TestRefusedByAProxy(t *testing.T) {
	t.Parallel()
	next := listen(t, "127.0.0.1")
	next.autoReply.Store(488)
	s := serve(t, "silo.outbound_proxy = 'sip:"+next.addr()+";lr'")
	a := s.phone("udp", "alice")
	if got := a.message(bob, "1"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	s.call("silo_dump", "bob@127.0.0.1")
	if m := next.next(); body(m) != "1" {
		t.Errorf("got\n%s", m)
	}
	s.eventually("set aside", func() bool { return len(s.rows(true)) == 1 })
	s.call("silo_dump", "bob@127.0.0.1")
	s.settled()
	next.nothing()
	desk := s.phone("udp", "bob")
	for range 3 {
		desk.registerAs("desk")
		s.settled()
	}
	if m := next.next(); body(m) != "1" {
		t.Errorf("got\n%s", m)
	}
	next.nothing()
	next.autoReply.Store(200)
	s.phone("udp", "bob").registerAs("soft")
	if m := next.next(); body(m) != "1" {
		t.Errorf("got\n%s", m)
	}
	s.eventually("an empty mailbox", func() bool { return s.stored() == 0 })
	next.nothing()
}
