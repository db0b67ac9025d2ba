package imc

import (
	"errors"
	"testing"
	"time"

	"silod/sip"
)

// TestRequestRateUnderFlood checks that messages to more rooms than the meter holds neither
// refuse the messages of another user nor free the sender of a burst from its limit.
func TestRequestRateUnderFlood(t *testing.T) {
	s := quietService(t, func(c *Config) { c.MaxRate = 600 })
	request := func(user, room string) *Request {
		return &Request{
			Sender: sip.Sender{AoR: sip.AoR{User: user, Domain: "example.test"}},
			Room:   sip.AoR{User: room, Domain: "example.test"},
		}
	}
	for i := range 600 {
		if err := s.checkRate(request("carol", "chat-1")); err != nil {
			t.Fatalf("message %d of a burst is refused: %v", i, err)
		}
	}
	for i := range 2 * maxMetered {
		s.checkRate(request("mallory", itoa(i)))
	}
	if err := s.checkRate(request("bob", "chat-1")); err != nil {
		t.Errorf("another user is refused: %v", err)
	}
	err := s.checkRate(request("carol", "chat-1"))
	var r *refusal
	if !errors.As(err, &r) || r.wait <= 0 || r.wait > time.Minute/600 {
		t.Errorf("the message after the burst: %v", err)
	}
	if n := s.requests.Len(); n > maxMetered {
		t.Errorf("the meter holds %d", n)
	}
}
