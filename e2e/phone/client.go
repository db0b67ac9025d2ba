package phone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// The timers of RFC 3261 section 17.1.2.2.
const (
	t1 = 500 * time.Millisecond // first retransmission over UDP
	t2 = 4 * time.Second        // longest pause between two
)

// A Request is a request outside any dialog.
type Request struct {
	Method  string
	URI     string  // Request-URI; "" for the URI of To
	To      string  // "sip:bob@example.org", with a display name if wanted
	CallID  string  // "" for a new one
	Headers Headers // further ones; the phone writes Via, CSeq and Content-Length
	Body    []byte
}

// Send sends a MESSAGE and returns its final response. contentType "" stands for plain text
// in UTF-8. The errors are those of Do.
func (p *Phone) Send(ctx context.Context, to, contentType string, body []byte, headers ...Header) (*Response, error) {
	if contentType == "" {
		contentType = "text/plain;charset=utf-8"
	}
	hs := append(Headers{{Name: "Content-Type", Value: contentType}}, headers...)
	return p.Do(ctx, Request{Method: "MESSAGE", To: to, Headers: hs, Body: body})
}

// Do sends a request and returns its final response, which may be a refusal. With a password
// it answers a challenge. The error wraps ErrUnreachable, ErrTimeout, ErrClosed, or the cause
// for which ctx was canceled, unless the request is not valid.
func (p *Phone) Do(ctx context.Context, r Request) (*Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.Timeout,
		fmt.Errorf("%w (%s) from %s", ErrTimeout, p.cfg.Timeout, p.server))
	defer cancel()
	res, err := p.do(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Method, err)
	}
	return res, nil
}

// do is Do without the timeout.
func (p *Phone) do(ctx context.Context, r Request) (*Response, error) {
	f, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	req, err := p.build(r)
	if err != nil {
		return nil, err
	}
	res, err := p.exchange(ctx, f, req)
	// Twice: a proxy may challenge after the registrar, and a nonce may be stale.
	for range 2 {
		if err != nil || !p.authorize(req, res) {
			break
		}
		res, err = p.exchange(ctx, f, req)
	}
	return res, err
}

// build returns a request without Via and CSeq, which each transaction adds.
func (p *Phone) build(r Request) (*sipgo.Request, error) {
	to, err := parseNameAddr(r.To)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", r.To, err)
	}
	uri := r.URI
	if uri == "" {
		uri = to.URI.String()
	}
	if !sip.IsToken(r.Method) {
		return nil, fmt.Errorf("bad method %q", r.Method)
	}
	if _, err := sip.ParseURI(uri); err != nil {
		return nil, err
	}
	var target sipgo.Uri
	if err := sipgo.ParseUri(uri, &target); err != nil {
		return nil, fmt.Errorf("address %q: %w", uri, err)
	}
	if r.CallID == "" {
		r.CallID = token()
	}
	own := sip.NameAddr{Name: p.cfg.Name, URI: p.aor}
	own.Params = own.Params.With("tag", token())
	hs := append(Headers{
		{Name: "From", Value: own.String()},
		{Name: "To", Value: to.String()},
		{Name: "Call-ID", Value: r.CallID},
		{Name: "Max-Forwards", Value: "70"},
		{Name: "User-Agent", Value: "silod-phone"},
	}, r.Headers...)
	req := sipgo.NewRequest(sipgo.RequestMethod(r.Method), target)
	for i, h := range hs {
		if err := checkHeader(h); err != nil {
			return nil, err
		}
		if i < len(hs)-len(r.Headers) && r.Headers.Get(h.Name) != "" {
			continue // replaced by the caller's
		}
		req.AppendHeader(sipgo.NewHeader(h.Name, h.Value))
	}
	req.SetBody(r.Body)
	return req, nil
}

// exchange runs one non-INVITE client transaction (RFC 3261 section 17.1.2): it adds Via and
// CSeq to req, sends it, and returns the final response.
func (p *Phone) exchange(ctx context.Context, f *flow, req *sipgo.Request) (*Response, error) {
	branch := "z9hG4bK" + token()
	req.RemoveHeader("Via")
	req.RemoveHeader("CSeq")
	req.PrependHeader(
		sipgo.NewHeader("Via", fmt.Sprintf("SIP/2.0/%s %s;rport;branch=%s",
			strings.ToUpper(f.server.network), f.conn.LocalAddr(), branch)),
		sipgo.NewHeader("CSeq", fmt.Sprintf("%d %s", p.nextSeq(), req.Method)),
	)
	results, err := f.wait(branch)
	if err != nil {
		return nil, err
	}
	defer f.forget(branch)
	bytes := []byte(req.String())
	if err := f.write(bytes); err != nil {
		return nil, err
	}

	pause := t1
	resend := time.NewTimer(pause)
	defer resend.Stop()
	if f.reliable() {
		resend.Stop()
	}
	for {
		select {
		case r := <-results:
			if r.final() {
				return r.res, r.err
			}
			pause = t2 // "Proceeding"
		case <-resend.C:
			if err := f.write(bytes); err != nil {
				return nil, err
			}
			pause = min(2*pause, t2)
			resend.Reset(pause)
		case <-p.done:
			return nil, ErrClosed
		case <-ctx.Done():
			// A response that has arrived is returned: a message that came after it may be
			// the reason why the caller canceled ctx.
			for len(results) > 0 {
				if r := <-results; r.final() {
					return r.res, r.err
				}
			}
			return nil, ctx.Err()
		}
	}
}

// parseNameAddr parses an address with or without a display name, angle brackets and
// scheme.
func parseNameAddr(s string) (sip.NameAddr, error) {
	if !strings.ContainsAny(s, "<>") {
		u, err := parseURI(s)
		return sip.NameAddr{URI: u}, err
	}
	na, err := sip.ParseNameAddr(s)
	switch {
	case err != nil:
	case na.Star:
		err = errors.New("not an address")
	case !na.URI.IsSIP():
		err = sip.ErrScheme
	}
	return na, err
}

// token returns a random name for tags, branches and Call-IDs.
func token() string { return rand.Text() }
