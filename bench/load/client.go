package load

import (
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// A Turn is the decision of a Source.
type Turn int

// The decisions of a Source.
const (
	Send  Turn = iota // send the message
	Later             // nothing now: call the source again soon
	Done              // no more requests of this slot
)

// A Source supplies the next request of a slot that has no open request. It fills m, whose
// Body it may reuse. Slots are numbered over all clients of a Load. All calls for a slot
// are made by one goroutine.
type Source func(slot int, m *Message) Turn

// A Client has a socket and slots with one open request each. It retransmits requests
// until they are answered, and answers requests with 200. It runs in one goroutine.
type Client struct {
	link  link
	addr  string // of the link
	name  string // suffix of each branch, Call-ID and tag, which makes them unique
	slots []slot
	first int // number of the first slot
	heard func(Request)

	source atomic.Pointer[Source]
	asked  *Source // of the requests in the slots
	open   atomic.Int64
	idle   atomic.Int64 // slots whose source is Done
	waits  bool         // a slot was answered Later
	counts counts

	message Message
	answer  []byte
}

// A slot holds an open request.
type slot struct {
	raw   []byte // as sent
	count uint64 // number of requests sent
	state slotState
	begun time.Time
	due   time.Time // of the next retransmission
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

// Intervals for checking timers, and for asking the source again after Later.
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

// run runs the client until the link closes. The read deadline serves as its timer, which
// costs nothing while messages arrive.
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
			c.handle(raw)
		case errors.Is(err, os.ErrDeadlineExceeded):
			now := time.Now()
			c.link.deadline(now.Add(c.runTimers(now)))
		case closed(err):
			return err
		default:
			c.counts.faults.Add(1) // for example a refused port
		}
	}
}

// begin asks a new source for the requests of all slots.
func (c *Client) begin(now time.Time) {
	c.idle.Store(0)
	for i := range c.slots {
		if c.slots[i].state != slotOpen {
			c.fill(i, now)
		}
	}
}

// runTimers retransmits and ends requests that are due. It returns the time until its
// next call.
func (c *Client) runTimers(now time.Time) time.Duration {
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

// free ends the request of a slot and asks for the next one.
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

// handle handles a message from the server.
func (c *Client) handle(raw []byte) {
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

// answered handles a response.
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

// wake calls the source again for slots that were answered Later.
func (c *Client) wake(now time.Time) {
	for i := range c.slots {
		if c.slots[i].state == slotLater {
			c.fill(i, now)
		}
	}
}

// contact returns the contact URI of a user at this client.
func (c *Client) contact(user string) string {
	uri := "sip:" + user + "@" + c.addr
	if t := c.link.transport(); t != "UDP" {
		uri += ";transport=" + t
	}
	return uri
}

func clientName(i int) string { return "c" + strconv.Itoa(i) }
