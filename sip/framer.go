package sip

import (
	"errors"
	"strings"
)

// KeepAlive is the ping of RFC 5626 section 3.5.1. The answer is one CRLF.
const KeepAlive = "\r\n\r\n"

// SkipKeepAlives removes leading line ends (RFC 3261 section 7.5) and returns the number of
// pings among them. It does not remove a possible start of a ping at the end of buf.
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

// SkipLineEnds removes the empty lines before a message that is not part of a stream, as
// some clients and servers send them in datagrams too.
func SkipLineEnds(b []byte) []byte {
	for len(b) > 0 && isLineEnd(b[0]) {
		b = b[1:]
	}
	return b
}

func isLineEnd(c byte) bool { return c == '\r' || c == '\n' }

// MessageBegun reports whether a result of SkipKeepAlives contains the start of a message.
func MessageBegun(buf []byte) bool { return len(buf) > 0 && !isLineEnd(buf[0]) }

// ErrTooLarge is the error for a message that exceeds the limit of a Framer.
var ErrTooLarge = errors.New("message too large")

// A Framer splits a byte stream into messages. It does not search the start of an incomplete
// message again, so the cost does not depend on the number of reads.
type Framer struct {
	Limit int // maximum size of a message in bytes

	searched int // number of bytes that do not contain the end of the header
	size     int // of the message in bytes; 0 until its header is complete
}

// Next returns the first message in buf and the bytes after it. The caller must have called
// SkipKeepAlives. If the message is incomplete, msg is nil. The error is ErrTooLarge, or a
// *ParseError for a bad Content-Length.
func (f *Framer) Next(buf []byte) (msg, rest []byte, err error) {
	if !MessageBegun(buf) {
		return nil, nil, nil
	}
	if f.size == 0 {
		end := headerEnd(buf, f.searched)
		if f.searched = len(buf); end < 0 {
			if len(buf) > f.Limit {
				return nil, nil, ErrTooLarge
			}
			return nil, nil, nil
		}
		n, err := framedLength(string(buf[:end]))
		if err != nil {
			return nil, nil, err
		}
		if f.size = end + n; f.size > f.Limit {
			return nil, nil, ErrTooLarge
		}
	}
	if len(buf) < f.size {
		return nil, nil, nil
	}
	msg, rest = buf[:f.size], buf[f.size:]
	f.searched, f.size = 0, 0
	return msg, rest, nil
}

// framedLength returns the Content-Length of a header. If it is missing, framedLength
// returns 0: Parse then returns the error, with the Via for the answer.
func framedLength(head string) (int, error) {
	n := -1
	var err error
	for head != "" {
		var line string
		line, head = nextField(head)
		name, value, ok := strings.Cut(line, ":")
		if !ok || CanonicalName(strings.TrimRight(name, " \t")) != "Content-Length" {
			continue
		}
		if n, err = addContentLength(n, trim(value)); err != nil {
			return 0, err
		}
	}
	return max(n, 0), nil
}
