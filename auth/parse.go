package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"silod/sip"
)

// credentials are the value of an Authorization or Proxy-Authorization header with
// the Digest scheme. Quoted values are as they stand between the quotes, escapes
// and all, for so they are hashed (RFC 7616 section 1.2, unq).
type credentials struct {
	username, realm, uri string
	nonceText            string
	response             string // lower case
	algorithm            Algorithm
	qop                  string // lower case; "" in an answer as of RFC 2069
	cnonce               string
	ncText               string
	nc                   uint32
}

// maxHeader is the longest header value that is read, in bytes.
const maxHeader = 4096

// lws is the space that may stand between things.
const lws = " \t"

// parseCredentials reads a header value. It gives nil for another scheme than Digest,
// and an error for what cannot be told apart safely.
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
	for _, name := range []string{"username", "realm", "nonce", "uri", "response"} {
		if params[name] == "" {
			return nil, errors.New(name + " is missing")
		}
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
	if name := params["algorithm"]; name != "" {
		c.algorithm = Algorithm(strings.ToUpper(name))
	}
	return c, nil
}

// RealmOf is the realm that the value of an Authorization or Proxy-Authorization header
// has credentials for, "" where they are no digest's or cannot be read.
func RealmOf(value string) string {
	c, err := parseCredentials(value)
	if c == nil || err != nil {
		return ""
	}
	return c.realm
}

// parseParams reads name=value pairs with commas in between, with or without space
// round them. Names are lower case in the result; one that occurs twice could mean
// either value and is refused.
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

// parseValue takes a token or a quoted string from the front of s.
func parseValue(s string) (value, rest string, err error) {
	if s == "" || s[0] != '"' {
		end := strings.IndexAny(s, lws+",")
		if end < 0 {
			end = len(s)
		}
		if !sip.IsToken(s[:end]) {
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

// parseCount reads a nonce count: up to eight hexadecimal digits.
func parseCount(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) > 8 {
		return 0, errors.New("nc is no count of eight hexadecimal digits")
	}
	return uint32(n), nil
}

// quotable takes out of a realm what cannot stand in quotes as it is.
func quotable(realm string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, realm)
}
