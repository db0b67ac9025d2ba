package mi

import (
	"runtime"
	"time"
)

// While the daemon has other work, a long list is written in slices of working time, each
// followed by a pause, so that it takes a small part of the processors and other work waits
// for one slice at most.
const (
	slice    = 500 * time.Microsecond
	share    = 1.0 / 48              // of all processors
	maxPause = 50 * time.Millisecond // a slice may have been long only because it had to wait
)

// pace decides when one list pauses. It does not pause while the daemon has no other work,
// and a nil pace never does.
type pace struct {
	load  func() int64  // amount of other work since the start
	seen  int64         // load at the end of the last slice
	begun time.Time     // start of this slice
	idle  time.Duration // waiting for the client in this slice
}

// YieldTo makes long lists pause while other work goes on. load returns the amount of that
// work since the start. Without it, lists do not pause.
func (r *Registry) YieldTo(load func() int64) { r.load.Store(&load) }

// pace returns the pace of one list, or nil if lists do not pause.
func (r *Registry) pace() *pace {
	if load := r.load.Load(); load != nil {
		return &pace{load: *load}
	}
	return nil
}

// begin begins a slice.
func (p *pace) begin() {
	if p != nil {
		p.begun, p.idle = time.Now(), 0
	}
}

// waited subtracts time from the slice in which it waited for the client.
func (p *pace) waited(d time.Duration) {
	if p != nil {
		p.idle += d
	}
}

// pause reports whether the slice is over, and returns how long to pause. The output of the
// slice is to be written before the pause.
func (p *pace) pause() (d time.Duration, over bool) {
	if p == nil {
		return 0, false
	}
	took := time.Since(p.begun) - p.idle
	if took < slice {
		return 0, false
	}
	if now := p.load(); now != p.seen {
		p.seen = now
		d = min(time.Duration(pauseFactor(runtime.GOMAXPROCS(0))*float64(took)), maxPause)
	}
	return d, true
}

// pauseFactor returns the ratio of a pause to its slice.
func pauseFactor(processors int) float64 { return max(0, 1/(share*float64(processors))-1) }
