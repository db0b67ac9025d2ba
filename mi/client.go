package mi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// ErrUnreachable is wrapped by the errors of a Client that found no daemon, or
// got no answer in time. A refusal by the daemon is an *Error instead.
var ErrUnreachable = errors.New("silod cannot be reached")

// Target says where a daemon is. Socket is preferred to FIFO.
type Target struct {
	Socket   string        // control socket or datagram socket; Dial finds out which it is
	FIFO     string        // request FIFO, for a daemon without sockets
	ReplyDir string        // the daemon's reply_dir; "" is /tmp/
	Timeout  time.Duration // how long the daemon may be silent; 0 is 5 s, below 0 for ever
}

// Client calls commands of a running daemon. It holds no connection, so that it
// may be used concurrently, and outlives a restart of the daemon.
type Client struct {
	target Target
	open   func(ctx context.Context, request rpcCall) (io.ReadCloser, error)
}

// Dial finds the daemon and the way to it.
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

// find chooses the way to the daemon. That a socket is one for datagrams shows
// when it is connected to as if it were not.
func (c *Client) find(ctx context.Context) error {
	if c.target.Socket == "" && c.target.FIFO == "" {
		return fmt.Errorf("%w: neither a socket nor a FIFO is named", ErrUnreachable)
	}
	if c.target.Socket == "" {
		c.open = c.overFIFO
		return c.probeFIFO()
	}
	c.open = c.overStream
	conn, err := c.connect(ctx, "unix")
	if errors.Is(err, syscall.EPROTOTYPE) {
		c.open = c.overDatagram
		conn, err = c.connect(ctx, "unixgram")
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

// Call runs a command and returns its whole reply.
func (c *Client) Call(ctx context.Context, command string, args ...Arg) (*Node, error) {
	in, err := c.ask(ctx, command, Native, args)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	root := &Node{}
	err = decodeReply(in, root, func(n *Node) bool {
		root.Nodes = append(root.Nodes, n)
		return true
	})
	if err != nil {
		return nil, c.failed(ctx, command, err)
	}
	return root, nil
}

// Stream runs a command and gives the children of its reply one by one as they
// arrive. Leaving the loop early ends the command.
func (c *Client) Stream(ctx context.Context, command string, args ...Arg) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		in, err := c.ask(ctx, command, Native, args)
		if err != nil {
			yield(nil, err)
			return
		}
		defer in.Close()
		wanted := true
		err = decodeReply(in, &Node{}, func(n *Node) bool {
			wanted = yield(n, nil)
			return wanted
		})
		if err != nil && wanted {
			yield(nil, c.failed(ctx, command, err))
		}
	}
}

// Raw runs a command and copies its reply to w as classic lines, the first of
// them "200 OK". A refusal is an *Error, and nothing is copied.
func (c *Client) Raw(ctx context.Context, w io.Writer, command string, args ...Arg) error {
	in, err := c.ask(ctx, command, Classic, args)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := copyClassic(w, in); err != nil {
		return c.failed(ctx, command, err)
	}
	return nil
}

// Close ends the client. It holds nothing that would need it, yet.
func (c *Client) Close() error { return nil }

// rpcCall is the request that a Client sends over every transport.
type rpcCall struct {
	Version   string `json:"jsonrpc"`
	Method    string `json:"method"`
	Params    any    `json:"params,omitempty"`
	Dialect   string `json:"dialect"`
	ReplyName string `json:"reply_name,omitempty"`
	ID        int    `json:"id"`
}

// ask sends the command and gives its reply to be read. Every read gives the
// daemon its time, and fails when ctx ends.
func (c *Client) ask(ctx context.Context, command string, d Dialect, args []Arg) (io.ReadCloser, error) {
	call := rpcCall{Version: "2.0", Method: command, Params: params(args), Dialect: "native", ID: 1}
	if d == Classic {
		call.Dialect = "classic"
	}
	in, err := c.open(ctx, call)
	if err != nil {
		return nil, c.failed(ctx, command, err)
	}
	return in, nil
}

// params gives arguments by position, or all of them by name.
func params(args []Arg) any {
	if len(args) == 0 {
		return nil
	}
	if !slices.ContainsFunc(args, func(a Arg) bool { return a.Name == "" }) {
		return namedParams(args)
	}
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = a.Value
	}
	return list
}

// failed words an error for the person who waits.
func (c *Client) failed(ctx context.Context, command string, err error) error {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal
	}
	switch {
	case errors.Is(err, ErrUnreachable), errors.Is(err, errOutput):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return fmt.Errorf("%w: no answer to %s in time", ErrUnreachable, command)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ended before it had answered %s", ErrUnreachable, command)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, command, err)
}

// unreachable words why there is no daemon at path.
func unreachable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%w: nobody listens at %s: is it running, and is this its path?", ErrUnreachable, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: you may not use %s: ask for its group, or try as root", ErrUnreachable, path)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s takes no requests", ErrUnreachable, path)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, path, err)
}

// connect opens a socket within the Target's time.
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
