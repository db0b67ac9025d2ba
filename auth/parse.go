package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"silod/sip"
)

// credentials are the value of an Authorization or Proxy-Authorization header with the
// Digest scheme. Quoted values are as between the quotes, with their escapes, because so
// they are hashed (RFC 7616 section 1.2, unq). That of username* is decoded.
type credentials struct {
	username, realm, uri string
	nonceText            string
	response             string // lower case
	algorithm            Algorithm
	qop                  string // lower case; "" in the form of RFC 2069
	cnonce               string
	ncText               string
	nc                   uint32
}

// maxHeader is the length of the longest header value that is read, in bytes.
const maxHeader = 4096

// lws is the white space that may separate the parts of a header value.
const lws = " \t"

// parseCredentials parses a header value. It returns nil for a scheme other than Digest,
// and an error for a value that is not unambiguous. Parameters may be missing.
func parseCredentials(value string) (*credentials, error) {
	value = strings.Trim(value, lws)
	scheme := value
	if i := strings.IndexAny(value, lws); i >= 0 {
		scheme = value[:i]
	}
	if !strings.EqualFold(scheme, "Digest") {
		return nil, nil
	}
	if len(value) > maxHeader {
		return nil, fmt.Errorf("longer than %d bytes", maxHeader)
	}
	params, err := parseParams(value[len(scheme):])
	if err != nil {
		return nil, err
	}
	c := &credentials{
		username:  params["username"],
		realm:     params["realm"],
		uri:       params["uri"],
		nonceText: params["nonce"],
		response:  strings.ToLower(params["response"]),
		qop:       strings.ToLower(params["qop"]),
		cnonce:    params["cnonce"],
		ncText:    params["nc"],
		algorithm: MD5, // RFC 7616 section 3.4
	}
	if extended, ok := params["username*"]; ok {
		if _, twice := params["username"]; twice {
			return nil, errors.New("username and username* exclude each other")
		}
		if c.username, err = parseExtended(extended); err != nil {
			return nil, err
		}
	}
	if name := params["algorithm"]; name != "" {
		c.algorithm = Algorithm(strings.ToUpper(name))
	}
	return c, nil
}

// empty reports whether the credentials prove nothing: IMS phones (3GPP TS 24.229 section
// 5.1.1.2) and others send their name before they know a nonce.
func (c *credentials) empty() bool { return c.nonceText == "" || c.response == "" }

// RealmOf returns the realm of the credentials in an Authorization or Proxy-Authorization
// header value, or "" if they cannot be read or do not have the Digest scheme.
func RealmOf(value string) string {
	c, err := parseCredentials(value)
	if c == nil || err != nil {
		return ""
	}
	return c.realm
}

// parseParams parses name=value pairs that are separated by commas, with or without white
// space. Names are lower case in the result. A name that occurs twice is an error, because
// readers may differ in which value counts.
func parseParams(s string) (map[string]string, error) {
	params := make(map[string]string, 16)
	for s = strings.TrimLeft(s, lws+","); s != ""; s = strings.TrimLeft(s, lws+",") {
		name, rest, ok := strings.Cut(s, "=")
		name = strings.ToLower(strings.TrimRight(name, lws))
		if !ok || !sip.IsToken(name) {
			return nil, errors.New("no name=value where one should be")
		}
		if _, twice := params[name]; twice {
			return nil, errors.New(name + " occurs twice")
		}
		value, rest, err := parseValue(strings.TrimLeft(rest, lws))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if rest = strings.TrimLeft(rest, lws); rest != "" && rest[0] != ',' {
			return nil, fmt.Errorf("no comma after %s", name)
		}
		params[name], s = value, rest
	}
	return params, nil
}

// parseValue parses the value at the start of s, with or without quotes. Some clients leave out
// the quotes of URIs and nonces, or the whole value.
func parseValue(s string) (value, rest string, err error) {
	if s == "" || s[0] != '"' {
		end := strings.IndexAny(s, lws+",")
		if end < 0 {
			end = len(s)
		}
		if strings.ContainsFunc(s[:end], func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' || r == '\\' }) {
			return "", "", errors.New("the value should stand in quotes")
		}
		return s[:end], s[end:], nil
	}
	escaped := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", "", errors.New("control character in quotes")
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return s[1:i], s[i+1:], nil
		}
	}
	return "", "", errors.New("quotes are not closed")
}

// parseCount parses a nonce count: up to eight hexadecimal digits.
func parseCount(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) > 8 {
		return 0, errors.New("nc is no count of eight hexadecimal digits")
	}
	return uint32(n), nil
}

// quotable removes the characters of a realm that a quoted string cannot hold unescaped.
func quotable(realm string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, realm)
}
