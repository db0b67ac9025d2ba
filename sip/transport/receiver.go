package transport

import (
	"bytes"
	"time"

	"silod/sip"
)

// A Receiver processes received messages. Its methods are called on the goroutines that
// read sockets, so they must not wait.
type Receiver interface {
	// AcceptSource reports whether requests and STUN requests over a flow are read.
	// Responses always are.
	AcceptSource(sip.Flow) bool

	// Trusted reports whether the limits for connections do not apply to the peer of a flow.
	Trusted(sip.Flow) bool

	// Expects reports whether a response with this branch in its topmost Via, received over a
	// flow, answers a request of ours. For each request it returns true a few times only.
	Expects(branch []byte, f sip.Flow) bool

	// Receive processes one message. The bytes are valid until it returns. It returns a
	// Job if processing the message may have to wait, otherwise nil. It returns an error
	// if the boundaries of the following messages of a stream are unknown: the connection
	// is then closed. It may return both.
	Receive(raw []byte, from Origin) (Job, error)

	// FlowClosed is called when the connection of a flow has been closed.
	FlowClosed(sip.Flow)
}

// A Job is the rest of the work for a received message. Run may wait: other goroutines
// read the socket in the meantime.
type Job interface{ Run() }

// An Origin is the source of a received message.
type Origin struct {
	Flow  sip.Flow
	Batch *Batch // of a datagram, valid until Receive returns; nil for a stream
}

// accepts reports whether a datagram is passed to the Receiver. It counts the message against
// the rate of its source.
func (l *Layer) accepts(raw []byte, f sip.Flow) bool {
	l.Stats.BytesReceived.Add(len(raw))
	if l.counts(raw, f) && !l.datagrams.allow(f.Remote.Addr(), time.Now()) {
		l.Stats.Limited.Inc() // without an answer, which would add to the flood
		return false
	}
	return l.receiver.AcceptSource(f) || isResponse(raw)
}

// counts reports whether a message counts against the rate of its source. The answers to our
// requests do not: a server that gets all messages of silod may send as many as any other.
func (l *Layer) counts(raw []byte, f sip.Flow) bool {
	return l.datagrams.rate.Load() > 0 && (!isResponse(raw) || !l.receiver.Expects(topBranch(raw), f))
}

// isResponse reports whether a message starts with a status line.
func isResponse(raw []byte) bool { return bytes.HasPrefix(raw, []byte("SIP/2.0 ")) }

// receive passes one message of a stream to the Receiver. A worker runs its Job, because the
// connection has only one reader. The error is that of Receiver.Receive. Requests over a
// stranger's connection whose time is over are not read.
func (c *conn) receive(raw []byte) error {
	l := c.layer
	l.Stats.BytesReceived.Add(len(raw))
	if l.counts(raw, c.flow) {
		l.slow(c.flow)
	}
	response := isResponse(raw)
	if !response && !l.receiver.AcceptSource(c.flow) {
		return nil
	}
	guest := !response && c.accepted != nil && !c.accepted.vouched.Load()
	if guest && !c.accepted.serving.begin() {
		return nil
	}
	job, err := l.receiver.Receive(raw, Origin{Flow: c.flow})
	switch {
	case job != nil && guest:
		l.startJob(guestJob{job, c.accepted})
	case job != nil:
		l.startJob(job)
	case guest:
		c.accepted.answered()
	}
	return err
}

// slow waits while the source of a flow exceeds its rate over streams. Nothing is dropped,
// because nothing would be sent again: the peer has to wait until its connection is read. Each
// connection waits for one message at a time, so the wait is bounded by their number.
func (l *Layer) slow(f sip.Flow) {
	wait := l.streams.reserve(f.Remote.Addr(), time.Now())
	if wait == 0 {
		return
	}
	l.Stats.Slowed.Inc()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.running.Done():
	}
}
