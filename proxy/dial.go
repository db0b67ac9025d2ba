package proxy

import (
	"context"
	"errors"
	"fmt"

	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// An attempt sends to one device over one flow at a time.
type attempt struct {
	device  string                // its name
	tx      *transaction.ClientTx // the last one; nil: nothing was sent yet
	route   *Route                // in use
	targets []transport.Target    // of route that have not been tried
	rest    []Route               // of the device that have not been tried
}

// errNoRoute says that an attempt has no further flow.
var errNoRoute = errors.New("no route left")

// hasNext reports whether nextFlow has another target or route to try.
func (a *attempt) hasNext() bool { return len(a.targets) > 0 || len(a.rest) > 0 }

// nextFlow returns the next flow to the device of an attempt, which it may have to resolve
// and connect. The error is errNoRoute if there is none left, else it is about one flow, and
// the next call returns the flow after that.
func (p *Proxy) nextFlow(ctx context.Context, a *attempt) (sip.Flow, error) {
	if len(a.targets) == 0 {
		if len(a.rest) == 0 {
			return sip.Flow{}, errNoRoute
		}
		a.route, a.rest = &a.rest[0], a.rest[1:]
		if !a.route.Flow.IsZero() {
			return a.route.Flow, nil
		}
		ts, err := p.resolve(ctx, a.route)
		if err != nil {
			return sip.Flow{}, err
		}
		a.targets = ts
	}
	t := a.targets[0]
	a.targets = a.targets[1:]
	return p.transport.Connect(ctx, t)
}

// An unresolvedError says why the next hop of a route could not be resolved.
type unresolvedError struct{ err error }

func (e *unresolvedError) Error() string { return e.err.Error() }
func (e *unresolvedError) Unwrap() error { return e.err }

// resolve returns the targets of a route without a flow (RFC 3263), at least one. The error
// is an *unresolvedError.
func (p *Proxy) resolve(ctx context.Context, r *Route) ([]transport.Target, error) {
	next := r.Next
	if next == nil {
		u, err := sip.ParseURI(r.URI)
		if err != nil {
			return nil, &unresolvedError{fmt.Errorf("read address: %w", err)}
		}
		next = &u
	}
	ts, err := p.transport.Resolve(ctx, *next)
	switch {
	case err != nil:
		return nil, &unresolvedError{err}
	case len(ts) == 0:
		return nil, &unresolvedError{errors.New("no address of " + next.Host)}
	}
	return ts, nil
}

// dial returns the first flow that can be used among those that a route leads to. If there
// is none, the error is that of the first.
func (p *Proxy) dial(ctx context.Context, r Route) (flow sip.Flow, first error) {
	a := attempt{rest: []Route{r}}
	for a.hasNext() {
		flow, err := p.nextFlow(ctx, &a)
		if err == nil {
			return flow, nil
		}
		if first == nil {
			first = err
		}
	}
	return sip.Flow{}, first
}

// errTooLarge is the error for a request that no transport can carry.
var errTooLarge = errors.New("too large for UDP, and TCP is not available")

// flowFor returns the flow for a request of a size in bytes: flow, or a TCP flow to the
// same peer if the request is too large for UDP (RFC 3261 section 18.1.1). The error is
// errTooLarge.
func (p *Proxy) flowFor(ctx context.Context, flow sip.Flow, size int) (sip.Flow, error) {
	if flow.Transport != sip.UDP || size <= transport.MaxDatagram {
		return flow, nil
	}
	flow, tcp := p.transport.PreferTCP(ctx, flow)
	if !tcp && !p.settings.Load().LargeOverUDP {
		return sip.Flow{}, errTooLarge
	}
	return flow, nil
}
