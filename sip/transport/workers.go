package transport

// maxIdle is the number of goroutines that wait for the next job instead of ending: their
// stacks have already grown to the size that serving a request needs.
const maxIdle = 256

// startJob runs a job on an idle worker, or on a new one.
func (l *Layer) startJob(job Job) {
	select {
	case l.jobs <- job:
	default:
		l.workers.Go(func() { l.work(job) })
	}
}

// work runs jobs one after the other. It returns when enough other workers are idle, or
// when the layer stops.
func (l *Layer) work(job Job) {
	for {
		job.Run()
		if l.idle.Add(1) > maxIdle {
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
