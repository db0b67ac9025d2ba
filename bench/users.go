package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"silod/bench/load"
)

// A person is the address of a user and, if it is registered, the values that its
// REGISTERs share.
type person struct {
	uri     string
	name    string
	contact string
	callID  string
	seq     int // CSeq of the last REGISTER
	sent    int // messages to this user so far
}

// people returns n users with numbered names.
func (s *stage) people(n int) []person {
	ps := make([]person, n)
	for i := range ps {
		name := "u" + strconv.Itoa(i)
		ps[i] = person{name: name, uri: "sip:" + name + "@" + domain, callID: "register-" + name}
	}
	return ps
}

// number returns the number in the name of a user; ok is false for other names.
func number(user []byte) (n int, ok bool) {
	digits, ok := bytes.CutPrefix(user, []byte("u"))
	n, err := strconv.Atoi(string(digits))
	return n, ok && err == nil && n >= 0
}

// each returns a source that repeats all people until next returns Done. Each slot of the
// load has its own part of them, so that each has one request open at most.
func (s *stage) each(people []person, next func(i int, p *person, m *load.Message) load.Turn) load.Source {
	return eachOf(people, s.load.Slots(), next)
}

func eachOf(people []person, slots int, next func(int, *person, *load.Message) load.Turn) load.Source {
	turn := make([]int, slots) // index of the next person, by slot
	for i := range turn {
		turn[i] = i
	}
	return func(slot int, m *load.Message) load.Turn {
		i := turn[slot]
		if i >= len(people) {
			i = slot
		}
		if i >= len(people) {
			return load.Done // more slots than people
		}
		t := next(i, &people[i], m)
		if t == load.Send {
			turn[slot] = i + slots
		}
		return t
	}
}

// register fills in the next REGISTER of a person.
func (p *person) register(m *load.Message) {
	p.seq++
	m.Method, m.URI, m.From, m.To = "REGISTER", "sip:"+domain, p.uri, p.uri
	m.CallID, m.CSeq, m.Contact = p.callID, p.seq, p.contact
}

// message fills in the next MESSAGE to a person.
func (s *stage) message(i int, p *person, m *load.Message) load.Turn {
	m.Method, m.URI, m.From, m.To = "MESSAGE", p.uri, "sip:alice@"+domain, p.uri
	m.Body = s.fill(m.Body, i, p.sent)
	p.sent++
	return load.Send
}

// registerAll registers people, each once, as users of the load's clients.
func (s *stage) registerAll(ctx context.Context, people []person) error {
	return s.registerAt(ctx, people, s.load.Contact)
}

// registerAt registers people, each once, at the contacts that contact returns for the number
// and the name of a user, when the REGISTER is sent.
func (s *stage) registerAt(ctx context.Context, people []person, contact func(i int, name string) string) error {
	before := s.load.Counts()
	err := s.load.Do(ctx, s.each(people, func(i int, p *person, m *load.Message) load.Turn {
		if p.seq > 0 {
			return load.Done
		}
		p.contact = contact(i, p.name)
		p.register(m)
		return load.Send
	}))
	if err != nil {
		return fmt.Errorf("register %d users: %w", len(people), err)
	}
	if got := s.load.Counts().Since(before); got.Status[200] != int64(len(people)) {
		return fmt.Errorf("registered %d of %d users; %s", got.Status[200], len(people), statuses(got))
	}
	return nil
}

// statuses describes the answers for messages.
func statuses(c *load.Counts) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d requests without an answer", c.Lost)
	for code, n := range &c.Status {
		if n > 0 {
			fmt.Fprintf(&text, ", %d times %d", n, code)
		}
	}
	return text.String()
}

// successes returns the number of requests that were answered 2xx.
func successes(r reading) int64 { return r.counts.Answers(200, 300) }
