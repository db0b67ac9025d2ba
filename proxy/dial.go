package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

var (
	// errNoRoute says that an attempt has no further flow.
	errNoRoute = errors.New("no route left")
	// errInsecure is the error for a route of a message that may be sent over TLS only.
	errInsecure = errors.New("not over TLS")
	// errTooLarge is the error for a request that no transport can carry.
	errTooLarge = errors.New("too large for UDP, and TCP is not available")
)

// resolveTimeout limits the lookup of a name. A connection to a target that is not open
// after targetTimeout counts as a target that does not answer.
const resolveTimeout = 10 * time.Second

// secure reports whether requests may be sent over the route only with TLS. Request-URIs are
// sent on as they came, and the case of a scheme does not matter.
func (r *Route) secure() bool {
	scheme, _, _ := strings.Cut(r.URI, ":")
	return strings.EqualFold(scheme, "sips")
}

// isOverTLS reports whether the next hop is reached over TLS.
func (r *Route) isOverTLS() bool {
	if r.usesFlow() && r.Flow.Transport.Secure() {
		return true
	}
	if r.secure() {
		return true // by resolve, if not by the flow
	}
	next, err := r.nextHop()
	if err != nil || r.usesFlow() {
		return false
	}
	t, _ := next.Transport()
	return t.Secure()
}

// usesFlow reports whether requests are sent over the flow of the registration. If there is a
// Path, a datagram is sent to its address and not to the source of the REGISTER.
func (r *Route) usesFlow() bool {
	return !r.Flow.IsZero() && (r.Next == nil || r.Flow.Transport != sip.UDP)
}

// nextHop returns the URI that is resolved if the flow is not used.
func (r *Route) nextHop() (sip.URI, error) {
	if r.Next != nil {
		return *r.Next, nil
	}
	return sip.ParseURI(r.URI)
}

// reopen has an attempt continue with the route in use without its flow, which is closed.
func (a *attempt) reopen() {
	r := *a.route
	if r.Flow.Conn == 0 || r.Binding == nil || !r.Binding.Dialable() {
		return
	}
	r.Flow = sip.Flow{}
	a.rest = append([]Route{r}, a.rest...)
}

// take makes the next route of an attempt the one in use.
func (a *attempt) take() *Route {
	a.route, a.rest = &a.rest[0], a.rest[1:]
	return a.route
}

// readyFlow is nextFlow for a flow that can be returned without a wait. Otherwise ready is
// false, and the attempt is unchanged or has its targets.
func (p *Proxy) readyFlow(a *attempt) (flow sip.Flow, ready bool, err error) {
	switch {
	case len(a.targets) > 0:
	case len(a.rest) == 0:
		return sip.Flow{}, true, errNoRoute
	case a.rest[0].usesFlow():
		return a.take().Flow, true, nil
	case a.rest[0].needsLookup():
		return sip.Flow{}, false, nil
	default:
		if a.targets, err = p.resolve(context.Background(), a.take()); err != nil {
			return sip.Flow{}, true, err
		}
	}
	if a.targets[0].Transport != sip.UDP {
		return sip.Flow{}, false, nil
	}
	flow, err = p.nextFlow(context.Background(), a)
	return flow, true, err
}

// needsLookup reports whether resolve asks a name server for the next hop.
func (r *Route) needsLookup() bool {
	next, err := r.nextHop()
	if err != nil {
		return false
	}
	_, literal := next.Addr()
	return !literal
}

// nextFlow returns the next flow to the device of an attempt, which it may have to resolve
// and connect. The error is errNoRoute if there is none left, else it is about one flow, and
// the next call returns the flow after that.
func (p *Proxy) nextFlow(ctx context.Context, a *attempt) (sip.Flow, error) {
	if len(a.targets) == 0 {
		if len(a.rest) == 0 {
			return sip.Flow{}, errNoRoute
		}
		r := a.take()
		if r.usesFlow() && (p.transport.Alive(r.Flow) || r.Binding == nil || !r.Binding.Dialable()) {
			return r.Flow, nil
		}
		ts, err := p.resolve(ctx, r)
		if err != nil {
			return sip.Flow{}, err
		}
		a.targets = ts
	}
	t := a.targets[0]
	a.targets = a.targets[1:]
	if t.Transport != sip.UDP {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, targetTimeout)
		defer cancel()
	}
	return p.transport.Connect(ctx, t)
}

// An unresolvedError says why the next hop of a route could not be resolved.
type unresolvedError struct{ err error }

func (e *unresolvedError) Error() string { return e.err.Error() }
func (e *unresolvedError) Unwrap() error { return e.err }

// resolve returns the targets of the next hop of a route (RFC 3263), at least one. The error
// is errInsecure or an *unresolvedError.
func (p *Proxy) resolve(ctx context.Context, r *Route) ([]transport.Target, error) {
	next, err := r.nextHop()
	if err != nil {
		return nil, &unresolvedError{fmt.Errorf("read address: %w", err)}
	}
	if r.secure() && next.Scheme == "sip" {
		// RFC 3261 section 26.2.2: each hop is secure. A proxy that is named without port
		// and transport can be asked for one.
		if t, named := next.Transport(); !named && next.Port == 0 {
			next.Scheme = "sips"
		} else if !t.Secure() {
			return nil, errInsecure
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ts, err := p.transport.Resolve(ctx, next)
	switch {
	case err != nil:
		return nil, &unresolvedError{err}
	case len(ts) == 0:
		return nil, &unresolvedError{errors.New("no address of " + next.Host)}
	case r.Binding == nil:
		return ts, nil
	}
	// The name in a Contact or Path may be another one of this server.
	ts = slices.DeleteFunc(ts, func(t transport.Target) bool { return p.own.HasAddr(t.Addr) })
	if len(ts) == 0 {
		return nil, &unresolvedError{errors.New(next.Host + " is this server")}
	}
	return ts, nil
}

// dial returns the first flow that can be used among those that a route leads to. If there
// is none, the error is that of the first.
func (p *Proxy) dial(ctx context.Context, r Route) (flow sip.Flow, first error) {
	a := attempt{rest: []Route{r}}
	for a.hasNext() {
		flow, err := p.nextFlow(ctx, &a)
		if err == nil && r.secure() && !flow.Transport.Secure() {
			err = errInsecure
		}
		if err == nil {
			return flow, nil
		}
		if first == nil {
			first = err
		}
	}
	return sip.Flow{}, first
}

// widened returns a function that returns the flow for a request which is too large for the
// UDP flow: a TCP flow to the same peer (RFC 3261 section 18.1.1), or else flow if the
// settings allow that. The error is errTooLarge.
func (p *Proxy) widened(flow sip.Flow) func(context.Context, *attempt) (sip.Flow, error) {
	return func(ctx context.Context, _ *attempt) (sip.Flow, error) {
		flow, tcp := p.transport.PreferTCP(ctx, flow)
		if !tcp && !p.settings.Load().LargeOverUDP {
			return sip.Flow{}, errTooLarge
		}
		return flow, nil
	}
}
