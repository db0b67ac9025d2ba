package sip

import (
	"cmp"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// A Via is one value of the Via header field (RFC 3261 section 20.42).
type Via struct {
	Transport string // upper case: "UDP"
	Host      string // "" if sent-by names no address that can be used
	Port      uint16 // 0 if missing
	Params    Params
}

// ParseVia parses "SIP/2.0/UDP host:port;params". White space is allowed around the slashes
// and the colon.
func ParseVia(s string) (Via, error) {
	var v Via
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	proto, sentBy, ok := cutProtocol(s[:end])
	if !ok {
		return v, errors.New("bad protocol in Via")
	}
	v.Transport = proto
	sentBy = trim(sentBy)
	if i := strings.LastIndexByte(sentBy, ':'); strings.ContainsAny(sentBy, " \t") && i > strings.LastIndexByte(sentBy, ']') {
		sentBy = strings.TrimRight(sentBy[:i], " \t") + ":" + strings.TrimLeft(sentBy[i+1:], " \t")
	}
	var err error
	if v.Host, v.Port, err = parseSentBy(sentBy); err != nil {
		return v, errors.New("bad host in Via")
	}
	if v.Params, err = ParseParams(s[end:]); err != nil {
		return v, errors.New("bad parameter in Via")
	}
	return v, nil
}

// cutProtocol parses "SIP / 2.0 / UDP" at the start of s. It returns the transport and the
// rest.
func cutProtocol(s string) (transport, rest string, ok bool) {
	name, s, ok1 := strings.Cut(s, "/")
	// The version is not checked: another one is answered 505, which needs the Via.
	_, s, ok2 := strings.Cut(s, "/")
	if !ok1 || !ok2 || !strings.EqualFold(strings.TrimSpace(name), "SIP") {
		return "", "", false
	}
	transport, rest, ok = cutSpace(trimLeft(s))
	return strings.ToUpper(transport), rest, ok && IsName(transport)
}

// Branch returns the branch parameter, or "".
func (v *Via) Branch() string {
	b, _ := v.Params.Get("branch")
	return b
}

// Addr returns the host of sent-by as an IP address. It reports whether the host is one.
func (v *Via) Addr() (netip.Addr, bool) {
	if v.Host == "" || v.Host[0] != '[' && (v.Host[0] < '0' || v.Host[0] > '9') {
		return netip.Addr{}, false // a name
	}
	a, err := netip.ParseAddr(strings.Trim(v.Host, "[]"))
	return a.Unmap(), err == nil
}

// BehindNAT reports whether a NAT has changed the source address of a request: its topmost
// Via has another IP address than src. The port says nothing, because some phones send from
// one port and listen on another.
func (v *Via) BehindNAT(src netip.AddrPort) bool {
	a, ok := v.Addr()
	return ok && a != src.Addr().WithZone("")
}

// AppendStamped appends the value of a received topmost Via for the response to b. It adds
// received if the source differs from sent-by (RFC 3261 section 18.2.1). If there is an
// rport parameter, it always adds received, and the port to rport (RFC 3581 section 4).
func (v *Via) AppendStamped(b []byte, value string, src netip.AddrPort) []byte {
	_, rport := v.Params.Get("rport")
	host := src.Addr().WithZone("")
	if !rport {
		if a, ok := v.Addr(); ok && a == host {
			return append(b, value...)
		}
	}
	if i := strings.IndexByte(value, ';'); i >= 0 {
		value = value[:i]
	}
	b = append(b, strings.TrimRight(value, " \t")...)
	for i := range v.Params {
		switch p := &v.Params[i]; {
		case strings.EqualFold(p.Name, "received"):
		case !strings.EqualFold(p.Name, "rport"):
			b = p.AppendTo(b)
		case rport: // the first one only
			rport = false
			b = append(append(append(b, ';'), p.Name...), '=')
			b = strconv.AppendUint(b, uint64(src.Port()), 10)
		}
	}
	b = append(b, ";received="...)
	return host.AppendTo(b) // without brackets (RFC 5118 section 4.5)
}

// ReplyAddr returns the destination of a response over UDP (RFC 3261 section 18.2.2, RFC
// 3581 section 4). It is the source if the Via has an rport parameter. It is also the source
// if sent-by contains another IP address: then there is a NAT, which forwards no other port.
// Otherwise it is the source address with the port of sent-by.
func (v *Via) ReplyAddr(src netip.AddrPort) netip.AddrPort {
	if _, rport := v.Params.Get("rport"); rport || v.Host == "" {
		return src
	}
	if v.BehindNAT(src) {
		return src
	}
	return netip.AddrPortFrom(src.Addr(), cmp.Or(v.Port, UDP.DefaultPort()))
}
