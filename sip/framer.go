package sip

import (
	"errors"
	"strconv"
	"strings"
)

// KeepAlive is the ping of RFC 5626 section 3.5.1. Its answer is one line end.
const KeepAlive = "\r\n\r\n"

// SkipKeepAlives removes leading line ends (RFC 3261 section 7.5) and counts the pings
// among them. It leaves bytes that the next ones may complete to a ping.
func SkipKeepAlives(buf []byte) (rest []byte, pings int) {
	for len(buf) > 0 {
		switch {
		case len(buf) < len(KeepAlive) && strings.HasPrefix(KeepAlive, string(buf)):
			return buf, pings
		case strings.HasPrefix(string(buf[:min(len(buf), len(KeepAlive))]), KeepAlive):
			buf = buf[len(KeepAlive):]
			pings++
		case isLineEnd(buf[0]):
			buf = buf[1:]
		default:
			return buf, pings
		}
	}
	return buf, pings
}

func isLineEnd(c byte) bool { return c == '\r' || c == '\n' }

// MessageBegun reports whether a message begins in the bytes that SkipKeepAlives left.
func MessageBegun(buf []byte) bool { return len(buf) > 0 && !isLineEnd(buf[0]) }

// ErrTooLarge is the error of a message that is longer than a Framer's limit.
var ErrTooLarge = errors.New("message too large")

// A Framer cuts messages off a stream. It remembers how far it has read an incomplete
// message, so that bytes that come one by one cost no more than all at once.
type Framer struct {
	Limit int // bytes that a message may have
	seen  int // bytes in which the header does not end
	whole int // length of the message, once its header is complete
}

// Next cuts one message off the front of buf, from which SkipKeepAlives has removed the
// line ends. It returns no message and no error where more bytes are needed. The error
// is ErrTooLarge, or a *ParseError for a bad Content-Length.
func (f *Framer) Next(buf []byte) (msg, rest []byte, err error) {
	if !MessageBegun(buf) {
		return nil, nil, nil
	}
	if f.whole == 0 {
		end := headerEnd(buf, f.seen)
		if f.seen = len(buf); end < 0 {
			if len(buf) > f.Limit {
				return nil, nil, ErrTooLarge
			}
			return nil, nil, nil
		}
		n, err := framedLength(string(buf[:end]))
		if err != nil {
			return nil, nil, err
		}
		if f.whole = end + n; f.whole > f.Limit {
			return nil, nil, ErrTooLarge
		}
	}
	if len(buf) < f.whole {
		return nil, nil, nil
	}
	msg, rest = buf[:f.whole], buf[f.whole:]
	f.seen, f.whole = 0, 0
	return msg, rest, nil
}

// framedLength returns the Content-Length of a header, 0 where there is none: Parse
// then returns the error, with the Via that the answer needs.
func framedLength(head string) (int, error) {
	n := -1
	for head != "" {
		var line string
		line, head = nextField(head)
		name, value, ok := strings.Cut(line, ":")
		if !ok || CanonicalName(strings.TrimRight(name, " \t")) != "Content-Length" {
			continue
		}
		v, err := strconv.ParseUint(strings.Trim(value, " \t"), 10, 31)
		if err != nil || n >= 0 && n != int(v) {
			return 0, misframed("Bad Content-Length")
		}
		n = int(v)
	}
	return max(n, 0), nil
}
