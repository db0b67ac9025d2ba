package stack

import "silod/sip"

// idleWorkers is how many goroutines wait for the next request instead of ending:
// their stacks have grown to what a handler needs, which a new goroutine's would
// have to do anew for each request.
const idleWorkers = 256

// receiveStream is receive for a connection, which has one reader: that never handles
// a request itself.
func (s *Stack) receiveStream(raw []byte, flow sip.Flow) error {
	req, err := s.receive(raw, flow, nil)
	if req != nil {
		s.dispatch(req)
	}
	return err
}

// dispatch hands a request that was admitted to a goroutine that waits, or to a new
// one.
func (s *Stack) dispatch(req *ServerTx) {
	select {
	case s.jobs <- req:
	default:
		go s.worker(req)
	}
}

// worker handles requests, one after the other, for as long as they come or few
// others wait.
func (s *Stack) worker(req *ServerTx) {
	for {
		if work := s.handle(req); work != nil {
			s.runWork(req, work)
		}
		if s.idle.Add(1) > idleWorkers {
			s.idle.Add(-1)
			return
		}
		select {
		case req = <-s.jobs:
			s.idle.Add(-1)
		case <-s.workCtx.Done():
			s.idle.Add(-1)
			return
		}
	}
}
