package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"silod/bench/load"
)

// person is a user's address and, where registered, what the registrations share.
type person struct {
	uri     string
	name    string
	contact string
	callID  string
	seq     int // CSeq of the last REGISTER
	sent    int // messages to this user so far
}

// people makes users with numbered names.
func (s *stage) people(n int) []person {
	ps := make([]person, n)
	for i := range ps {
		name := "u" + strconv.Itoa(i)
		ps[i] = person{name: name, uri: "sip:" + name + "@" + domain, callID: "register-" + name}
	}
	return ps
}

// number is that of a user with such a name.
func number(user []byte) (int, bool) {
	digits, ok := bytes.CutPrefix(user, []byte("u"))
	n, err := strconv.Atoi(string(digits))
	return n, ok && err == nil && n >= 0
}

// each is a source that goes round the people for ever, until next says Done. Each slot
// of the load has its own share of them, so that nothing about one of them happens
// twice at once.
func (s *stage) each(people []person, next func(i int, p *person, m *load.Message) load.Turn) load.Source {
	return eachOf(people, s.load.Slots(), next)
}

func eachOf(people []person, slots int, next func(int, *person, *load.Message) load.Turn) load.Source {
	turn := make([]int, slots) // whose it is, by slot
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
	for i := range people {
		people[i].contact = s.load.Contact(i, people[i].name)
	}
	before := s.load.Counts()
	err := s.load.Do(ctx, s.each(people, func(_ int, p *person, m *load.Message) load.Turn {
		if p.seq > 0 {
			return load.Done
		}
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

// statuses says in words which answers came.
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

// successes are the requests that were answered 2xx.
func successes(r reading) int64 { return r.counts.Answers(200, 300) }
