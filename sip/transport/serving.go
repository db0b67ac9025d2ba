package transport

import "sync/atomic"

// A serving counts the requests over a connection that are in progress. After finish, no more
// are served.
type serving struct{ state atomic.Int64 }

const finished = 1 << 32 // added to the state by finish

// begin counts a request, and returns false if it must not be served.
func (s *serving) begin() bool {
	for {
		old := s.state.Load()
		if old >= finished {
			return false
		}
		if s.state.CompareAndSwap(old, old+1) {
			return true
		}
	}
}

// end reports whether the last request was answered and no more are served.
func (s *serving) end() bool { return s.state.Add(-1) == finished }

// finish ends serving, if no request is in progress or if forced. first reports whether this
// call has ended it, and idle whether no request is in progress then.
func (s *serving) finish(force bool) (first, idle bool) {
	if s.state.CompareAndSwap(0, finished) {
		return true, true
	}
	if !force {
		return false, false
	}
	old := s.state.Or(finished)
	return old < finished, old&^finished == 0
}

// A guestJob is the Job of a request over a stranger's connection.
type guestJob struct {
	job  Job
	from *acceptedConn
}

// Run runs the job. If the connection waited for its end only, it is closed.
func (j guestJob) Run() {
	j.job.Run()
	j.from.answered()
}

// answered notes the end of a request.
func (c *acceptedConn) answered() {
	if c.serving.end() {
		_ = c.Close() // the goroutine that reads it does the rest
	}
}
