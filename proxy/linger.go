package proxy

import "time"

const (
	// lingerTime is how long a message that a device has accepted still waits to be sent to
	// others: for the address of a host, for a connection, or for attempts before them.
	lingerTime = 100 * time.Millisecond
	// lingerWidened is the same for a message that is too large for UDP, while a connection to
	// the client is tried. The transport remembers clients that accept none.
	lingerWidened = 1200 * time.Millisecond
)

// lingers returns how long an accepted message waits for devices to which it has not been
// sent; 0: there are none, or it is not accepted.
func (k *Fork) lingers() time.Duration {
	if k.opt.probe || !k.out.Accepted() {
		return 0
	}
	var d time.Duration
	for i := range k.attempts {
		switch a := &k.attempts[i]; {
		case a.state == stateDialing && a.widened:
			return lingerWidened
		case a.state == stateDialing, a.state == stateQueued:
			d = lingerTime
		}
	}
	return d
}
