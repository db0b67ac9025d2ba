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

// accepts reports whether a message is passed to the Receiver. It takes a token of the
// source's rate limit.
func (l *Layer) accepts(raw []byte, f sip.Flow) bool {
	l.Stats.BytesReceived.Add(len(raw))
	if !l.limiter.allow(f.Remote.Addr(), time.Now()) {
		l.Stats.Limited.Inc() // without an answer, which would add to the flood
		return false
	}
	return l.receiver.AcceptSource(f) || isResponse(raw)
}

// isResponse reports whether a message starts with a status line.
func isResponse(raw []byte) bool { return bytes.HasPrefix(raw, []byte("SIP/2.0 ")) }

// receiveStream passes one message of a stream to the Receiver. A worker runs its Job,
// because the connection has only one reader. The error is that of Receiver.Receive.
func (l *Layer) receiveStream(raw []byte, f sip.Flow) error {
	if !l.accepts(raw, f) {
		return nil
	}
	job, err := l.receiver.Receive(raw, Origin{Flow: f})
	if job != nil {
		l.startJob(job)
	}
	return err
}
