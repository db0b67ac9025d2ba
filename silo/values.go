package silo

import (
	"strconv"
	"strings"
	"time"

	"silod/sip"
)

// values gives what the pseudo-variables stand for in a message that came in at a
// time.
func (in *Incoming) values(at time.Time) Values {
	return func(name, arg string) string {
		switch name {
		case "ru":
			return in.URI
		case "rU":
			return parsed(in.URI).User
		case "rd":
			return parsed(in.URI).Host
		case "tu":
			return text(nameAddr(in.Message.To).URI)
		case "tU":
			return nameAddr(in.Message.To).URI.User
		case "td":
			return nameAddr(in.Message.To).URI.Host
		case "fu":
			return text(nameAddr(in.Message.From).URI)
		case "fU":
			return nameAddr(in.Message.From).URI.User
		case "fd":
			return nameAddr(in.Message.From).URI.Host
		case "fn":
			return nameAddr(in.Message.From).Name
		case "Ts":
			return strconv.FormatInt(at.Unix(), 10)
		}
		return in.plain(name, arg)
	}
}

// plain are the variables that stand for a text as it was written.
func (in *Incoming) plain(name, arg string) string {
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

// header gives a header field by its name, those among them that a message does
// not keep with the others.
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

// values gives what the pseudo-variables stand for in a message that was stored.
// Its Request-URI is its owner; where it came from is not known any more.
func (m *Message) values() Values {
	in := Incoming{Owner: m.Owner, URI: m.Owner.String(), Message: &m.Message}
	return in.values(m.Stored)
}

// parsed is a URI taken apart, empty where it is none.
func parsed(s string) sip.URI {
	u, err := sip.ParseURI(s)
	if err != nil {
		return sip.URI{}
	}
	return u
}

func nameAddr(s string) sip.NameAddr {
	a, err := sip.ParseNameAddr(s)
	if err != nil {
		return sip.NameAddr{}
	}
	return a
}

// text is a URI as it is written, "" for the empty one.
func text(u sip.URI) string {
	if u.Scheme == "" {
		return ""
	}
	return u.String()
}
