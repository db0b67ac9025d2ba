package registrar

import (
	"strings"
	"sync"

	"silod/sip"
)

// A flowIndex finds the AoRs that are registered over a connection, so that its end does
// not need a search through all bindings. Flows of UDP never end and are not in it.
type flowIndex struct {
	mu     sync.Mutex
	owners map[string]owners
}

// owners are the AoRs of a flow. A phone's connection has one, a proxy's may have very
// many.
type owners struct {
	one  sip.AoR
	more map[sip.AoR]struct{}
}

// add records that an AoR has a binding over a flow.
func (x *flowIndex) add(flow string, a sip.AoR) {
	if flow == "" || strings.HasPrefix(flow, "udp:") {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owners == nil {
		x.owners = make(map[string]owners)
	}
	switch o := x.owners[flow]; {
	case o.one == a:
	case o.one.IsZero() && o.more == nil:
		x.owners[flow] = owners{one: a}
	case o.more == nil:
		x.owners[flow] = owners{one: o.one, more: map[sip.AoR]struct{}{a: {}}}
	default:
		o.more[a] = struct{}{}
	}
}

// drop records that an AoR has no binding over a flow.
func (x *flowIndex) drop(flow string, a sip.AoR) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o, ok := x.owners[flow]
	if !ok {
		return
	}
	delete(o.more, a)
	if o.one == a {
		o.one = sip.AoR{}
	}
	if o.one.IsZero() && len(o.more) == 0 {
		delete(x.owners, flow)
		return
	}
	x.owners[flow] = o
}

// take removes a flow and returns its AoRs.
func (x *flowIndex) take(flow string) []sip.AoR {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.owners[flow]
	delete(x.owners, flow)
	var as []sip.AoR
	if !o.one.IsZero() {
		as = append(as, o.one)
	}
	for a := range o.more {
		as = append(as, a)
	}
	return as
}
