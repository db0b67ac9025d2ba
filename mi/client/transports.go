package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"silod/fifo"
	"silod/mi"
)

// deadliner is a connection or a FIFO.
type deadliner interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// deadlineReader sets a deadline for each read and write. After ctx has ended they all
// fail.
type deadlineReader struct {
	deadliner
	ctx     context.Context
	timeout time.Duration // 0 or less: no limit
	stop    func() bool   // ends waiting for ctx
}

// newDeadlineReader returns a reader of c. The end of ctx interrupts a read that waits.
func newDeadlineReader(ctx context.Context, c deadliner, timeout time.Duration) *deadlineReader {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return &deadlineReader{c, ctx, timeout, stop}
}

// extend sets the deadline of the next read or write.
func (r *deadlineReader) extend() error {
	var at time.Time
	if r.timeout > 0 {
		at = time.Now().Add(r.timeout)
	}
	if err := r.SetDeadline(at); err != nil {
		return err
	}
	return r.ctx.Err() // ctx may have ended, and its deadline been overwritten, just before
}

// Read reads a part of the reply.
func (r *deadlineReader) Read(p []byte) (int, error) {
	if err := r.extend(); err != nil {
		return 0, err
	}
	return r.deadliner.Read(p)
}

// send writes a request in one write, so that a short one stays in one piece in a FIFO
// to which other clients write.
func (r *deadlineReader) send(call rpcCall) error {
	b, err := json.Marshal(call)
	if err == nil {
		err = r.extend()
	}
	if err == nil {
		_, err = r.Write(append(b, '\n'))
	}
	return err
}

// Close closes the connection and ends waiting for ctx.
func (r *deadlineReader) Close() error {
	r.stop()
	return r.deadliner.Close()
}

// connect opens a socket within the Target's timeout.
func (c *Client) connect(ctx context.Context, network string) (net.Conn, error) {
	d := net.Dialer{Timeout: max(c.target.Timeout, 0)}
	conn, err := d.DialContext(ctx, network, c.target.Socket)
	if errors.Is(err, syscall.EPROTOTYPE) {
		return nil, err
	}
	if err != nil {
		return nil, unreachable(c.target.Socket, err)
	}
	return conn, nil
}

// takeDialed returns the connection that Dial opened to the first caller, and nil to all
// others.
func (c *Client) takeDialed() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.dialed
	c.dialed = nil
	return conn
}

// sendControl sends a request over the control socket. Each command has a connection of
// its own, which costs less than finding out whether a used one still works.
func (c *Client) sendControl(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	if conn := c.takeDialed(); conn != nil {
		r := newDeadlineReader(ctx, conn, c.target.Timeout)
		err := r.send(call)
		if err == nil {
			return r, nil
		}
		_ = r.Close()
		if !errors.Is(err, syscall.EPIPE) {
			return nil, err
		}
		// The daemon closed it before the request: it was idle for too long, or the daemon
		// restarted.
	}
	conn, err := c.connect(ctx, "unix")
	if err != nil {
		return nil, err
	}
	r := newDeadlineReader(ctx, conn, c.target.Timeout)
	// A daemon with too many connections closes this one at once, after a refusal.
	if err := r.send(call); err != nil && !errors.Is(err, syscall.EPIPE) {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// sendDatagram sends a request over the datagram socket and waits for the reply, which is
// one datagram.
func (c *Client) sendDatagram(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	own, remove := clientAddr()
	defer remove()
	d := net.Dialer{LocalAddr: &net.UnixAddr{Name: own, Net: "unixgram"}}
	conn, err := d.DialContext(ctx, "unixgram", c.target.Socket)
	if err != nil {
		return nil, unreachable(c.target.Socket, err)
	}
	r := newDeadlineReader(ctx, conn.(*net.UnixConn), c.target.Timeout)
	defer r.Close()
	if err := r.send(call); err != nil {
		return nil, err
	}
	buf := make([]byte, 2*mi.MaxRequest) // more than any reply
	n, err := r.Read(buf)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(buf[:n])), nil
}

// sendFIFO sends a request over the request FIFO.
func (c *Client) sendFIFO(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	conn, err := fifo.Open(c.target.FIFO)
	if err != nil {
		return nil, unreachable(c.target.FIFO, err)
	}
	if call.ReplyName, err = conn.MakeReply(c.target.ReplyDir); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("create a reply FIFO: %w", err)
	}
	r := newDeadlineReader(ctx, conn, c.target.Timeout)
	if err := r.send(call); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}
