package registrar

import (
	"crypto/rand"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
	"unique"

	"silod/sip"
)

// newBinding returns the binding of a contact of r. It copies strings: a substring of a
// message would keep all of the message in memory.
func newBinding(r *Register, c sip.NameAddr, now time.Time, life time.Duration) Binding {
	b := Binding{
		Contact:   strings.Clone(c.URI.String()),
		Q:         1,
		Expires:   now.Add(life),
		CallID:    strings.Clone(r.CallID),
		CSeq:      r.CSeq,
		Flow:      r.Flow(c.URI),
		UserAgent: intern(r.UserAgent),
		Methods:   intern(r.Methods),
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
		b.Methods = intern(m)
	}
	if v, _ := c.Params.Get("+sip.instance"); v != "" {
		b.Instance = strings.Clone(v)
		// reg-id is ignored without an instance (RFC 5626 section 6).
		if id, ok := c.Params.Get("reg-id"); ok {
			n, _ := strconv.ParseUint(id, 10, 31)
			b.RegID = uint32(n)
		}
	}
	b.Params = strings.Clone(c.Params.Without("q", "expires", "+sip.instance", "reg-id").String())
	return b
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
