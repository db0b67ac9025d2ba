package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// A refusal is a final response to REGISTER that is not a 2xx.
type refusal struct {
	code   int
	status string // "403 Forbidden"
}

func (r *refusal) Error() string { return "REGISTER refused: " + r.status }

// Pauses before the next REGISTER, and the time to remove the registration.
const (
	reconnectPause = 250 * time.Millisecond // after the end of the connection
	firstRetry     = time.Second            // after a failure; doubled each time
	lastRetry      = 30 * time.Second       // the longest
	leaveTimeout   = 2 * time.Second
)

// keepRegistered registers, refreshes in time, and registers again when the connection ends. When ctx
// ends, it removes the registration and returns nil. report is called for each registration with the
// granted time, and for each failure after which it tries again. The error is that of the first
// attempt, or a *refusal that another attempt cannot change.
func (u *userAgent) keepRegistered(ctx context.Context, expires time.Duration, report func(time.Duration, error)) error {
	registered, retry := false, firstRetry
	for {
		granted, err := u.registerOnce(ctx, &expires)
		var wait time.Duration
		var gone <-chan struct{}
		switch {
		case err == nil:
			registered, retry = true, firstRetry
			wait, gone = granted*4/5, u.flow.link.gone // RFC 5626 section 4.4.1 has 50 to 90 percent
			report(granted, nil)
		case ctx.Err() != nil:
			return u.leave(ctx, registered)
		case !registered || isFinal(err):
			return err
		default:
			report(0, err)
			wait, retry = retry, min(2*retry, lastRetry)
		}
		if !pauseFor(ctx, wait, gone) {
			return u.leave(ctx, registered)
		}
	}
}

// registerOnce registers and returns the granted time. If the server refuses *expires as too brief, it
// sets *expires to the server's minimum and tries again.
func (u *userAgent) registerOnce(ctx context.Context, expires *time.Duration) (time.Duration, error) {
	for {
		res, granted, err := u.register(ctx, *expires)
		if err != nil {
			return 0, err
		}
		least := seconds(fieldOf(res, "min-expires"), 0)
		switch {
		case res.IsSuccess() && granted > 0:
			return granted, nil
		case res.IsSuccess():
			return 0, errors.New("REGISTER: the server kept no registration")
		case res.StatusCode == gosip.StatusIntervalToBrief && least > *expires:
			*expires = least
		default:
			return 0, &refusal{code: res.StatusCode, status: statusOf(res)}
		}
	}
}

// register sends one REGISTER and returns its response, and for a 2xx the granted time. An expires of
// 0 removes the registration.
func (u *userAgent) register(ctx context.Context, expires time.Duration) (*gosip.Response, time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.cfg.timeout,
		fmt.Errorf("%w (%s) from %s", errNoAnswer, u.cfg.timeout, u.cfg.server))
	defer cancel()
	f, err := u.connect(ctx) // the contact names the connection
	if err != nil {
		return nil, 0, fmt.Errorf("REGISTER: %w", err)
	}
	contact := u.contact(f)
	registrar := sip.URI{Scheme: u.aor.Scheme, Host: u.aor.Host, Port: u.aor.Port}
	res, err := u.do(ctx, sipRequest{
		method: "REGISTER", uri: registrar.String(), to: u.aor.String(), callID: u.callID,
		headers: []sip.Header{
			{Name: "Contact", Value: "<" + contact.String() + ">"},
			{Name: "Expires", Value: strconv.FormatInt(int64(expires.Round(time.Second)/time.Second), 10)},
			{Name: "Allow", Value: allowed},
		},
	})
	if err != nil {
		return nil, 0, err
	}
	return res, grantedTime(res, contact, expires), nil
}

// contact returns the URI at which the server reaches this flow.
func (u *userAgent) contact(f *flow) sip.URI {
	local := addrPort(f.link.LocalAddr())
	c := sip.URI{Scheme: "sip", User: u.aor.User, Host: local.Addr().String(), Port: local.Port()}
	if local.Addr().Is6() {
		c.Host = "[" + c.Host + "]"
	}
	if f.link.server.reliable() {
		c.Params = c.Params.With("transport", f.link.server.network)
	}
	return c
}

// grantedTime returns the lifetime of the contact in a 2xx, which is asked if the response has none
// (RFC 3261 section 10.2.4). It returns 0 for other responses.
func grantedTime(res *gosip.Response, contact sip.URI, asked time.Duration) time.Duration {
	if !res.IsSuccess() {
		return 0
	}
	for _, h := range append(res.GetHeaders("contact"), res.GetHeaders("m")...) {
		list, err := sip.ParseList(h.Value())
		if err != nil {
			continue
		}
		for _, c := range list {
			if s, ok := c.Params.Get("expires"); ok && c.URI.Equal(contact) {
				return seconds(s, asked)
			}
		}
	}
	return seconds(fieldOf(res, "expires"), asked)
}

// seconds parses delta-seconds (RFC 3261 section 25.1). It returns otherwise for any other text.
func seconds(s string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// pauseFor waits, but only a short time after gone is closed. It reports whether ctx has not ended.
func pauseFor(ctx context.Context, d time.Duration, gone <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-gone:
			timer.Reset(min(d, reconnectPause))
			gone = nil
		case <-ctx.Done():
			return false
		}
	}
}

// leave removes the registration, within leaveTimeout: the user waits for the end.
func (u *userAgent) leave(ctx context.Context, registered bool) error {
	if !registered {
		return nil
	}
	if u.flow != nil {
		u.flow.arrivals.close() // messages are answered before
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	_, _, _ = u.register(ctx, 0) // after an error the registration expires
	return nil
}

// isFinal reports whether an error is a refusal that another attempt cannot change: a 6xx, or a 4xx
// other than those of temporary conditions.
func isFinal(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return false
	}
	switch r.code {
	case gosip.StatusRequestTimeout, gosip.StatusTemporarilyUnavailable, gosip.StatusBusyHere, gosip.StatusRequestPending:
		return false
	}
	return r.code/100 == 4 || r.code/100 == 6
}

// statusOf returns the status of a response: "202 Accepted".
func statusOf(res *gosip.Response) string {
	return strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", res.Reason))
}
