// Package fifo is the management transport of kamctl and opensipsctl. The daemon reads
// requests from one FIFO, and each client has a FIFO of its own for replies. Server is the
// daemon's end, Conn the client's.
//
// The package creates and removes the request FIFO, and checks that a reply is written to
// the FIFO of a client that may send requests. Package mi reads requests and writes replies.
//
// One goroutine reads requests, and each request has a worker of its own, so that a client
// that does not read its reply delays no other client.
//
// Lock: Server.mu guards the reply queues. It is not held across I/O.
package fifo

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"silod/mi"
)

// The limits of the server.
const (
	maxWorkers = 256             // requests that run or wait
	maxQueue   = 64              // of them for one reply FIFO
	grace      = 2 * time.Second // for replies in progress when the daemon stops
	logEvery   = time.Second     // interval of log messages about unreadable requests
)

// Options configure a Server. Registry, Log and Path are required. The other defaults are
// those of Kamailio.
type Options struct {
	Registry *mi.Registry
	Log      *slog.Logger

	Path     string    // of the request FIFO: fifo_name
	Access   mi.Access // of the request FIFO: fifo_mode, fifo_user, fifo_group
	ReplyDir string    // directory of the reply FIFOs: reply_dir; "" is /tmp/
	ReadOnly bool      // refuse commands that change something or show message texts

	Timeout       time.Duration // for a client to read 32 KiB of its reply; 0 is 30 s
	OpenTimeout   time.Duration // for a client to open its reply FIFO; 0 is 2 s
	CheckInterval time.Duration // between checks that the request FIFO exists; 0 is 3 s
}

// Server serves a request FIFO.
type Server struct {
	opt      Options
	replyDir atomic.Pointer[string]

	file *os.File    // the request FIFO, open for reading
	made fs.FileInfo // of file, to find out whether another file is at the path now

	mu     sync.Mutex
	queues map[string]*replyQueue // by the name of the reply FIFO

	logged   time.Time // last log message about an unreadable request
	unlogged int       // unreadable requests since then
	workers  sync.WaitGroup
	slots    chan struct{} // holds one element for each worker
	service  *mi.Service
}

// NewServer returns a server for the request FIFO at o.Path.
func NewServer(o Options) *Server {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.OpenTimeout = cmp.Or(o.OpenTimeout, 2*time.Second)
	o.CheckInterval = cmp.Or(o.CheckInterval, 3*time.Second)
	s := &Server{
		opt:     o,
		queues:  map[string]*replyQueue{},
		slots:   make(chan struct{}, maxWorkers),
		service: &mi.Service{Registry: o.Registry, Transport: mi.Pipe, ReadOnly: o.ReadOnly},
	}
	s.Configure(Settings{ReplyDir: cmp.Or(o.ReplyDir, "/tmp/")})
	return s
}

// Settings are the options that Configure replaces while a Server runs.
type Settings struct {
	ReplyDir string // directory of the reply FIFOs
}

// Configure replaces the settings, from the next request on.
func (s *Server) Configure(set Settings) { s.replyDir.Store(&set.ReplyDir) }

// errLost is the error of a request FIFO that was removed or replaced.
var errLost = errors.New("request FIFO was removed or replaced")

// Listen creates the request FIFO. Clients can write to it when it returns.
func (s *Server) Listen() error { return s.create() }

// Run serves the FIFO that Listen created until ctx ends. It then removes the FIFO, and waits
// a short time for replies in progress.
func (s *Server) Run(ctx context.Context) error {
	// When the daemon stops, commands that run still have the grace time.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	err := s.loop(ctx, work)
	time.AfterFunc(grace, cancel)
	s.workers.Wait()
	return err
}

// loop serves the request FIFO, and creates it again whenever it is lost. The end of ctx ends
// the reading of requests, the end of work the commands that run.
func (s *Server) loop(ctx, work context.Context) error {
	for {
		switch err := s.serve(ctx, work); {
		case errors.Is(err, ctx.Err()):
			return nil
		case !errors.Is(err, errLost):
			return err
		}
		s.opt.Log.Warn("request FIFO removed or replaced, creating it again", "path", s.opt.Path)
		if err := s.create(); err != nil {
			return err
		}
	}
}

