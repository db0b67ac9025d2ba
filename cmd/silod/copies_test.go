package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// All devices of a user get a message, once, although one of them accepts it before it has been
// sent to the others: while a connection is tried for a text that is too large for UDP, or while
// a message is not sent to more devices at the same time.
func TestAllDevicesGetTheMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		devices, size int
		hang          int // devices that do not answer to a connection
		stored        bool
	}{
		{"a large text", 12, 1500, 0, false},
		{"a large text, and connections hang", 4, 1500, 3, false},
		{"a large text that was stored", 12, 1500, 0, true},
		{"many devices", 70, 5, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a := s.phone("tcp", "alice")
			send := func() {
				if got := a.message(bob, strings.Repeat("x", tt.size)); got/100 != 2 { // 202 if the queue is still busy
					t.Errorf("answered %d", got)
				}
			}
			if tt.stored {
				send()
			}
			var phones []*ua
			var contacts []string
			for i := range tt.devices {
				u := s.phone("udp", "bob")
				if i < tt.hang {
					closedToTCP(t, u)
				}
				phones = append(phones, u)
				contacts = append(contacts, u.contact(fmt.Sprintf(`;+sip.instance="<urn:uuid:%d>"`, i)))
			}
			phones[0].bind(contacts...)
			if !tt.stored {
				send()
			}
			for _, u := range phones {
				u.next()
			}
			time.Sleep(100 * time.Millisecond)
			for _, u := range phones {
				if n := len(u.requests); n > 0 {
					t.Errorf("a device got %d more", n)
				}
			}
		})
	}
}
