// Package client calls management commands of a running daemon over its control socket,
// its datagram socket or its request FIFO.
//
// Lock: Client.mu guards the connection that Dial opened, and is not held across I/O.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"
	"syscall"
	"time"

	"silod/fifo"
	"silod/mi"
)

// Target is the address of a daemon. Socket is preferred to FIFO.
type Target struct {
	Socket   string        // control socket or datagram socket; Dial finds its type
	FIFO     string        // request FIFO, of a daemon without sockets
	ReplyDir string        // the daemon's reply_dir; "" is /tmp/
	Timeout  time.Duration // for each reply, and each piece of a long one; 0 is 5 s, below 0 no limit
}

// Client calls commands of a running daemon. It may be used concurrently. Each command
// has a connection of its own, so a Client survives a restart of the daemon.
type Client struct {
	target Target
	send   func(ctx context.Context, request rpcCall) (io.ReadCloser, error)

	mu     sync.Mutex
	dialed net.Conn // the control connection that Dial opened; nil once a command has taken it
}

// Dial connects to the daemon at t and finds the type of its socket. The error wraps
// ErrUnreachable if no daemon answers at t.
func Dial(ctx context.Context, t Target) (*Client, error) {
	if t.Timeout == 0 {
		t.Timeout = 5 * time.Second
	}
	if t.ReplyDir == "" {
		t.ReplyDir = "/tmp/"
	}
	c := &Client{target: t}
	if err := c.find(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// find chooses the transport. Connecting to a datagram socket as to a stream socket fails
// with EPROTOTYPE.
func (c *Client) find(ctx context.Context) error {
	if c.target.Socket == "" && c.target.FIFO == "" {
		return fmt.Errorf("%w: no socket or FIFO is set", ErrUnreachable)
	}
	if c.target.Socket == "" {
		c.send = c.sendFIFO
		f, err := fifo.Open(c.target.FIFO)
		if err != nil {
			return unreachable(c.target.FIFO, err)
		}
		return f.Close()
	}
	conn, err := c.connect(ctx, "unix")
	if errors.Is(err, syscall.EPROTOTYPE) {
		c.send = c.sendDatagram
		if conn, err = c.connect(ctx, "unixgram"); err == nil {
			err = conn.Close()
		}
		return err
	}
	c.send, c.dialed = c.sendControl, conn
	return err
}

// Call runs a command and returns its whole reply. The error is an *mi.Error if the
// daemon refused the command, and wraps ErrUnreachable if the daemon did not answer.
func (c *Client) Call(ctx context.Context, command string, args ...mi.Arg) (*mi.Node, error) {
	in, err := c.request(ctx, command, mi.Native, args)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	root := &mi.Node{}
	err = decodeReply(in, root, func(n *mi.Node) bool {
		root.Nodes = append(root.Nodes, n)
		return true
	})
	if err != nil {
		return nil, c.failed(ctx, command, err)
	}
	return root, nil
}

// Stream runs a command and returns the children of its reply as they arrive. Leaving the
// loop early ends the command. Errors are those of Call, and end the loop.
func (c *Client) Stream(ctx context.Context, command string, args ...mi.Arg) iter.Seq2[*mi.Node, error] {
	return func(yield func(*mi.Node, error) bool) {
		in, err := c.request(ctx, command, mi.Native, args)
		if err != nil {
			yield(nil, err)
			return
		}
		defer in.Close()
		wanted := true
		err = decodeReply(in, &mi.Node{}, func(n *mi.Node) bool {
			wanted = yield(n, nil)
			return wanted
		})
		if err != nil && wanted {
			yield(nil, c.failed(ctx, command, err))
		}
	}
}

// Raw runs a command and copies its reply to w as classic lines, the first of which is
// "200 OK". If the daemon refuses the command, the error is an *mi.Error and nothing is
// copied.
func (c *Client) Raw(ctx context.Context, w io.Writer, command string, args ...mi.Arg) error {
	in, err := c.request(ctx, command, mi.Classic, args)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := copyClassic(w, in); err != nil {
		return c.failed(ctx, command, err)
	}
	return nil
}

// Close closes the connection that Dial opened, if no command has used it.
func (c *Client) Close() error {
	if conn := c.takeDialed(); conn != nil {
		return conn.Close()
	}
	return nil
}

// request sends a command and returns the reader of its reply. Each read fails when the
// Target's timeout has passed, or ctx ends.
func (c *Client) request(ctx context.Context, command string, d mi.Dialect, args []mi.Arg) (io.ReadCloser, error) {
	call := rpcCall{Version: "2.0", Method: command, Params: params(args), Dialect: "native", ID: 1}
	if d == mi.Classic {
		call.Dialect = "classic"
	}
	in, err := c.send(ctx, call)
	if err != nil {
		return nil, c.failed(ctx, command, err)
	}
	return in, nil
}
