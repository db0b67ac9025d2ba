package load

import (
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// Turn is what a Source wants done.
type Turn int

// The turns.
const (
	Send  Turn = iota // send the message
	Later             // nothing yet: ask again soon
	Done              // nothing more from this slot
)

// A Source gives the next request of a slot, which has no request open. It fills m,
// whose Body it may reuse. Slots are numbered through over all clients of a Load, and
// each is only asked for by one goroutine.
type Source func(slot int, m *Message) Turn

// Client is one socket: it keeps requests open, one in each of its slots, sends them
// again where no answer comes, and answers what it gets with 200. One goroutine does
// all of it.
type Client struct {
	link  link
	addr  string // of the link
	name  string // ends each branch, Call-ID and tag, so that no two clients share one
	slots []slot
	first int // number of the first slot
	heard func(Request)

	source atomic.Pointer[Source]
	asked  *Source // the one that the slots are working for
	open   atomic.Int64
	idle   atomic.Int64 // slots whose source is Done
	waits  bool         // some slot was told Later
	counts counts

	message Message
	answer  []byte
}

// slot holds one open request.
type slot struct {
	raw   []byte // as sent
	count uint64 // of requests sent from here
	state slotState
	begun time.Time
	due   time.Time // to be sent again
	wait  time.Duration
}

type slotState int

const (
	slotDone slotState = iota
	slotLater
	slotOpen
)

// Timers of a client over UDP (RFC 3261 section 17.1.2.2).
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	timerF  = 64 * timerT1
)

// How often timers are looked at, and slots that were told Later are asked again.
const (
	tick      = 50 * time.Millisecond
	shortTick = time.Millisecond
)

func newClient(l link, name string, first, open int, heard func(Request)) *Client {
	return &Client{
		link: l, addr: l.local().String(), name: name,
		slots: make([]slot, open), first: first, heard: heard,
	}
}

// run serves until the link closes. Its deadline is its clock: the turn comes when a
// read finds it passed, which costs nothing while messages flow.
func (c *Client) run() error {
	c.link.deadline(time.Now())
	for {
		if src := c.source.Load(); src != c.asked {
			c.asked = src
			c.begin(time.Now())
		}
		raw, err := c.link.receive()
		switch {
		case err == nil:
			c.take(raw)
		case errors.Is(err, os.ErrDeadlineExceeded):
			now := time.Now()
			c.link.deadline(now.Add(c.turn(now)))
		case closed(err):
			return err
		default:
			c.counts.faults.Add(1) // a refused port, for one
		}
	}
}

// begin puts all slots to work for a new source.
func (c *Client) begin(now time.Time) {
	c.idle.Store(0)
	for i := range c.slots {
		if c.slots[i].state != slotOpen {
			c.fill(i, now)
		}
	}
}

// turn does what is due and gives the time until the next turn.
func (c *Client) turn(now time.Time) time.Duration {
	again := false
	for i := range c.slots {
		s := &c.slots[i]
		switch {
		case s.state == slotLater:
			c.fill(i, now)
			again = again || s.state == slotLater
		case s.state == slotOpen && now.Sub(s.begun) > timerF:
			c.counts.lost.Add(1)
			c.free(i, now)
		case s.state == slotOpen && c.link.transport() == "UDP" && !now.Before(s.due):
			c.counts.resent.Add(1)
			s.wait = min(2*s.wait, timerT2)
			s.due = now.Add(s.wait)
			c.put(s.raw)
		}
	}
	if c.waits = again; again {
		return shortTick
	}
	return tick
}

// fill asks the source for a request and sends it.
func (c *Client) fill(i int, now time.Time) {
	s := &c.slots[i]
	m := &c.message
	*m = Message{Body: m.Body[:0]}
	turn := Done
	if c.asked != nil {
		turn = (*c.asked)(c.first+i, m)
	}
	switch turn {
	case Later:
		s.state = slotLater
		if !c.waits {
			c.waits = true
			c.link.deadline(now.Add(shortTick))
		}
	case Done:
		s.state = slotDone
		c.idle.Add(1)
	case Send:
		s.count++
		s.raw = c.appendRequest(s.raw[:0], m, i, s.count)
		s.state, s.begun, s.wait, s.due = slotOpen, now, timerT1, now.Add(timerT1)
		c.open.Add(1)
		c.counts.sent.Add(1)
		c.put(s.raw)
	}
}

// free ends a slot's request and begins the next one.
func (c *Client) free(i int, now time.Time) {
	c.slots[i].state = slotDone
	c.open.Add(-1)
	c.fill(i, now)
}

func (c *Client) put(raw []byte) {
	if err := c.link.send(raw); err != nil {
		c.counts.faults.Add(1)
	}
}

// take handles one message from the server.
func (c *Client) take(raw []byte) {
	for len(raw) > 0 && (raw[0] == '\r' || raw[0] == '\n') {
		raw = raw[1:]
	}
	if len(raw) > len(version) && string(raw[:len(version)]) == version {
		c.answered(raw)
		return
	}
	req, answer, ok := readRequest(raw, c.answer[:0])
	c.answer = answer
	if !ok {
		c.counts.faults.Add(1)
		return
	}
	c.counts.heard.Add(1)
	if c.heard != nil {
		c.heard(req)
	}
	c.put(answer)
	if c.waits {
		c.wake(time.Now())
	}
}

// answered matches a response to its slot.
func (c *Client) answered(raw []byte) {
	r, ok := parseResponse(raw)
	if !ok || r.slot >= len(c.slots) {
		c.counts.faults.Add(1)
		return
	}
	s := &c.slots[r.slot]
	if s.state != slotOpen || s.count != r.count {
		c.counts.late.Add(1) // the answer to a retransmission
		return
	}
	now := time.Now()
	if r.status < 200 {
		s.wait, s.due = timerT2, now.Add(timerT2)
		return
	}
	c.counts.latency.Record(now.Sub(s.begun))
	c.counts.status[r.status].Add(1)
	c.free(r.slot, now)
	if c.waits {
		c.wake(now)
	}
}

// wake asks again for slots that were told Later: what came may have changed that.
func (c *Client) wake(now time.Time) {
	for i := range c.slots {
		if c.slots[i].state == slotLater {
			c.fill(i, now)
		}
	}
}

// contact is the URI at which a user is reached here.
func (c *Client) contact(user string) string {
	uri := "sip:" + user + "@" + c.addr
	if t := c.link.transport(); t != "UDP" {
		uri += ";transport=" + t
	}
	return uri
}

func clientName(i int) string { return "c" + strconv.Itoa(i) }
