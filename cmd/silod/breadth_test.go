package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMaxBreadth checks how silod shares the Max-Breadth of a message between the devices of
// its recipient (RFC 5393 section 5.3.3).
func TestMaxBreadth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field   string
		devices int
		want    int   // the answer
		shares  []int // of the devices, highest first
	}{
		{"", 1, 200, []int{60}},
		{"", 3, 200, []int{20, 20, 20}},
		{"Max-Breadth: 5", 1, 200, []int{5}},
		{"max-breadth: 5", 2, 200, []int{3, 2}},
		{"Max-Breadth: 400", 1, 200, []int{60}},
		{"Max-Breadth: 2", 2, 200, []int{1, 1}},
		{"Max-Breadth: 0", 1, 440, nil},
		{"Max-Breadth: 0", 0, 202, nil},
		{"Max-Breadth: one", 1, 400, nil},
		{"Max-Breadth: one", 0, 400, nil},
		{"Max-Breadth: 1\r\nMax-Breadth: 1", 1, 400, nil},
	} {
		t.Run(fmt.Sprint(tt.field, " ", tt.devices), func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			var bobs []*ua
			for range tt.devices {
				b := s.phone("udp", "bob")
				b.register(300)
				b.autoReply.Store(0)
				bobs = append(bobs, b)
			}
			a, answer := s.phone("udp", "alice"), make(chan string, 1)
			var more []string
			if tt.field != "" {
				more = []string{tt.field}
			}
			request := a.request("MESSAGE", bob, bob, "hello", append(more, "Content-Type: text/plain")...)
			go func() { answer <- a.ask(request) }()
			var shares []int
			var last string
			for _, b := range bobs[:len(tt.shares)] {
				last = b.next()
				n, _ := strconv.Atoi(header(last, "Max-Breadth"))
				if strings.Count(last, "Max-Breadth:") != 1 {
					t.Errorf("a device got\n%s", last)
				}
				shares = append(shares, n)
			}
			if len(shares) > 0 {
				bobs[len(bobs)-1].reply(last, 200)
			}
			if got := <-answer; status(got) != tt.want {
				t.Errorf("answered\n%s", got)
			}
			slices.Sort(shares)
			slices.Reverse(shares)
			if !slices.Equal(shares, tt.shares) {
				t.Errorf("the devices have %v, want %v", shares, tt.shares)
			}
		})
	}
}

// TestTooManyDevicesForBreadth checks that devices are tried one after the other where
// Max-Breadth does not allow all at once.
func TestTooManyDevicesForBreadth(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var bobs []*ua
	for range 3 {
		b := s.phone("udp", "bob")
		b.register(300)
		b.autoReply.Store(0)
		bobs = append(bobs, b)
	}
	a, answer := s.phone("udp", "alice"), make(chan string, 1)
	request := a.request("MESSAGE", bob, bob, "hello", "Max-Breadth: 1", "Content-Type: text/plain")
	go func() { answer <- a.ask(request) }()
	for i, b := range bobs {
		m := b.next()
		if got := header(m, "Max-Breadth"); got != "1" {
			t.Errorf("device %d has a share of %q", i, got)
		}
		for _, later := range bobs[i+1:] {
			if len(later.requests) > 0 {
				t.Error("two devices have the message at once")
			}
		}
		b.reply(m, map[bool]int{false: 480, true: 200}[i == 2])
	}
	if got := <-answer; status(got) != 200 {
		t.Errorf("answered\n%s", got)
	}
}

// TestOwnBreadth checks that the messages of silod itself begin with a breadth of 60.
func TestOwnBreadth(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(bob, "stored", "Max-Breadth: 3")
	b.register(300)
	if m := b.next(); header(m, "Max-Breadth") != "60" || strings.Count(m, "Max-Breadth:") != 1 {
		t.Errorf("a stored message is\n%s", m)
	}
	b.message("sip:chat-1@127.0.0.1", "#help")
	if m := b.next(); header(m, "Max-Breadth") != "60" {
		t.Errorf("an answer of a room is\n%s", m)
	}
}
