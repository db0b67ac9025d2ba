// Package fifo is the management transport of kamctl and opensipsctl: one FIFO
// for requests, read by the daemon, and a FIFO of each client's own for the reply.
//
// It owns the request FIFO's life in the file system and the checks that keep a
// reply from going to the wrong file. It must not know what commands do, nor the
// framings: package mi reads and answers.
//
// One goroutine reads requests; each is answered by a worker of its own, so that a
// client that never reads its reply keeps nobody waiting. Lock: Server.mu guards
// the lanes, and is never held across I/O.
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

// The bounds of the server.
const (
	maxWorkers = 256             // requests that are worked on at one time
	maxLane    = 64              // of them for one reply FIFO
	grace      = 2 * time.Second // for replies under way when the daemon stops
	logEvery   = time.Second     // a flood of unreadable requests is logged so often
)

// Server serves a request FIFO. Its zero values are Kamailio's defaults.
type Server struct {
	Registry *mi.Registry
	Log      *slog.Logger

	Path        string      // fifo_name
	Mode        fs.FileMode // fifo_mode; 0 is 0660
	User, Group string      // fifo_user, fifo_group: name or number; "" is the daemon's own
	ReplyDir    string      // reply_dir, until SetReplyDir names another; "" is /tmp/
	ReadOnly    bool        // refuse commands that change something

	Timeout time.Duration // how long a client may take to read 32 KiB of its reply; 0 is 30 s
	Late    time.Duration // how long it may take to open its reply FIFO; 0 is 2 s
	Check   time.Duration // how often to see whether the FIFO is still there; 0 is 3 s

	replyDir atomic.Pointer[string]

	file *os.File    // the request FIFO
	made fs.FileInfo // and what was made at Path

	mu    sync.Mutex
	lanes map[string]*lane

	logged   time.Time // of the last unreadable request in the log
	unlogged int       // unreadable requests since then
	workers  sync.WaitGroup
	slots    chan struct{}
	service  *mi.Service
}

// SetReplyDir says where reply FIFOs are looked for from the next request on.
func (s *Server) SetReplyDir(dir string) { s.replyDir.Store(&dir) }

// errLost: the FIFO at Path is not the one that was made there.
var errLost = errors.New("request FIFO was removed or replaced")

// Listen makes the request FIFO, so that a client may write to it from now on.
func (s *Server) Listen() error { return s.create() }

// Run serves until ctx ends, then removes the FIFO and gives replies under way a
// moment. It makes the FIFO first, where Listen was not called.
func (s *Server) Run(ctx context.Context) error {
	s.prepare()
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	// When the daemon stops, a command may finish, but not for long.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	err := s.loop(ctx, work)
	time.AfterFunc(grace, cancel)
	s.workers.Wait()
	return err
}

// loop serves one request FIFO after the other.
func (s *Server) loop(ctx, work context.Context) error {
	for {
		switch err := s.serve(ctx, work); {
		case errors.Is(err, ctx.Err()):
			return nil
		case !errors.Is(err, errLost):
			return err
		}
		s.Log.Warn("request FIFO vanished or was replaced: making it again", "path", s.Path)
		if err := s.create(); err != nil {
			return err
		}
	}
}

// prepare fills in the defaults.
func (s *Server) prepare() {
	orDefault := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orDefault(&s.Timeout, 30*time.Second)
	orDefault(&s.Late, 2*time.Second)
	orDefault(&s.Check, 3*time.Second)
	if s.replyDir.Load() == nil {
		s.SetReplyDir(cmp.Or(s.ReplyDir, "/tmp/"))
	}
	s.lanes = map[string]*lane{}
	s.slots = make(chan struct{}, maxWorkers)
	s.service = &mi.Service{Registry: s.Registry, Transport: mi.Pipe, ReadOnly: s.ReadOnly}
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

	known := func(command string) bool {
		_, ok := s.Registry.Lookup(command)
		return ok
	}
	in := mi.NewReader(s.file, known)
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

// close ends the reading. The FIFO goes before its reader does: a shell that
// opens a FIFO without a reader waits for ever.
func (s *Server) close() {
	if err := mi.RemoveMade(s.Path, s.made); err != nil {
		s.Log.Warn("request FIFO not removed", "path", s.Path, "error", err)
	}
	_ = s.file.Close()
}

// watch ends the reading when the FIFO at Path is another, or none.
func (s *Server) watch(reading context.Context, made fs.FileInfo, stop context.CancelCauseFunc) {
	tick := time.NewTicker(s.Check)
	defer tick.Stop()
	for {
		select {
		case <-reading.Done():
			return
		case <-tick.C:
			if !mi.SameFile(s.Path, made) {
				stop(errLost)
				return
			}
		}
	}
}

// unreadable logs what can be neither run nor answered, but no flood of it, and
// not its text, which may be anybody's secret.
func (s *Server) unreadable(f *mi.Frame) {
	s.unlogged++
	if time.Since(s.logged) < logEvery {
		return
	}
	s.Log.Warn("unreadable management request", "reason", f.Err.Text, "count", s.unlogged)
	s.logged, s.unlogged = time.Now(), 0
}

// lane is the line of requests that wait for one reply FIFO: they are answered
// one after the other, as they came.
type lane struct {
	last  chan struct{} // closed when the last request of the lane is done
	depth int
	stuck bool // its client does not read: what waits is dropped
}

// dispatch has a worker answer f, when there is one, and when the requests before
// it that have the same reply FIFO are done.
func (s *Server) dispatch(work context.Context, f *mi.Frame) {
	s.slots <- struct{}{}
	l, before, done := s.join(f.ReplyTo)
	if l == nil {
		<-s.slots
		s.Log.Warn("management request dropped: too many wait for this reply FIFO", "reply", f.ReplyTo)
		return
	}
	s.workers.Go(func() {
		defer func() { <-s.slots }()
		defer s.leave(f.ReplyTo, l, done)
		if before != nil {
			<-before
		}
		s.mu.Lock()
		stuck := l.stuck
		s.mu.Unlock()
		if stuck {
			s.Log.Warn("management request dropped: its client does not read", "command", f.Command, "reply", f.ReplyTo)
			return
		}
		if err := s.answer(work, f); err != nil {
			s.Log.Warn("management reply not delivered", "command", f.Command, "reply", f.ReplyTo, "error", err)
			s.mu.Lock()
			l.stuck = errors.Is(err, os.ErrDeadlineExceeded)
			s.mu.Unlock()
		}
	})
}

// join puts a request at the end of its lane; nil where the lane is full.
func (s *Server) join(name string) (l *lane, before, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l = s.lanes[name]; l == nil {
		l = &lane{}
		s.lanes[name] = l
	}
	if l.depth >= maxLane && name != "" {
		return nil, nil, nil
	}
	l.depth++
	before, l.last = l.last, make(chan struct{})
	return l, before, l.last
}

// leave ends a request's turn, and the lane with its last one.
func (s *Server) leave(name string, l *lane, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(done)
	if l.depth--; l.depth == 0 {
		delete(s.lanes, name)
	}
}

// answer runs a request and writes its reply. A client whose reply FIFO cannot be
// used gets its command not run: it could not know what came of it.
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
	defer context.AfterFunc(work, func() { _ = out.Close() })() // not even a stuck client holds up the end
	f.Peer = out.peer
	err = s.service.Serve(work, f, out)
	if errors.Is(err, syscall.EPIPE) {
		return nil // it has seen enough
	}
	return err
}
