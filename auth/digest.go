package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"slices"
	"strings"
)

// An Algorithm is a digest algorithm, by its name in RFC 7616 section 3.3.
type Algorithm string

// The algorithms.
const (
	SHA512256 Algorithm = "SHA-512-256"
	SHA256    Algorithm = "SHA-256"
	MD5       Algorithm = "MD5"
)

var algorithms = [...]Algorithm{SHA512256, SHA256, MD5}

// Algorithms returns all algorithms, the strongest first.
func Algorithms() []Algorithm { return slices.Clone(algorithms[:]) }

// HA1 returns the hash of user name, realm and password (RFC 7616 section 3.4.2), which
// takes the place of the password in all that follows.
func (alg Algorithm) HA1(user, realm, password string) string {
	return alg.sum(user, realm, password)
}

// sum hashes the parts, joined by colons, and returns lower-case hexadecimal digits.
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

// expected returns the response that proves knowledge of ha1 (RFC 7616 section 3.4.1;
// without qop, RFC 2617 section 3.2.2.1).
func (c *credentials) expected(ha1, method string) string {
	ha2 := c.algorithm.sum(method, c.uri)
	if c.legacy() {
		return c.algorithm.sum(ha1, c.nonceText, ha2)
	}
	return c.algorithm.sum(ha1, c.nonceText, c.ncText, c.cnonce, c.qop, ha2)
}

// legacy reports whether the credentials have the form of RFC 2069, in which the hash
// does not cover the nonce count.
func (c *credentials) legacy() bool { return c.qop == "" }
