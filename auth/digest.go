package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"silod/sip"
)

// Algorithm is a digest algorithm by its name in RFC 7616 section 3.3.
type Algorithm string

// The algorithms.
const (
	SHA512256 Algorithm = "SHA-512-256"
	SHA256    Algorithm = "SHA-256"
	MD5       Algorithm = "MD5"
)

// Algorithms are all that are known, the strongest first.
func Algorithms() []Algorithm { return []Algorithm{SHA512256, SHA256, MD5} }

// ParseAlgorithm reads a name in any case.
func ParseAlgorithm(name string) (Algorithm, error) {
	for _, alg := range Algorithms() {
		if strings.EqualFold(name, string(alg)) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("no digest algorithm %q: use one of %v", name, Algorithms())
}

// HA1 is the hash of user name, realm and password (RFC 7616 section 3.4.2), from
// which the password need not be known any more.
func (alg Algorithm) HA1(user, realm, password string) string {
	return alg.sum(user, realm, password)
}

// sum hashes the parts with colons in between and gives lower-case hexadecimals.
func (alg Algorithm) sum(parts ...string) string {
	text := []byte(strings.Join(parts, ":"))
	switch alg {
	case SHA512256:
		h := sha512.Sum512_256(text)
		return hex.EncodeToString(h[:])
	case SHA256:
		h := sha256.Sum256(text)
		return hex.EncodeToString(h[:])
	default:
		h := md5.Sum(text)
		return hex.EncodeToString(h[:])
	}
}

// expected is the response that proves knowledge of ha1 (RFC 7616 section 3.4.1;
// without qop, RFC 2617 section 3.2.2.1).
func (c *credentials) expected(ha1, method string) string {
	ha2 := c.algorithm.sum(method, c.uri)
	if c.legacy() {
		return c.algorithm.sum(ha1, c.nonceText, ha2)
	}
	return c.algorithm.sum(ha1, c.nonceText, c.ncText, c.cnonce, c.qop, ha2)
}

// legacy tells an answer in the form of RFC 2069: its nonce count, if there is one,
// is not under the hash.
func (c *credentials) legacy() bool { return c.qop == "" }

// check finds what is against the rules whoever the user is.
func (v *verification) check() error {
	if !v.legacy() {
		if v.ncText == "" || v.cnonce == "" {
			return errors.New("qop without nc and cnonce")
		}
		nc, err := parseCount(v.ncText)
		if err != nil {
			return err
		}
		v.nc = nc
	}
	if !sameTarget(v.uri, v.req.URI) {
		return errors.New("digest uri is of another request")
	}
	return nil
}

// sameTarget tells whether a digest was made for this Request-URI, as far as real
// clients let one tell: some give another port or parameters, and some the server's
// own address (RFC 3261 section 22.4 asks for the Request-URI). What counts is that
// an answer made for one user is of no use with another.
func sameTarget(digest, request string) bool {
	if digest == request {
		return true
	}
	d, err := sip.ParseURI(digest)
	if err != nil || !d.IsSIP() {
		return false
	}
	r, err := sip.ParseURI(request)
	if err != nil || !r.IsSIP() {
		return false
	}
	// AoRs of no particular domains keep a port. It may differ.
	d.Port, r.Port = 0, 0
	return d.User == "" || r.User == "" || d.AoR() == r.AoR()
}
