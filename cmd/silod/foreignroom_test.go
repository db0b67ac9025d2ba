package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// TestForeignRoomIsMember makes a room of another silod a member. It gets each word once: its
// answer is final, whereas another 482 is tried again.
func TestForeignRoomIsMember(t *testing.T) {
	t.Parallel()
	s := serve(t, retriedSoon, "auth.trusted = ['127.0.0.0/8 identity relay']", "auth.relay = 'trusted'")
	f := listen(t, "127.0.0.3")
	f.autoReply.Store(0)
	a := s.phone("udp", "alice")
	for _, text := range []string{"#create", "#add chat-9@" + f.addr()} {
		if got := a.message(room1, text); got != 200 {
			t.Fatalf("%s is answered %d", text, got)
		}
	}
	got := map[string]int{}
	answer := func(reason string) {
		select {
		case m := <-f.requests:
			got[body(m)]++
			_, _ = io.WriteString(f.conn, strings.Replace(f.response(m, 482), "482 Test", "482 "+reason, 1))
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing more arrives; %v", got)
		}
	}
	answer(sip.ReasonForRooms) // the notice of the addition
	a.message(room1, "one")
	answer(sip.ReasonForRooms)
	a.message(room1, "two")
	answer("Loop Detected")
	answer("Loop Detected")
	answer(sip.ReasonForRooms)
	a.message(room1, "three")
	answer(sip.ReasonForRooms)
	s.eventually("the refusals", func() bool { return s.engine.Refused.Value() >= 3 })
	f.nothing()
	if got["[alice]: one"] != 1 || got["[alice]: two"] != 3 || got["[alice]: three"] != 1 {
		t.Errorf("the other room got %v", got)
	}
}
