package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"silod/mi"
)

// maxDatagrams is the number of requests that run at one time. Further ones wait in the
// kernel's queue; when that is full, their senders wait.
const maxDatagrams = 64

// Datagram serves a Unix datagram socket as Kamailio's modules mi_datagram and jsonrpcs
// do: each request is one datagram, and so is each reply.
type Datagram struct {
	opt     Options
	file    file
	conn    *net.UnixConn
	timeout atomic.Int64 // nanoseconds

	shortage rate.Sometimes // limits the log
}

// NewDatagram returns a server for the datagram socket at o.Path.
func NewDatagram(o Options) *Datagram {
	s := &Datagram{opt: o, file: newFile(&o), shortage: rate.Sometimes{Interval: logInterval}}
	s.Configure(Settings{Timeout: o.Timeout})
	return s
}

// Settings are the options that Configure replaces while a Datagram server runs.
type Settings struct {
	// Timeout is how long a client may take to make space for its reply: mi_datagram's
	// socket_timeout. 0 is two seconds.
	Timeout time.Duration
}

// Configure replaces the settings, from the next reply on.
func (s *Datagram) Configure(set Settings) { s.timeout.Store(int64(set.Timeout)) }

// Timeout returns the time that a client may take to make space for its reply.
func (s *Datagram) Timeout() time.Duration {
	return cmp.Or(time.Duration(s.timeout.Load()), 2*time.Second)
}

// Listen creates the socket. Clients can send when it returns.
func (s *Datagram) Listen(ctx context.Context) error {
	return s.file.create(ctx, "unixgram", func() (io.Closer, error) {
		pc, err := listenConfig(askCredentials).ListenPacket(ctx, "unixgram", s.opt.Path)
		if err != nil {
			return nil, fmt.Errorf("listen on the datagram socket: %w", err)
		}
		s.conn = pc.(*net.UnixConn)
		return s.conn, nil
	})
}

// Run serves the socket that Listen created until ctx ends. It then waits a short time for
// replies in progress, and removes the socket.
func (s *Datagram) Run(ctx context.Context) error {
	defer s.file.remove()
	defer s.conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var workers sync.WaitGroup
	slots := make(chan struct{}, maxDatagrams)
	buf, oob := make([]byte, mi.MaxRequest+1), make([]byte, credentialSpace)
	for {
		n, oobn, _, from, err := s.conn.ReadMsgUnix(buf, oob)
		if mi.LacksResources(err) {
			s.shortage.Do(func() { s.opt.Log.Warn("datagram socket cannot be read", "error", err) })
			time.Sleep(retryPause)
			continue
		}
		if err != nil {
			time.AfterFunc(grace, cancel)
			workers.Wait()
			if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("read from the datagram socket: %w", err)
		}
		f := mi.ReadDatagram(buf[:n])
		if f == nil {
			continue
		}
		f.Peer = senderOf(oob[:oobn])
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			s.answer(work, f, from)
		})
	}
}

// answer runs the request and sends the reply to the address that the client's socket is
// bound to. A client without an address, or with a relative path, gets no reply.
func (s *Datagram) answer(ctx context.Context, f *mi.Frame, from *net.UnixAddr) {
	to := &datagramWriter{ctx: ctx, conn: s.conn, timeout: s.Timeout()}
	if from != nil && (strings.HasPrefix(from.Name, "/") || strings.HasPrefix(from.Name, "@")) {
		to.addr = from.Name
	}
	if err := s.opt.service(mi.Datagram).Serve(ctx, f, to); err != nil {
		s.opt.Log.Info("management reply not sent", "peer", f.Peer, "command", f.Command, "error", err)
	}
}

// datagramWriter sends each write as a datagram to addr. Datagrams that a client has not
// read fill the send buffer of the sending socket, so that a few clients that do not read
// could block the server's socket. Each reply is therefore sent from a socket of its own,
// except to clients that have connected their socket to the server's: they receive from
// that one only.
type datagramWriter struct {
	ctx     context.Context
	conn    *net.UnixConn // the server's
	addr    string
	timeout time.Duration
}

// Write sends p as one datagram, from a new socket or else from the server's.
func (w *datagramWriter) Write(p []byte) (int, error) {
	if w.addr == "" {
		return 0, errors.New("client has no address: it must bind its socket to an absolute path")
	}
	own, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return 0, fmt.Errorf("create a socket for the reply: %w", err)
	}
	defer own.Close()
	if err = w.retry(own, p); errors.Is(err, syscall.EPERM) {
		err = w.retry(w.conn, p)
	}
	if err != nil {
		return 0, fmt.Errorf("send to %s: %w", w.addr, err)
	}
	return len(p), nil
}

// retry sends from c, again while the client's queue is full, until the timeout.
func (w *datagramWriter) retry(c *net.UnixConn, p []byte) error {
	deadline := time.Now().Add(w.timeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := w.send(c, p)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("client did not read for %v", w.timeout)
		}
		select {
		case <-time.After(wait):
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// send sends from c without waiting. In the net package, a client with a full queue would
// make all other writes on the socket wait.
func (w *datagramWriter) send(c *net.UnixConn, p []byte) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		sent = syscall.Sendto(int(fd), p, syscall.MSG_DONTWAIT, &syscall.SockaddrUnix{Name: w.addr})
	}); err != nil {
		return err
	}
	return sent
}
