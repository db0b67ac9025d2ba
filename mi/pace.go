package mi

import (
	"runtime"
	"time"
)

// How a long list is written while the daemon has other things to do: in short
// stretches of work, each followed by a rest, so that it takes a small part of the
// machine only, and whoever comes meanwhile waits behind a stretch at most.
const (
	stretch = 500 * time.Microsecond
	share   = 1.0 / 48              // of all processors
	maxRest = 50 * time.Millisecond // a stretch may have been long: it had to wait, and others did with it
)

// pace is that of one list. Where nothing else goes on it does not rest, and one that is
// nil never does.
type pace struct {
	work  func() int64  // how much else the daemon has been asked so far
	seen  int64         // of it, at the last look
	begun time.Time     // of this stretch
	idle  time.Duration // of it, waiting for the client
}

// Prefer names what goes before long lists: they rest for as long as work, which says
// how much there has been of it so far, goes on. Nothing is preferred until then.
func (r *Registry) Prefer(work func() int64) { r.preferred.Store(&work) }

func (r *Registry) pace() *pace {
	if work := r.preferred.Load(); work != nil {
		return &pace{work: *work}
	}
	return nil
}

// begin begins a stretch.
func (p *pace) begin() {
	if p != nil {
		p.begun, p.idle = time.Now(), 0
	}
}

// waited takes out what was not work.
func (p *pace) waited(d time.Duration) {
	if p != nil {
		p.idle += d
	}
}

// rest is how long to rest now. over says that the stretch has been long enough to be
// asked about; what it has made is then to be handed on.
func (p *pace) rest() (d time.Duration, over bool) {
	if p == nil {
		return 0, false
	}
	took := time.Since(p.begun) - p.idle
	if took < stretch {
		return 0, false
	}
	if now := p.work(); now != p.seen {
		p.seen = now
		d = min(time.Duration(rests(runtime.GOMAXPROCS(0))*float64(took)), maxRest)
	}
	return d, true
}

// rests is how many times as long as its work a rest is.
func rests(processors int) float64 { return max(0, 1/(share*float64(processors))-1) }
