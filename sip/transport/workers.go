package transport

import "silod/sip"

// idleWorkers is how many goroutines wait for the next job instead of ending: their stacks
// have grown to the size that serving a request takes.
const idleWorkers = 256

// receiveStream takes one message off a connection, whose one reader never runs a Job
// itself.
func (l *Layer) receiveStream(raw []byte, f sip.Flow) error {
	if !l.accepts(raw, f) {
		return nil
	}
	job, err := l.receiver.Receive(raw, Origin{Flow: f})
	if job != nil {
		l.dispatch(job)
	}
	return err
}

// dispatch gives a job to a goroutine that waits, or to a new one.
func (l *Layer) dispatch(job Job) {
	select {
	case l.jobs <- job:
	default:
		go l.work(job)
	}
}

// work runs jobs, one after the other, for as long as they come or few other workers wait.
func (l *Layer) work(job Job) {
	for {
		job.Run()
		if l.idle.Add(1) > idleWorkers {
			l.idle.Add(-1)
			return
		}
		select {
		case job = <-l.jobs:
			l.idle.Add(-1)
		case <-l.running.Done():
			l.idle.Add(-1)
			return
		}
	}
}
