package stack

import (
	"errors"
	"strconv"
	"strings"
)

// ping is the keep-alive of RFC 5626 section 3.5.1; its answer is one line end.
const ping = "\r\n\r\n"

// takePings removes leading line ends (RFC 3261 section 7.5) and counts the pings
// among them. What may become a ping with the next bytes is left.
func takePings(buf []byte) (rest []byte, pings int) {
	for len(buf) > 0 {
		switch {
		case len(buf) < len(ping) && strings.HasPrefix(ping, string(buf)):
			return buf, pings
		case strings.HasPrefix(string(buf[:min(len(buf), len(ping))]), ping):
			buf = buf[len(ping):]
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

// begun tells whether a message has begun in what takePings has left.
func begun(buf []byte) bool { return len(buf) > 0 && !isLineEnd(buf[0]) }

var errTooLarge = errors.New("message too large")

// framer cuts messages off a stream. It remembers what it has seen of one that is
// not complete: byte after byte must cost no more than all at once.
type framer struct {
	limit int // bytes that a message may have
	seen  int // bytes in which its header does not end
	whole int // its length, once the header is there
}

// next cuts one message off the front of buf, behind what takePings removes. No
// message and no error: more bytes are needed behind these.
func (f *framer) next(buf []byte) (msg, rest []byte, err error) {
	if !begun(buf) {
		return nil, nil, nil
	}
	if f.whole == 0 {
		end := headerEnd(buf, f.seen)
		if f.seen = len(buf); end < 0 {
			if len(buf) > f.limit {
				return nil, nil, errTooLarge
			}
			return nil, nil, nil
		}
		n, err := framedLength(string(buf[:end]))
		if err != nil {
			return nil, nil, err
		}
		if f.whole = end + n; f.whole > f.limit {
			return nil, nil, errTooLarge
		}
	}
	if len(buf) < f.whole {
		return nil, nil, nil
	}
	msg, rest = buf[:f.whole], buf[f.whole:]
	f.seen, f.whole = 0, 0
	return msg, rest, nil
}

// framedLength finds the Content-Length of a header. None is taken for 0: the
// request is then answered 400 by the parser, which has its Via.
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
