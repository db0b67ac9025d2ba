package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// A sipMessage is a MESSAGE request that arrived.
type sipMessage struct {
	from, to        sip.NameAddr
	callID          string
	subject, date   string // "" if there is none
	contentType     string
	contentEncoding string
	body            []byte
	at              time.Time // of its arrival
}

// newMessage returns the message of a request that arrived at that time. It returns an error if the
// request cannot be answered, or has no valid From or To.
func newMessage(req *gosip.Request, at time.Time) (*sipMessage, error) {
	if _, err := echoed(req); err != nil {
		return nil, err
	}
	m := &sipMessage{
		callID: fieldOf(req, "call-id", "i"), subject: fieldOf(req, "subject", "s"), date: fieldOf(req, "date"),
		contentType: fieldOf(req, "content-type", "c"), contentEncoding: fieldOf(req, "content-encoding", "e"),
		body: req.Body(), at: at,
	}
	var err error
	if m.from, err = sip.ParseNameAddr(fieldOf(req, "from", "f")); err != nil {
		return nil, fmt.Errorf("header From: %w", err)
	}
	if m.to, err = sip.ParseNameAddr(fieldOf(req, "to", "t")); err != nil {
		return nil, fmt.Errorf("header To: %w", err)
	}
	return m, nil
}

// newSIPParser returns a parser that leaves header fields as they were written: sipgo would write them
// in another form. Only Via and CSeq, which sipgo parses later by itself, are brought into the form in
// which it finds their parts.
func newSIPParser() *gosip.Parser {
	all := gosip.DefaultHeadersParser()
	p := gosip.NewParser(gosip.WithHeadersParsers(gosip.HeadersParser{
		"content-length": all["content-length"], // ends a message on a stream
		"l":              all["l"],
		"via":            tidied("Via", tidyVia),
		"v":              tidied("Via", tidyVia),
		"cseq":           tidied("CSeq", func(s string) string { return strings.Join(strings.Fields(s), " ") }),
	}))
	p.MaxMessageLength = maxMessage
	return p
}

// tidied returns a parser of a header field that is kept as text.
func tidied(name string, tidy func(string) string) gosip.HeaderParser {
	return func(_ []byte, value string) (gosip.Header, error) { return gosip.NewHeader(name, tidy(value)), nil }
}

// tidyVia removes white space from parameters and writes their names in lower case; sipgo finds them
// in no other form. A value with a quoted string stays as it is.
func tidyVia(value string) string {
	if strings.Contains(value, `"`) {
		return value
	}
	parts := strings.Split(value, ";")
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if name, v, ok := strings.Cut(p, "="); ok {
			p = strings.ToLower(strings.TrimSpace(name)) + "=" + strings.TrimSpace(v)
		} else if i > 0 && !strings.ContainsAny(p, " \t,") {
			p = strings.ToLower(p)
		}
		parts[i] = p
	}
	return strings.Join(parts, ";")
}

// build returns a request without Via: each transaction adds its own.
func (u *userAgent) build(r sipRequest, seq uint32) (*gosip.Request, error) {
	to, err := parseNameAddr(r.to)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", r.to, err)
	}
	uri := r.uri
	if uri == "" {
		uri = to.URI.String()
	}
	if _, err := sip.ParseURI(uri); err != nil {
		return nil, err
	}
	var target gosip.Uri
	if err := gosip.ParseUri(uri, &target); err != nil {
		return nil, fmt.Errorf("address %q: %w", uri, err)
	}
	if r.callID == "" {
		r.callID = rand.Text()
	}
	from := sip.NameAddr{Name: u.cfg.name, URI: u.aor}
	from.Params = from.Params.With("tag", rand.Text())
	fields := append([]sip.Header{
		{Name: "From", Value: from.String()},
		{Name: "To", Value: to.String()},
		{Name: "Call-ID", Value: r.callID},
		{Name: "Max-Forwards", Value: "70"},
		{Name: "User-Agent", Value: "silod-phone"},
	}, r.headers...)
	req := gosip.NewRequest(gosip.RequestMethod(r.method), target)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: seq, MethodName: req.Method})
	for i, h := range fields {
		if err := checkHeader(h); err != nil {
			return nil, err
		}
		if i >= len(fields)-len(r.headers) || !hasField(r.headers, h.Name) {
			req.AppendHeader(gosip.NewHeader(h.Name, h.Value))
		}
	}
	req.SetBody(r.body)
	return req, nil
}

