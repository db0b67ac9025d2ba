package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// awaitQuiet waits until the daemon has received no MESSAGE for a second, and returns how
// many it has received since its start.
func (d *daemon) awaitQuiet(t *testing.T) int {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, func() error {
		if n := d.counter(t, "router:messages"); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < time.Second {
			return fmt.Errorf("messages do not end: %d so far", last)
		}
		return nil
	})
	return last
}

// TestNotificationsDoNotLoop: Linphone answers every text with a disposition notification. A
// server that sent those to a room, or answered them with a notice, would cause a loop.
func TestNotificationsDoNotLoop(t *testing.T) {
	t.Run("room", func(t *testing.T) {
		t.Parallel()
		d := serve(t)
		var phones []*device
		for _, user := range []string{"alice", "bob"} {
			p := linphone(t, d, "udp", user)
			d.awaitOnline(t, user, true)
			p.say("chat-1", "#join")
			phones = append(phones, p)
		}
		eventually(t, func() error {
			n, err := d.call("imc_list_members", uri("chat-1"))
			if err == nil && len(n.Nodes) != 2 {
				err = fmt.Errorf("%d members, want 2", len(n.Nodes))
			}
			return err
		})
		before := d.awaitQuiet(t)
		phones[0].say("chat-1", "hello room")
		phones[1].awaitText("chat-1", "[alice]: hello room")
		if got := d.awaitQuiet(t) - before; got != 2 {
			t.Errorf("one text to a room of two made %d messages, want it and one notification", got)
		}
	})
	t.Run("offline notice", func(t *testing.T) {
		t.Parallel()
		d := serve(t, "silo.from_address = 'sip:registrar@"+domain+"'", "silo.offline_message = '*** User $rU is offline!'",
			`silo.content_type_hdr = "Content-Type: text/plain\r\n"`)
		alice := linphone(t, d, "udp", "alice")
		d.awaitOnline(t, "alice", true)
		alice.say("bob", "hello")
		alice.awaitText("registrar", "*** User bob is offline!")
		alice.say("bob", "are you there?") // no second notice of the same
		d.awaitStored(t, "bob", "hello", "are you there?")
		if got := d.awaitQuiet(t); got != 3 {
			t.Errorf("two texts to a user who is offline made %d messages, want them and one notification of one notice", got)
		}
		d.awaitStored(t, "registrar")
	})
	t.Run("sender gone", func(t *testing.T) {
		t.Parallel()
		d := serve(t)
		alice := linphone(t, d, "udp", "alice")
		d.awaitOnline(t, "alice", true)
		alice.say("bob", "hello")
		d.awaitStored(t, "bob", "hello")
		alice.unregister()
		d.awaitOnline(t, "alice", false)
		bob := linphone(t, d, "tcp", "bob")
		bob.awaitText("alice", "hello")
		// bob's notification waits for alice, and is delivered to her phone.
		linphone(t, d, "tcp", "alice")
		d.awaitOnline(t, "alice", true)
		if got := d.awaitQuiet(t); got != 2 {
			t.Errorf("one text and its notification made %d messages", got)
		}
		d.awaitStored(t, "alice")
		d.awaitStored(t, "bob")
	})
}

// TestPhonesOfAllKinds has phones of four projects in one room.
func TestPhonesOfAllKinds(t *testing.T) {
	d := serve(t, roomTexts)
	alice, bob := linphone(t, d, "tcp", "alice"), baresip(t, d, "udp", "bob")
	carol, dave := twinkle(t, d, "tcp", "carol"), libpurple(t, d, "udp", "dave")
	phones := []*device{alice, bob, carol, dave}
	for _, p := range phones {
		d.awaitOnline(t, p.user, true)
	}
	alice.say("chat-1", "#create")
	alice.awaitText("chat-1", "chat-1 is yours")
	for _, p := range phones[1:] {
		p.say("chat-1", "#join")
		alice.awaitText("chat-1", p.user+" is in chat-1")
	}
	for _, speaker := range phones {
		speaker.say("chat-1", hard)
		for _, p := range phones {
			if p != speaker {
				p.awaitText("chat-1", "["+speaker.user+"]: "+hard)
			}
		}
	}
	// bob is offline, and receives the message when he is online again.
	bob.unregister()
	d.awaitOnline(t, "bob", false)
	alice.say("chat-1", "bob is away")
	carol.awaitText("chat-1", "[alice]: bob is away")
	baresip(t, d, "tcp", "bob").awaitText("chat-1", "[alice]: bob is away")
}
