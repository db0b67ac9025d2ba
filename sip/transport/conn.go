package transport

import (
	"sync"
	"time"

	"silod/sip"
)

// A pipe carries whole messages to a peer: over a byte stream or a WebSocket.
type pipe interface {
	write(b []byte, timeout time.Duration) error
	close()
}

// A conn is one connection, accepted or opened by us.
type conn struct {
	layer    *Layer
	flow     sip.Flow
	pipe     pipe
	accepted *acceptedConn   // nil if we opened it
	dialed   dialKey         // "" if the peer opened it
	names    func() []string // see PeerNames
}

// newConn returns a connection that is in the table. If the layer is stopping, it closes p
// and returns nil.
func (l *Layer) newConn(p pipe, f sip.Flow, accepted *acceptedConn) *conn {
	c := &conn{layer: l, flow: f, pipe: p, accepted: accepted}
	c.names = sync.OnceValue(func() []string { return l.peerNames(p) })
	if !l.conns.add(c) {
		p.close()
		return nil
	}
	l.Stats.Connections.Inc()
	return c
}

// close closes the connection and reports that to the Receiver. Only the first call has an
// effect.
func (c *conn) close() {
	if !c.layer.conns.remove(c) {
		return
	}
	defer c.layer.conns.serving.Done()
	c.pipe.close()
	c.layer.receiver.FlowClosed(c.flow)
}

// send sends one message. On an error, such as a timeout, it closes the pipe, because a
// part of the message may have been sent.
func (c *conn) send(b []byte) error {
	err := c.pipe.write(b, c.layer.opt.WriteTimeout)
	if err != nil {
		c.pipe.close() // the reader then calls c.close
	}
	return err
}

func (l *Layer) sendStream(f sip.Flow, b []byte) error {
	c := l.conns.get(f)
	if c == nil {
		return ErrClosed
	}
	return c.send(b)
}
