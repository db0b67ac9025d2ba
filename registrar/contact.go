package registrar

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unique"

	"silod/sip"
)

// Limits of a binding in bytes. Push parameters (RFC 8599) make a contact some 600 bytes long.
const (
	maxContactSize = 4096 // URI, instance and other parameters of a contact
	maxPathSize    = 4096 // all values together
	maxCallIDSize  = 1024
	maxAgentSize   = 512  // the rest of a User-Agent is cut off
	maxMethodsSize = 1024 // a longer list is ignored
)

// newBinding returns the binding of a contact of r, which ends at the present time if r
// removes it. It copies strings: a substring of a message would keep all of the message in
// memory. The error is an *Error.
func newBinding(r *Register, c sip.NameAddr, now time.Time, life time.Duration) (Binding, error) {
	flow, refusal := r.Flow(c.URI)
	if refusal != nil && life > 0 {
		return Binding{}, refusal
	}
	b := Binding{
		Contact:   strings.Clone(c.URI.String()),
		Q:         1,
		Expires:   now.Add(life),
		CallID:    strings.Clone(r.CallID),
		CSeq:      r.CSeq,
		Flow:      flow,
		UserAgent: intern(cut(r.UserAgent, maxAgentSize)),
		Methods:   methods(r.Methods),
		Modified:  now,
	}
	b.ViaNAT = r.ViaNAT && !b.differs() // else it is known from the flow
	for _, p := range r.Path {
		b.Path = append(b.Path, strings.Clone(p))
	}
	if q, ok := c.Params.Get("q"); ok {
		if v, err := strconv.ParseFloat(q, 32); err == nil && v >= 0 && v <= 1 {
			b.Q = float32(math.Round(v*1000) / 1000) // a qvalue has three digits (RFC 3261 section 25.1)
		}
	}
	if m, ok := c.Params.Get("methods"); ok {
		b.Methods = methods(m)
	}
	if v, _ := c.Params.Get("+sip.instance"); v != "" {
		b.Instance = strings.Clone(printable(v))
		// reg-id is ignored without an instance (RFC 5626 section 6).
		if id, ok := c.Params.Get("reg-id"); ok {
			n, _ := strconv.ParseUint(id, 10, 31)
			b.RegID = uint32(n)
		}
	}
	b.Params = otherParams(c.Params)
	err := b.check()
	return b, err
}

// check refuses a binding that is too large, or that no header field can hold. The error is an
// *Error.
func (b *Binding) check() error {
	// As it is listed, so that a client can register the contact of its 200 again.
	if len(strictURI(b.Contact))+len(b.Params)+len(b.Instance) > maxContactSize {
		return tooLong("Contact", maxContactSize)
	}
	if len(b.CallID) > maxCallIDSize {
		return tooLong("Call-ID", maxCallIDSize)
	}
	path, ok := 0, clean(b.CallID) == b.CallID
	for _, p := range b.Path {
		path += len(p)
		ok = ok && clean(p) == p
	}
	if path > maxPathSize {
		return tooLong("Path", maxPathSize)
	}
	if !ok {
		return &Error{Status: 400, Reason: "Control character in Call-ID or Path"}
	}
	return nil
}

func tooLong(header string, limit int) *Error {
	return &Error{Status: 400, Reason: fmt.Sprintf("%s is too long, %d bytes are allowed", header, limit)}
}

// otherParams returns the parameters of a contact for which a Binding has no field, in the
// form of the grammar: a value that is not a token is quoted, because other parsers may refuse
// ";x=<y>" or ";x=".
func otherParams(ps sip.Params) string {
	var buf [256]byte
	b := buf[:0]
	for _, p := range ps {
		switch strings.ToLower(p.Name) {
		case "q", "expires", "+sip.instance", "reg-id":
			continue
		}
		if p.HasValue {
			p.Value = printable(p.Value)
			p.Quoted = p.Quoted || !sip.IsToken(p.Value)
		}
		b = p.AppendTo(b)
	}
	return string(b)
}

// printable returns s as UTF-8 without control characters, which a quoted string must not
// contain (RFC 3261 section 25.1).
func printable(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return ' '
				}
				return r
			}, strings.ToValidUTF8(s, "\uFFFD"))
		}
	}
	return s
}

// strictURI returns the URI of a contact as sip.URI.Strict does.
func strictURI(contact string) string {
	if sip.IsPlainURI(contact) {
		return contact
	}
	u, err := sip.ParseURI(contact)
	if err != nil { // of a row that another program has written; Load leaves them out
		return contact
	}
	return u.Strict()
}

// uriKey returns a hash of the parts that equal contacts have in common. It is noKey for a text
// that is not a URI, and never 0.
func uriKey(contact string) uint32 {
	u, err := sip.ParseURI(contact)
	if err != nil {
		return noKey
	}
	return max(noKey+1, uint32(u.CommonKey()))
}

const noKey = 1

// methods returns a list of methods for a binding.
func methods(list string) string {
	if len(list) > maxMethodsSize {
		return ""
	}
	return intern(clean(list))
}

// cut returns the first n bytes of s, or fewer so that no character is cut.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return clean(s)
}

// clean returns s as printable does if it contains a character that no header field can hold.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 || strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return printable(s)
	}
	return s
}

// intern returns the one copy of a string that many bindings share.
func intern(s string) string { return unique.Make(s).Value() }

// clone copies the strings of an AoR.
func clone(a sip.AoR) sip.AoR {
	return sip.AoR{User: strings.Clone(a.User), Domain: intern(a.Domain)}
}

// RUIDPrefix is the start of the RUIDs of bindings that were made by silod. The rows of others
// are those of other programs.
const RUIDPrefix = "silod-"

// newRUID returns a new value for the column ruid, unique among all nodes.
func newRUID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return RUIDPrefix + hex.EncodeToString(b[:])
}
