package silo

import (
	"strconv"
	"strings"
	"time"

	"silod/sip"
)

// values returns the values of the pseudo-variables for a message received at a time.
func (in *Incoming) values(at time.Time) Values {
	return func(name, arg string) string {
		switch name {
		case "ru":
			return in.URI
		case "rU":
			return parseURI(in.URI).User
		case "rd":
			return parseURI(in.URI).Host
		case "tu":
			return uriText(nameAddr(in.Message.To).URI)
		case "tU":
			return userOf(nameAddr(in.Message.To).URI)
		case "td":
			return nameAddr(in.Message.To).URI.Host
		case "fu":
			return uriText(nameAddr(in.Message.From).URI)
		case "fU":
			return userOf(nameAddr(in.Message.From).URI)
		case "fd":
			return nameAddr(in.Message.From).URI.Host
		case "fn":
			return nameAddr(in.Message.From).Name
		case "Ts":
			return strconv.FormatInt(at.Unix(), 10)
		}
		return in.rawValue(name, arg)
	}
}

// rawValue returns the value of a pseudo-variable that is not taken from a URI.
func (in *Incoming) rawValue(name, arg string) string {
	switch name {
	case "ci":
		return in.Message.CallID
	case "ct":
		return in.Contact
	case "rm":
		return in.method()
	case "si":
		if in.Source.IsValid() {
			return in.Source.Addr().String()
		}
	case "sp":
		if in.Source.IsValid() {
			return strconv.Itoa(int(in.Source.Port()))
		}
	case "hdr":
		return in.header(arg)
	}
	return ""
}

// header returns the value of a header field, also of those that im.Message holds in
// fields of their own.
func (in *Incoming) header(name string) string {
	switch strings.ToLower(name) {
	case "from":
		return in.Message.From
	case "to":
		return in.Message.To
	case "call-id":
		return in.Message.CallID
	case "cseq":
		return strconv.FormatUint(uint64(in.Message.CSeq), 10) + " " + in.method()
	case "contact":
		return in.Contact
	}
	return in.Message.Header(name)
}

func (in *Incoming) method() string {
	if in.Method == "" {
		return "MESSAGE"
	}
	return in.Method
}

// values returns the values of the pseudo-variables for a stored message. Its
// Request-URI is the owner's; its source address is not known.
func (m *Message) values() Values {
	in := Incoming{Owner: m.Owner, URI: m.Owner.String(), Message: &m.Message}
	return in.values(m.Stored)
}

// userOf returns the user part of a URI, the number of a tel URI.
func userOf(u sip.URI) string {
	if number := u.TelNumber(); number != "" {
		return number
	}
	return u.User
}

// parseURI returns the zero URI for a text that is not one.
func parseURI(s string) sip.URI {
	u, err := sip.ParseURI(s)
	if err != nil {
		return sip.URI{}
	}
	return u
}

// nameAddr returns the zero NameAddr for a text that is not one.
func nameAddr(s string) sip.NameAddr {
	a, err := sip.ParseNameAddr(s)
	if err != nil {
		return sip.NameAddr{}
	}
	return a
}

// uriText returns the text of a URI, "" for the zero URI.
func uriText(u sip.URI) string {
	if u.Scheme == "" {
		return ""
	}
	return u.String()
}
