package phone

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"silod/sip"
)

// Register registers the phone for a time, rounded to seconds; 0 removes the registration. It
// returns the final response, and for a 2xx the granted time. The errors are those of Do.
func (p *Phone) Register(ctx context.Context, expires time.Duration) (*Response, time.Duration, error) {
	f, err := p.connect(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("REGISTER: %w", err)
	}
	contact := p.contactURI(f)
	registrar := sip.URI{Scheme: p.aor.Scheme, Host: p.aor.Host, Port: p.aor.Port}
	res, err := p.Do(ctx, Request{
		Method: "REGISTER", URI: registrar.String(), To: p.aor.String(), CallID: p.callID,
		Headers: Headers{
			{Name: "Contact", Value: "<" + contact.String() + ">" + p.contact},
			{Name: "Expires", Value: strconv.FormatInt(int64(expires.Round(time.Second)/time.Second), 10)},
			{Name: "Allow", Value: allowed},
		},
	})
	if err != nil {
		return nil, 0, err
	}
	return res, granted(res, contact, expires), nil
}

// Unregister removes the phone's contact from the registrar.
func (p *Phone) Unregister(ctx context.Context) (*Response, error) {
	res, _, err := p.Register(ctx, 0)
	return res, err
}

// contactURI returns the contact for a flow: its local address.
func (p *Phone) contactURI(f *flow) sip.URI {
	local := addrPort(f.conn.LocalAddr())
	u := sip.URI{Scheme: "sip", User: p.aor.User, Host: local.Addr().String(), Port: local.Port()}
	if local.Addr().Is6() {
		u.Host = "[" + u.Host + "]"
	}
	if f.reliable() {
		u.Params = u.Params.With("transport", f.server.network)
	}
	return u
}

// granted returns the lifetime of the contact in a 2xx, which is asked if the response has
// none (RFC 3261 section 10.2.4). It returns 0 for other responses.
func granted(res *Response, contact sip.URI, asked time.Duration) time.Duration {
	if !res.OK() {
		return 0
	}
	for _, value := range res.Headers.All("Contact") {
		list, err := sip.ParseList(value)
		if err != nil {
			continue
		}
		for _, c := range list {
			if s, ok := c.Params.Get("expires"); ok && c.URI.Equal(contact) {
				return seconds(s, asked)
			}
		}
	}
	return seconds(res.Headers.Get("Expires"), asked)
}

// seconds parses delta-seconds (RFC 3261 section 25.1). It returns otherwise for any other
// text.
func seconds(s string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// A Refusal is a final response that is not a 2xx, as an error.
type Refusal struct {
	Method string
	Response
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s refused: %s", r.Method, r.Response.String()) }

// Pauses before the next REGISTER.
const (
	reconnect  = 250 * time.Millisecond // after the end of the connection
	firstRetry = time.Second            // after a failure; doubled each time
	lastRetry  = 30 * time.Second       // the longest
)

// KeepRegistered registers, refreshes in time, and registers again when the connection ends.
// When ctx ends, it removes the registration and returns nil. report, which may be nil, is
// called for each registration with the granted time, and for each failure after which it
// tries again. The error is that of the first attempt, or a *Refusal that another attempt
// cannot change.
func (p *Phone) KeepRegistered(ctx context.Context, expires time.Duration, report func(time.Duration, error)) error {
	if report == nil {
		report = func(time.Duration, error) {}
	}
	registered, retry := false, firstRetry
	for {
		lasts, f, err := p.registerOnce(ctx, &expires)
		var pause time.Duration
		switch {
		case err == nil:
			registered, retry = true, firstRetry
			pause = lasts * 4 / 5 // RFC 5626 section 4.4.1 has 50 to 90 percent
			report(lasts, nil)
		case ctx.Err() != nil:
			return p.leave(ctx, registered)
		case !registered || isFinal(err):
			return err
		default:
			report(0, err)
			pause, retry = retry, min(2*retry, lastRetry)
		}
		if !p.pause(ctx, f, pause) {
			return p.leave(ctx, registered)
		}
	}
}

// registerOnce registers and returns the granted time and the flow. If the server refuses
// *expires as too brief, it sets *expires to the server's minimum and tries again.
func (p *Phone) registerOnce(ctx context.Context, expires *time.Duration) (time.Duration, *flow, error) {
	f, err := p.connect(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("REGISTER: %w", err)
	}
	for {
		res, lasts, err := p.Register(ctx, *expires)
		switch {
		case err != nil:
			return 0, nil, err
		case res.OK() && lasts > 0:
			return lasts, f, nil
		case res.OK():
			return 0, nil, errors.New("REGISTER: the server kept no registration")
		case res.Code == 423 && seconds(res.Headers.Get("Min-Expires"), 0) > *expires:
			*expires = seconds(res.Headers.Get("Min-Expires"), 0)
		default:
			return 0, nil, &Refusal{Method: "REGISTER", Response: *res}
		}
	}
}

// pause waits, but only a short time after the end of the flow. It reports whether neither ctx
// nor the phone has ended.
func (p *Phone) pause(ctx context.Context, f *flow, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var gone chan struct{}
	if f != nil {
		gone = f.gone
	}
	for {
		select {
		case <-timer.C:
			return true
		case <-gone:
			timer.Reset(min(d, reconnect))
			gone = nil
		case <-p.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// leave removes the registration, within two seconds.
func (p *Phone) leave(ctx context.Context, registered bool) error {
	if !registered {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if _, err := p.Unregister(ctx); err != nil && !errors.Is(err, ErrClosed) {
		p.log.Debug("registration not removed", "reason", err)
	}
	return nil
}

// isFinal reports whether an error is a refusal that another attempt cannot change: a 6xx, or
// a 4xx other than those of temporary conditions.
func isFinal(err error) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Code {
	case 408, 480, 486, 491:
		return false
	}
	return r.Code/100 == 4 || r.Code/100 == 6
}