// hasField reports whether the caller has written a field of that name, compact or not.
func hasField(list []sip.Header, name string) bool {
	compact := map[string]string{"From": "f", "To": "t", "Call-ID": "i"}[name]
	return slices.ContainsFunc(list, func(h sip.Header) bool {
		return strings.EqualFold(h.Name, name) || strings.EqualFold(h.Name, compact)
	})
}

// respond answers a request with its header fields as they were written (RFC 3261 section 8.2.6), and
// with more. It ignores an error: the server then retransmits the request.
func respond(req *gosip.Request, tx gosip.ServerTransaction, code int, more ...gosip.Header) {
	fields, err := echoed(req)
	if err != nil {
		return
	}
	res := gosip.NewResponse(code, reasons[code])
	for _, h := range append(fields, more...) {
		res.AppendHeader(h)
	}
	res.SetBody(nil)
	res.SetTransport(req.Transport())
	res.SetDestination(req.Source())
	_ = tx.Respond(res)
}

// reasons are the reason phrases of our answers.
var reasons = map[int]string{
	gosip.StatusOK: "OK", gosip.StatusMethodNotAllowed: "Method Not Allowed",
	gosip.StatusTemporarilyUnavailable:       "Temporarily Unavailable",
	gosip.StatusCallTransactionDoesNotExists: "Call/Transaction Does Not Exist",
	gosip.StatusServiceUnavailable:           "Service Unavailable",
}

// echoed returns the header fields that an answer repeats, To with a tag. It returns an error if one
// of them is missing, repeated or not valid.
func echoed(req *gosip.Request) ([]gosip.Header, error) {
	var fields []gosip.Header
	for _, name := range [][2]string{{"Via", "v"}, {"From", "f"}, {"To", "t"}, {"Call-ID", "i"}, {"CSeq", "cseq"}} {
		list := req.GetHeaders(name[0])
		if name[0] != "CSeq" {
			list = append(list, req.GetHeaders(name[1])...)
		}
		if len(list) == 0 || name[0] != "Via" && len(list) > 1 {
			return nil, fmt.Errorf("%d header fields %s", len(list), name[0])
		}
		for _, h := range list {
			value := h.Value()
			if err := checkValue(value); err != nil || value == "" {
				return nil, fmt.Errorf("header field %s is not valid", name[0])
			}
			if name[0] == "To" {
				value = withTag(value)
			}
			fields = append(fields, gosip.NewHeader(name[0], value))
		}
	}
	return fields, nil
}

// withTag adds a tag to the value of a To without one.
func withTag(to string) string {
	if a, err := sip.ParseNameAddr(to); err == nil && a.Tag() != "" {
		return to
	}
	return to + ";tag=" + rand.Text()
}

// checkHeader returns an error for a header field that siloctl writes itself, or that would not be one
// field on the wire.
func checkHeader(h sip.Header) error {
	if !sip.IsToken(h.Name) {
		return fmt.Errorf("bad header name %q", h.Name)
	}
	switch strings.ToLower(h.Name) {
	case "via", "v", "cseq", "content-length", "l":
		return fmt.Errorf("header %s is set by siloctl itself", h.Name)
	}
	if err := checkValue(h.Value); err != nil {
		return fmt.Errorf("header %s: %w", h.Name, err)
	}
	return nil
}

// checkValue returns an error for a value with control characters: sipgo would write it as it is.
func checkValue(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("a line break or control character is not allowed in a header")
	}
	return nil
}

// parseSIPURI parses a SIP URI with or without its scheme.
func parseSIPURI(s string) (sip.URI, error) {
	a, err := parseNameAddr(s)
	return a.URI, err
}

// parseNameAddr parses an address with or without a display name, angle brackets and scheme.
func parseNameAddr(s string) (sip.NameAddr, error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "<>") {
		a, err := sip.ParseNameAddr(s)
		switch {
		case err != nil:
		case a.Star:
			err = errors.New("not an address")
		case !a.URI.IsSIP():
			err = fmt.Errorf("%s: %w", a.URI, sip.ErrScheme)
		}
		return a, err
	}
	if i := strings.IndexAny(s, ":@"); i >= 0 && s[i] == '@' {
		s = "sip:" + s
	}
	u, err := sip.ParseURI(s)
	if err == nil && !u.IsSIP() {
		err = fmt.Errorf("%s: %w", u, sip.ErrScheme)
	}
	return sip.NameAddr{URI: u}, err
}

// addrPort returns an address of the net package without IPv4 mapping and zone.
func addrPort(a net.Addr) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
