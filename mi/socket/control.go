package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"silod/mi"
)

// When the system lacks resources, a socket is tried again after retryPause.
const (
	retryPause  = 100 * time.Millisecond
	logInterval = time.Minute // between lines of the log about that
)

// The limits of a control socket.
const (
	maxConns    = 128             // connections at one time
	idleTimeout = 2 * time.Minute // for the next request of a connection
)

// Control serves a Unix stream socket, the one that siloctl prefers. A connection may
// send any number of requests in any framing and gets the replies in their order.
// Replies of any length are streamed.
type Control struct {
	opt  Options
	file file
	ln   *net.UnixListener

	shortage rate.Sometimes // limits the log
}

// NewControl returns a server for the control socket at o.Path.
func NewControl(o Options) *Control {
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	return &Control{opt: o, file: newFile(&o), shortage: rate.Sometimes{Interval: logInterval}}
}

// Listen creates the socket. Clients can connect when it returns.
func (s *Control) Listen(ctx context.Context) error {
	return s.file.create(ctx, "unix", func() (io.Closer, error) {
		ln, err := listenConfig(nil).Listen(ctx, "unix", s.opt.Path)
		if err != nil {
			return nil, fmt.Errorf("listen on the control socket: %w", err)
		}
		s.ln = ln.(*net.UnixListener)
		s.ln.SetUnlinkOnClose(false) // file.remove looks first whether it is still there
		return s.ln, nil
	})
}

// Run serves the socket that Listen created until ctx ends. It then waits a short time for
// replies in progress, and removes the socket.
func (s *Control) Run(ctx context.Context) error {
	defer s.file.remove()
	stop := context.AfterFunc(ctx, func() { _ = s.ln.Close() })
	defer stop()

	var conns sync.WaitGroup
	slots := make(chan struct{}, maxConns)
	for {
		c, err := s.ln.AcceptUnix()
		if mi.LacksResources(err) {
			s.shortage.Do(func() { s.opt.Log.Warn("control socket cannot accept", "error", err) })
			time.Sleep(retryPause)
			continue
		}
		if err != nil {
			conns.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		select {
		case slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, c)
			})
		default:
			s.opt.Log.Warn("control socket connection refused", "peer", peerOf(c), "open", maxConns)
			// The send buffer of a new socket has space for this: the write does not wait.
			_, _ = c.Write([]byte("503 too many connections: try again\n\n"))
			_ = c.Close()
		}
	}
}

// serve runs the requests of one connection one after the other until its end. Another
// goroutine reads the connection, so that a client that disconnects ends its command.
func (s *Control) serve(ctx context.Context, c *net.UnixConn) {
	defer c.Close()
	peer := peerOf(c)
	// When the daemon stops, a command that runs still has the grace time.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = c.CloseRead()
		time.AfterFunc(grace, cancel)
	})
	defer stop()
	// Closing also interrupts a write to a client that does not read.
	defer context.AfterFunc(work, func() { _ = c.Close() })()

	frames := make(chan *mi.Frame)
	var pending atomic.Int32
	go func() {
		s.read(work, c, frames, &pending)
		s.watch(work, c, cancel)
	}()
	service, out := s.opt.service(mi.Stream), deadlineConn{c, s.opt.Timeout}
	for f := range frames {
		f.Peer = peer
		if err := service.Serve(work, f, out); err != nil {
			s.opt.Log.Info("control socket client lost", "peer", peer, "command", f.Command, "error", err)
			return
		}
		pending.Add(-1)
	}
}

// read sends the requests of the connection to frames, and closes frames at the end of the
// input. It reads one request ahead, which detects the end of the input while a command runs.
func (s *Control) read(work context.Context, c *net.UnixConn, frames chan<- *mi.Frame, pending *atomic.Int32) {
	defer close(frames)
	in := mi.NewReader(c, s.opt.Registry.Has)
	in.Idle, in.MaxSize = idleTimeout, s.opt.MaxRequest
	for {
		f, err := in.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) && pending.Load() > 0 {
			continue // the connection is not idle: the client waits for a reply
		}
		if err != nil {
			return
		}
		pending.Add(1)
		select {
		case frames <- f:
		case <-work.Done():
			return
		}
	}
}

// watch calls gone, which cancels the command that runs, when the client has closed the
// connection: an empty write then fails. It does not fail while a client that has closed
// only its sending direction, as nc -N does, waits for its reply.
func (s *Control) watch(work context.Context, c *net.UnixConn, gone func()) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-work.Done():
			return
		case <-tick.C:
			if _, err := c.Write(nil); err != nil {
				gone()
				return
			}
		}
	}
}

// deadlineConn sets a deadline for each write.
type deadlineConn struct {
	net.Conn
	timeout time.Duration
}

// Write writes p within the timeout.
func (c deadlineConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
