package main

import (
	"testing"
	"time"
)

// A 6xx of one device after the 202 does not delay another one that returns, and neither
// does a 6xx to a stored message.
func TestDeviceReturnsAfterADecline(t *testing.T) {
	t.Parallel()
	t.Run("relayed", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "sip.accept_timeout = '300ms'")
		a, desk, lost := s.phone("udp", "alice"), s.answering("desk", 0), s.answering("soft", 0)
		if got := a.message(bob, "1"); got != 202 {
			t.Errorf("answered %d", got)
		}
		lost.next()
		desk.autoReply.Store(603)
		desk.reply(desk.next(), 603)
		time.Sleep(500 * time.Millisecond)
		s.returns("soft").gets("1")
	})
	t.Run("stored", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		if got := s.phone("udp", "alice").message(bob, "1"); got != 202 {
			t.Errorf("answered %d", got)
		}
		lost := s.phone("udp", "bob")
		lost.autoReply.Store(0)
		lost.registerAs("soft")
		lost.next()
		desk := s.answering("desk", 603)
		desk.next()
		time.Sleep(500 * time.Millisecond)
		s.returns("soft").gets("1")
	})
}

// returns registers a device of bob at a new address, at which it accepts messages.
func (s *served) returns(name string) *ua {
	s.t.Helper()
	u := s.phone("udp", "bob")
	u.registerAs(name)
	return u
}

// A device that waits for its turn gets the message although another one declines it after
// the 202, and nothing stays held.
func TestDeclineBeforeTheNextDevice(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '300ms'")
	a, desk, soft := s.phone("udp", "alice"), s.answering("desk", 0), s.answering("soft", 200)
	if got := a.message(bob, "1", "Max-Breadth: 1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	desk.reply(desk.next(), 603)
	soft.wants("1")
	s.eventually("an empty mailbox", func() bool { return s.stored() == 0 })
	desk.autoReply.Store(603)
	if got := a.message(bob, "2"); got >= 500 && got != 603 {
		t.Errorf("the next message: %d", got)
	}
	soft.wants("2")
}
