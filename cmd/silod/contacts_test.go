package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A page or a program that registers a new contact at each start does not lock its user out: the
// oldest contacts make room, and one message is not a thousand.
func TestContactsMakeRoom(t *testing.T) {
	t.Parallel()
	s := serve(t)
	kept := s.phone("tcp", "bob") // with an open connection
	kept.register(3600)
	u := s.phone("udp", "bob")
	for i := range 250 {
		a := u.ask(u.request("REGISTER", "sip:127.0.0.1", bob, "", fmt.Sprintf("Contact: <sip:page-%d@%s>", i, u.conn.LocalAddr()), "Expires: 3600"))
		if status(a) != 200 || !strings.Contains(a, fmt.Sprintf("<sip:page-%d@", i)) {
			t.Fatalf("page %d: answered\n%s", i, a)
		}
		if n := strings.Count(a, "\r\nContact:"); n > 100 {
			t.Fatalf("page %d: %d contacts", i, n)
		}
	}
	if n := s.count("location"); n != 100 {
		t.Errorf("%d rows", n)
	}
	s.settled()
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 200 {
		t.Errorf("answered %d", got)
	}
	if m := kept.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
	if m := u.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
}

// A configured limit refuses, as in Kamailio.
func TestConfiguredContacts(t *testing.T) {
	t.Parallel()
	s := serve(t, "registrar.max_contacts = 2")
	u := s.phone("udp", "bob")
	for i, want := range []int{200, 200, 403, 403} {
		a := u.ask(u.request("REGISTER", "sip:127.0.0.1", bob, "", fmt.Sprintf("Contact: <sip:page-%d@%s>", i, u.conn.LocalAddr())))
		if status(a) != want {
			t.Errorf("page %d: answered\n%s", i, a)
		}
	}
}

// The largest REGISTERs cost little, whatever is registered already.
func TestLargeRegisters(t *testing.T) {
	t.Parallel()
	s := serve(t, "registrar.max_contacts = 1000")
	u := s.phone("tcp", "bob")
	contact := func(i, params int) string {
		return fmt.Sprintf("<sip:bob@%s%s;t=%d>", u.conn.LocalAddr(), strings.Repeat(";aa", params), i)
	}
	var hundred, thousand []string
	for i := range 1000 {
		thousand = append(thousand, fmt.Sprintf("<sip:b%d@%s>", i, u.conn.LocalAddr()))
	}
	for i := range 1000 {
		if hundred = append(hundred, contact(i, 140)); len(hundred) == 100 {
			if a := u.ask(u.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: "+strings.Join(hundred, ","), "Expires: 600")); status(a) != 200 {
				t.Fatalf("answered\n%s", a)
			}
			hundred = nil
		}
	}
	for name, contacts := range map[string]string{
		"1,000 contacts":    strings.Join(thousand, ","),
		"31,000 parameters": "<sip:bob@" + u.conn.LocalAddr().String() + strings.Repeat(";a", 31_000) + ">",
	} {
		start := time.Now()
		a := u.ask(u.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: "+contacts[:min(len(contacts), 62_500)]))
		took := time.Since(start)
		t.Logf("%s: %v", name, took)
		if status(a) != 400 || took > 5*time.Second {
			t.Errorf("%s: after %v answered\n%s", name, took, a)
		}
	}
}
