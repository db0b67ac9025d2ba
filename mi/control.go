package mi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The bounds of the control socket.
const (
	maxConns = 128             // connections at one time
	idle     = 2 * time.Minute // how long a connection may ask for nothing
	grace    = 2 * time.Second // for replies under way when the daemon stops
)

// ControlServer serves a Unix stream socket: the one that siloctl prefers. A
// connection may ask any number of commands in any framing, one after the other;
// replies of any length stream.
type ControlServer struct {
	Socket

	// Timeout is how long a client may take to accept a piece of its reply; 0 is a
	// minute: it may be a person who pages through a list.
	Timeout time.Duration

	MaxRequest int // bytes of a request; 0 is 64 KiB

	ln *net.UnixListener
}

// Listen makes the socket, so that a client may connect from now on.
func (s *ControlServer) Listen(ctx context.Context) error {
	if err := s.clear(ctx, "unix"); err != nil {
		return err
	}
	ln, err := s.config(nil).Listen(ctx, "unix", s.Path)
	if err != nil {
		return fmt.Errorf("listen at the control socket: %w", err)
	}
	s.ln = ln.(*net.UnixListener)
	s.ln.SetUnlinkOnClose(false)
	if err := s.finish(); err != nil {
		_ = s.ln.Close()
		s.remove()
		return err
	}
	return nil
}

// Run serves until ctx ends, then gives replies under way a moment. It listens
// first, where Listen was not called.
func (s *ControlServer) Run(ctx context.Context) error {
	if s.ln == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	defer s.remove()
	stop := context.AfterFunc(ctx, func() { _ = s.ln.Close() })
	defer stop()

	var conns sync.WaitGroup
	slots := make(chan struct{}, maxConns)
	for {
		c, err := s.ln.AcceptUnix()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			s.Log.Warn("control socket cannot accept: too many files are open", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil {
			conns.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept at the control socket: %w", err)
		}
		select {
		case slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, c)
			})
		default:
			s.Log.Warn("control socket connection refused", "peer", peerOf(c), "open", maxConns)
			// Fits into any new socket's buffer, so that it does not wait.
			_, _ = c.Write([]byte("503 too many connections: try again\n\n"))
			_ = c.Close()
		}
	}
}

// serve answers the requests of one connection until its end.
func (s *ControlServer) serve(ctx context.Context, c *net.UnixConn) {
	defer c.Close()
	peer := peerOf(c)
	// When the daemon stops, a command may finish, but not for long.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = c.CloseRead()
		time.AfterFunc(grace, cancel)
	})
	defer stop()
	// Closing also wakes a write to a client that does not read.
	defer context.AfterFunc(work, func() { _ = c.Close() })()

	frames := make(chan *Frame)
	var pending atomic.Int32
	go func() {
		s.read(work, c, frames, &pending)
		s.watch(work, c, cancel)
	}()
	service, out := s.service(Stream), patientConn{c, cmp.Or(s.Timeout, time.Minute)}
	for f := range frames {
		f.Peer = peer
		if err := service.Serve(work, f, out); err != nil {
			s.Log.Info("control socket client lost", "peer", peer, "command", f.Command, "error", err)
			return
		}
		pending.Add(-1)
	}
}

// read hands over the connection's requests and closes frames at their end. It
// reads one ahead, so that a client that goes away is noticed while it is served.
func (s *ControlServer) read(work context.Context, c *net.UnixConn, frames chan<- *Frame, pending *atomic.Int32) {
	defer close(frames)
	in := NewReader(c, s.known)
	in.Idle, in.Most = idle, s.MaxRequest
	for {
		f, err := in.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) && pending.Load() > 0 {
			continue // it waits for us, and not we for it
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

// watch waits for a client that has closed the connection, and not just its own
// direction, as nc -N does: to that one even an empty write fails. The command it
// waited for is then given up.
func (s *ControlServer) watch(work context.Context, c *net.UnixConn, gone func()) {
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

// patientConn gives every write the same time.
type patientConn struct {
	net.Conn
	timeout time.Duration
}

// Write writes within the client's time.
func (c patientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