// serve reads requests until ctx ends or the FIFO is lost.
func (s *Server) serve(ctx, work context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	closed := make(chan struct{})
	context.AfterFunc(reading, func() {
		defer close(closed)
		s.close()
	})
	defer func() {
		stop(nil)
		<-closed
	}()
	go s.watch(reading, s.made, stop)

	in := mi.NewReader(s.file, s.opt.Registry.Has)
	for {
		f, err := in.Next()
		if err != nil {
			return errors.Join(context.Cause(reading), err)
		}
		if f.ReplyTo == "" && f.Err != nil {
			s.unreadable(f)
			continue
		}
		s.dispatch(work, f)
	}
}

// close removes the FIFO before it closes it, as a shell that opens a FIFO without a reader
// waits forever.
func (s *Server) close() {
	if err := mi.RemoveMade(s.opt.Path, s.made); err != nil {
		s.opt.Log.Warn("request FIFO not removed", "path", s.opt.Path, "error", err)
	}
	_ = s.file.Close()
}

// watch calls stop when the FIFO at the path is lost.
func (s *Server) watch(reading context.Context, made fs.FileInfo, stop context.CancelCauseFunc) {
	tick := time.NewTicker(s.opt.CheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-reading.Done():
			return
		case <-tick.C:
			if !mi.SameFile(s.opt.Path, made) {
				stop(errLost)
				return
			}
		}
	}
}

// unreadable logs a request that can be neither run nor answered, and limits a flood of
// them. It does not log the text, which may contain a secret.
func (s *Server) unreadable(f *mi.Frame) {
	s.unlogged++
	if time.Since(s.logged) < logEvery {
		return
	}
	s.opt.Log.Warn("unreadable management request", "reason", f.Err.Text, "count", s.unlogged)
	s.logged, s.unlogged = time.Now(), 0
}

// replyQueue is the queue of requests with the same reply FIFO. They run one after the
// other. Requests without a reply FIFO have a queue too.
type replyQueue struct {
	last  chan struct{} // closed when the last request in the queue is done
	depth int
	stuck bool // the client does not read: further requests are dropped
}

// dispatch starts a worker that answers f after the requests before it in its queue. It waits
// while there are too many workers.
func (s *Server) dispatch(work context.Context, f *mi.Frame) {
	s.slots <- struct{}{}
	q, before, done := s.enqueue(f.ReplyTo)
	if q == nil {
		<-s.slots
		s.opt.Log.Warn("management request dropped: too many wait for this reply FIFO", "reply", f.ReplyTo)
		return
	}
	s.workers.Go(func() {
		defer func() { <-s.slots }()
		defer s.finish(f.ReplyTo, q, done)
		if before != nil {
			<-before
		}
		s.mu.Lock()
		stuck := q.stuck
		s.mu.Unlock()
		if stuck {
			s.opt.Log.Warn("management request dropped: its client does not read", "command", f.Command, "reply", f.ReplyTo)
			return
		}
		if err := s.answer(work, f); err != nil {
			s.opt.Log.Warn("management reply not delivered", "command", f.Command, "reply", f.ReplyTo, "error", err)
			s.mu.Lock()
			q.stuck = errors.Is(err, os.ErrDeadlineExceeded)
			s.mu.Unlock()
		}
	})
}

// enqueue adds a request to the queue of its reply FIFO and returns the queue, or nil if it is
// full. The request may run when before is closed or nil.
func (s *Server) enqueue(name string) (q *replyQueue, before, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q = s.queues[name]; q == nil {
		q = &replyQueue{}
		s.queues[name] = q
	}
	if q.depth >= maxQueue && name != "" {
		return nil, nil, nil
	}
	q.depth++
	before, q.last = q.last, make(chan struct{})
	return q, before, q.last
}

// finish removes a request from its queue.
func (s *Server) finish(name string, q *replyQueue, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(done)
	if q.depth--; q.depth == 0 {
		delete(s.queues, name)
	}
}

// answer runs a request and writes its reply. If the reply FIFO cannot be used, the command
// does not run, as the client would not learn its result.
func (s *Server) answer(work context.Context, f *mi.Frame) error {
	if f.ReplyTo == "" {
		f.Peer = "fifo"
		return s.service.Serve(work, f, io.Discard)
	}
	out, err := s.openReply(work, f.ReplyTo)
	if err != nil {
		return err
	}
	defer out.Close()
	defer context.AfterFunc(work, func() { _ = out.Close() })() // interrupts a write to a client that does not read
	f.Peer = out.peer
	err = s.service.Serve(work, f, out)
	if errors.Is(err, syscall.EPIPE) {
		return nil // the client wants no more
	}
	return err
}
