package stack

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// takePings removes leading line ends (RFC 3261 section 7.5) and counts the pings,
// each a double CRLF, among them.
func takePings(buf []byte) ([]byte, int) {
	pings := 0
	for bytes.HasPrefix(buf, []byte("\r\n\r\n")) {
		buf = buf[4:]
		pings++
	}
	return buf, pings
}

var errTooLarge = errors.New("message too large")

// frame cuts one message off the front of a stream's bytes. No message and no
// error: more bytes are needed.
func frame(buf []byte, limit int) (msg, rest []byte, err error) {
	m := bytes.TrimLeft(buf, "\r\n") // RFC 3261 section 7.5
	head, body := splitHead(m)
	if body == nil {
		if len(m) > limit {
			return nil, nil, errTooLarge
		}
		return nil, nil, nil
	}
	n, err := framedLength(head)
	if err != nil {
		return nil, nil, err
	}
	begin := len(m) - len(body)
	switch {
	case begin+n > limit:
		return nil, nil, errTooLarge
	case n > len(body):
		return nil, nil, nil
	}
	return m[:begin+n], m[begin+n:], nil
}

// framedLength finds the Content-Length of a header. None is taken for 0: the
// request is then answered 400 by the parser, which has its Via.
func framedLength(head []byte) (int, error) {
	n := -1
	for line := range bytes.Lines(head) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || CanonicalName(strings.TrimRight(name, " \t")) != "Content-Length" {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil || n >= 0 && n != int(v) {
			return 0, misframed("Bad Content-Length")
		}
		n = int(v)
	}
	return max(n, 0), nil
}
