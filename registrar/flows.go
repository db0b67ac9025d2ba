package registrar

import (
	"context"
	"slices"
	"sync"

	"silod/sip"
)

// A flowIndex finds the AoRs that are registered over a connection, so that its end does
// not need a search through all bindings. Flows of UDP never end and are not in it.
type flowIndex struct {
	mu     sync.Mutex
	owners map[uint64]owners // by the number of the connection
}

// owners are the AoRs of a flow. A phone's connection has one, a proxy's may have very
// many.
type owners struct {
	one  sip.AoR
	more map[sip.AoR]struct{}
}

// add records that an AoR has a binding over a flow.
func (x *flowIndex) add(flow sip.Flow, a sip.AoR) {
	if flow.Conn == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owners == nil {
		x.owners = make(map[uint64]owners)
	}
	switch o := x.owners[flow.Conn]; {
	case o.one == a:
	case o.one.IsZero() && o.more == nil:
		x.owners[flow.Conn] = owners{one: a}
	case o.more == nil:
		x.owners[flow.Conn] = owners{one: o.one, more: map[sip.AoR]struct{}{a: {}}}
	default:
		o.more[a] = struct{}{}
	}
}

// drop records that an AoR has no binding over a flow.
func (x *flowIndex) drop(flow sip.Flow, a sip.AoR) {
	if flow.Conn == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	o, ok := x.owners[flow.Conn]
	if !ok {
		return
	}
	delete(o.more, a)
	if o.one == a {
		o.one = sip.AoR{}
	}
	if o.one.IsZero() && len(o.more) == 0 {
		delete(x.owners, flow.Conn)
		return
	}
	x.owners[flow.Conn] = o
}

// take removes a flow and returns the AoRs that had a binding over it.
func (x *flowIndex) take(flow sip.Flow) []sip.AoR {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.owners[flow.Conn]
	delete(x.owners, flow.Conn)
	var as []sip.AoR
	if !o.one.IsZero() {
		as = append(as, o.one)
	}
	for a := range o.more {
		as = append(as, a)
	}
	return as
}

// FlowClosed ends the use of a flow, because its connection is closed. Its bindings stay
// without a flow if they are Dialable, and are removed otherwise. An error of the store is only
// logged: the next Load leaves the rows out.
func (l *Location) FlowClosed(ctx context.Context, flow sip.Flow) {
	for _, a := range l.flows.take(flow) {
		s := l.shard(a)
		s.update.Lock()
		s.detach(a, flow)
		err := l.remove(ctx, s, a, func(b *Binding) bool { return b.Flow == flow })
		s.update.Unlock()
		if err != nil {
			l.opt.Log.Warn("binding of a closed connection not removed from the store", "aor", a, "error", err)
		}
	}
}

// detach takes the flow from those of an AoR's bindings that are Dialable. Their rows need no
// change: Load does the same. s.update is held.
func (s *shard) detach(a sip.AoR, flow sip.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bs []Binding
	for i := range s.users[a] {
		if b := &s.users[a][i]; b.Flow != flow || !b.Dialable() {
			continue
		}
		if bs == nil {
			bs = slices.Clone(s.users[a])
		}
		bs[i].Flow = sip.Flow{}
	}
	if bs != nil {
		s.users[a] = bs
	}
}

// dropClosed ends the use of flows with connections that were closed while their REGISTER waited
// for the store.
func (l *Location) dropClosed(ctx context.Context, bindings []Binding) {
	for i := range bindings {
		if f := bindings[i].Flow; f.Conn != 0 && !l.opt.Alive(f) {
			l.FlowClosed(ctx, f)
		}
	}
}
