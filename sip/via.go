package sip

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// A Via is one value of the Via header field (RFC 3261 section 20.42).
type Via struct {
	Transport string // upper case: "UDP"
	Host      string
	Port      uint16 // 0 where none was written
	Params    Params
}

// ParseVia reads "SIP/2.0/UDP host:port;params", with white space allowed around the
// slashes and the colon.
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
	if v.Host, v.Port, err = ParseHostPort(sentBy); err != nil {
		return v, errors.New("bad host in Via")
	}
	if v.Params, err = ParseParams(s[end:]); err != nil {
		return v, errors.New("bad parameter in Via")
	}
	return v, nil
}

// cutProtocol cuts "SIP / 2.0 / UDP" off and returns the transport and the rest.
func cutProtocol(s string) (transport, rest string, ok bool) {
	name, s, ok1 := strings.Cut(s, "/")
	// Any version: a message of another one is answered 505, along its Via.
	_, s, ok2 := strings.Cut(s, "/")
	if !ok1 || !ok2 || !strings.EqualFold(strings.TrimSpace(name), "SIP") {
		return "", "", false
	}
	transport, rest, ok = cutSpace(trimLeft(s))
	return strings.ToUpper(transport), rest, ok && isName(transport)
}

// Branch returns the branch parameter, or "".
func (v *Via) Branch() string {
	b, _ := v.Params.Get("branch")
	return b
}

// addr returns the host of sent-by, where that is an IP address.
func (v *Via) addr() (netip.Addr, bool) {
	if v.Host == "" || v.Host[0] != '[' && (v.Host[0] < '0' || v.Host[0] > '9') {
		return netip.Addr{}, false // a name
	}
	a, err := netip.ParseAddr(strings.Trim(v.Host, "[]"))
	return a.Unmap(), err == nil
}

// SentBySource reports whether src is the address that sent-by names: then no NAT was in
// between.
func (v *Via) SentBySource(src netip.AddrPort) bool {
	if a, ok := v.addr(); !ok || a != src.Addr().WithZone("") {
		return false
	}
	return v.Port == src.Port() || v.Port == 0 && src.Port() == 5060
}

// AppendStamped appends the value of a received top Via as it goes back in the
// response: with received where the source differs from sent-by (RFC 3261 section
// 18.2.1), and always with it and the port where rport asks for that (RFC 3581
// section 4).
func (v *Via) AppendStamped(b []byte, value string, src netip.AddrPort) []byte {
	_, rport := v.Params.Get("rport")
	host := src.Addr().WithZone("")
	if !rport {
		if a, ok := v.addr(); ok && a == host {
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
		case rport: // once
			rport = false
			b = append(append(append(b, ';'), p.Name...), '=')
			b = strconv.AppendUint(b, uint64(src.Port()), 10)
		}
	}
	b = append(b, ";received="...)
	return host.AppendTo(b) // without brackets (RFC 5118 section 4.5)
}

// ReplyAddr returns the address to which a response over UDP goes (RFC 3261 section
// 18.2.2, RFC 3581 section 4): the source, where the client asked for that by rport, or
// where sent-by names another host, which shows a NAT that has no other port open;
// otherwise the source's address with the port of sent-by.
func (v *Via) ReplyAddr(src netip.AddrPort) netip.AddrPort {
	if _, rport := v.Params.Get("rport"); rport {
		return src
	}
	if a, ok := v.addr(); ok && a != src.Addr().WithZone("") {
		return src
	}
	port := v.Port
	if port == 0 {
		port = 5060
	}
	return netip.AddrPortFrom(src.Addr(), port)
}
