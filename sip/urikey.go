package sip

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// Equal reports whether two URIs are equal by RFC 3261 section 19.1.4: the user is compared
// with regard to case and the host without, escapes are decoded, and some parameters must
// be in both URIs or in none.
func (u URI) Equal(v URI) bool { return u.Key().Equal(v.Key()) }

// A URIKey is a URI in a form that is compared quickly with many others. Two URIKeys are equal
// if the URIs are equal by RFC 3261 section 19.1.4. It has hashes of 64 bits with a random seed
// in place of texts.
type URIKey struct {
	common   uint64      // of the parts that equal URIs have in common
	optional []paramHash // parameters that may be in one URI only, by name
}

// A paramHash is the hashes of a parameter's name and value, and its place in the URI.
type paramHash struct {
	name, value uint64
	place       int
}

var keySeed = maphash.MakeSeed()

// Key returns the key of a URI. Of several parameters with one name the first counts.
func (u URI) Key() URIKey {
	k := URIKey{common: u.CommonKey()}
	if len(u.Params) > 0 {
		k.optional = make([]paramHash, 0, len(u.Params))
	}
	for i := range u.Params {
		p := &u.Params[i]
		if name := lower(Unescape(p.Name)); !inBoth(name) {
			value := lower(Unescape(p.Value))
			k.optional = append(k.optional, paramHash{maphash.String(keySeed, name), maphash.String(keySeed, value), i})
		}
	}
	slices.SortFunc(k.optional, func(a, b paramHash) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.place, b.place))
	})
	k.optional = slices.CompactFunc(k.optional, func(a, b paramHash) bool { return a.name == b.name })
	return k
}

// CommonKey returns a hash of the parts that equal URIs have in common. Most URIs that differ
// have different ones.
func (u URI) CommonKey() uint64 {
	var h maphash.Hash
	h.SetSeed(keySeed)
	part := func(s string) { // with its length: an escape may stand for any byte
		_, _ = h.Write([]byte{byte(len(s)), byte(len(s) >> 8), byte(len(s) >> 16)})
		_, _ = h.WriteString(s)
	}
	part(u.Scheme)
	part(Unescape(u.Opaque))
	part(Unescape(u.User))
	part(Unescape(u.Pass))
	part(canonicalHost(u.Host))
	for _, f := range headerFields(u.Header) {
		part(f)
	}
	_, _ = h.Write([]byte{byte(u.Port >> 8), byte(u.Port)})
	for _, name := range paramsInBoth {
		if v, ok := u.Params.Get(name); ok {
			part(name)
			part(lower(Unescape(v)))
		}
	}
	return h.Sum64()
}

// headerFields returns the header fields in a URI without escapes, their names in lower case. Their
// order does not matter (the fourth example of RFC 3261 section 19.1.4).
func headerFields(s string) []string {
	if s == "" {
		return nil
	}
	fields := strings.Split(s, "&")
	for i, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		fields[i] = lower(Unescape(name)) + "=" + Unescape(value)
	}
	slices.Sort(fields)
	return fields
}

// Equal reports whether the URIs of two keys are equal.
func (k URIKey) Equal(o URIKey) bool {
	if k.common != o.common {
		return false
	}
	a, b := k.optional, o.optional
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0].name, b[0].name); {
		case c < 0:
			a = a[1:]
		case c > 0:
			b = b[1:]
		case a[0].value != b[0].value:
			return false
		default:
			a, b = a[1:], b[1:]
		}
	}
	return true
}

// paramsInBoth are the URI parameters that two equal URIs both have, or neither.
var paramsInBoth = [...]string{"transport", "user", "method", "maddr", "ttl"}

func inBoth(name string) bool { return slices.Contains(paramsInBoth[:], name) }

// Essential returns the URI without the parameters that an equal URI need not have.
func (u URI) Essential() URI {
	var ps Params
	for _, p := range u.Params {
		if inBoth(lower(Unescape(p.Name))) {
			ps = append(ps, p)
		}
	}
	v := u
	v.Params = ps
	return v
}
