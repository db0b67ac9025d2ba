package mi

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"time"
)

// MaxRequest is the size of the longest request in bytes, unless Reader.MaxSize is set.
const MaxRequest = 64 << 10

// The limits of a request.
const (
	maxHeader = 1023            // bytes of a classic request's first line with its line feed, as in Kamailio
	patience  = 2 * time.Second // default of Reader.Patience
)

// errTooLong is the error of a request that has more bytes than allowed.
var errTooLong = errors.New("request is too long")

// Reader reads requests from a byte stream. Each request may have any of the three
// framings. No input makes the Reader lose the next valid request, or wait for long:
//
//   - White space between requests is ignored. CRLF is equivalent to LF.
//   - A line that does not begin a request is skipped.
//   - A request without an end is returned after Patience, or as soon as another request
//     begins inside it. The lines after its first one are then searched for the beginning
//     of another request.
//   - A request that is too long is refused, and skipped up to the next empty line.
type Reader struct {
	Idle     time.Duration // time to wait for a request; 0: no limit
	Patience time.Duration // time to wait for the end of a request; 0 is two seconds
	MaxSize  int           // bytes of a request; 0 is MaxRequest

	src      io.Reader
	known    func(command string) bool
	buf      []byte    // bytes that have been read, but not used
	last     error     // of src, if it is final
	deadline time.Time // for the end of the current request; zero until it is needed
	stale    int       // bytes at the front of buf that have waited for the end of their request already
	skipped  bool      // inside a request that is too long
	midline  bool      // and inside a line of it
}

// NewReader returns a Reader of src. If src has a method SetReadDeadline, the Reader uses it.
// known reports whether there is a command with that name: other names do not begin a
// request inside another one.
func NewReader(src io.Reader, known func(command string) bool) *Reader {
	return &Reader{src: src, known: known}
}

// Next returns the next request. Its Err is set if it can only be refused. The error is that
// of the source: io.EOF at its end, os.ErrDeadlineExceeded after Idle.
func (r *Reader) Next() (*Frame, error) {
	for {
		if err := r.await(); err != nil {
			return nil, err
		}
		switch {
		case r.skipped:
			r.skip()
		case r.buf[0] == '{' || r.buf[0] == '[':
			return r.rpc(0, decodeRPC), nil
		case r.buf[0] == ':':
			return r.colon(), nil
		default:
			return r.junk(), nil
		}
	}
}

// await reads until buf begins with a character that is not white space.
func (r *Reader) await() error {
	if r.Patience == 0 {
		r.Patience = patience
	}
	r.deadline = time.Time{}
	for {
		if !r.skipped {
			r.discard(len(r.buf) - len(bytes.TrimLeft(r.buf, " \t\r\n")))
		}
		if len(r.buf) > 0 {
			return nil
		}
		wait := r.Idle
		if r.skipped {
			wait = r.Patience
		}
		r.setDeadline(wait)
		err := r.read()
		switch {
		case err == nil:
		case r.skipped && errors.Is(err, os.ErrDeadlineExceeded):
			r.skipped, r.midline = false, false // the client has stopped writing
		default:
			return err
		}
	}
}

// setDeadline limits the time of the next read; 0: no limit.
func (r *Reader) setDeadline(d time.Duration) {
	if src, ok := r.src.(interface{ SetReadDeadline(time.Time) error }); ok {
		var at time.Time
		if d > 0 {
			at = time.Now().Add(d)
		}
		_ = src.SetReadDeadline(at) // not every file supports it
	}
}

// more reads more of the current request, up to its deadline.
func (r *Reader) more() error {
	if len(r.buf) >= r.maxSize() {
		return errTooLong
	}
	if r.deadline.IsZero() {
		r.deadline = time.Now()
		if r.stale == 0 {
			r.deadline = r.deadline.Add(r.Patience)
		}
	}
	r.setDeadline(max(time.Until(r.deadline), 1))
	return r.read()
}

func (r *Reader) maxSize() int { return cmp.Or(r.MaxSize, MaxRequest) }

// read appends the result of one Read of the source to buf.
func (r *Reader) read() error {
	if r.last != nil {
		return r.last
	}
	const piece = 4096
	if cap(r.buf)-len(r.buf) < piece {
		r.buf = append(make([]byte, 0, 2*len(r.buf)+2*piece), r.buf...)
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil // the next Read returns the error again
	}
	if errors.Is(err, io.EOF) {
		r.last = err
	}
	return err
}

// line returns the line at off without its line feed, and the offset of the next line. With
// an error it returns the part of the line that has been read.
func (r *Reader) line(off int) (line []byte, next int, err error) {
	for from := off; ; {
		if i := bytes.IndexByte(r.buf[from:], '\n'); i >= 0 {
			return r.buf[off : from+i], from + i + 1, nil
		}
		from = len(r.buf)
		if err := r.more(); err != nil {
			return r.buf[off:], len(r.buf), err
		}
	}
}

// byteAt returns the byte at i, and whether there is one.
func (r *Reader) byteAt(i int) (byte, bool) {
	for i >= len(r.buf) {
		if r.more() != nil {
			return 0, false
		}
	}
	return r.buf[i], true
}

// find returns the offset of the first byte at or after off that is one of chars.
func (r *Reader) find(off int, chars string) (int, error) {
	for {
		if i := bytes.IndexAny(r.buf[min(off, len(r.buf)):], chars); i >= 0 {
			return off + i, nil
		}
		off = max(off, len(r.buf))
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// discard removes n bytes from the front of buf.
func (r *Reader) discard(n int) {
	r.buf = r.buf[n:]
	r.stale = max(0, r.stale-n)
}

// drop discards n bytes of a request that could not be read to its end because of err.
func (r *Reader) drop(n int, err error) {
	if errors.Is(err, errTooLong) && n == len(r.buf) {
		r.skipped, r.midline = true, true
	}
	r.discard(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.stale = len(r.buf)
	}
}

// skip skips a line of a request that is too long, which ends with an empty line, or where
// another request begins.
func (r *Reader) skip() {
	line, next, err := r.line(0)
	switch {
	case errors.Is(err, errTooLong):
		r.midline = true
	case err != nil: // the line has no end
		r.skipped, r.midline = false, false
	case r.midline:
		r.midline = false
	case empty(line):
		r.skipped = false
	case r.begins(line):
		r.skipped = false
		return
	}
	r.discard(next)
}

// junk skips a line that does not begin a request. It skips all such lines that have been
// read, so that a flood of them is one entry in the log.
func (r *Reader) junk() *Frame {
	for {
		_, next, err := r.line(0)
		r.drop(next, err)
		rest := bytes.TrimLeft(r.buf, " \t\r\n")
		if err != nil || len(rest) == 0 || rest[0] == ':' || rest[0] == '{' || rest[0] == '[' {
			return &Frame{Err: Errorf(400, "not a request: it begins with neither ':' nor '{'")}
		}
	}
}

// jsonHead is the beginning of a request in one line, as existing clients write it.
var jsonHead = []byte(`{"jsonrpc"`)

// begins reports whether a line can only be the beginning of a request: a classic header
// with a known command, a request in OpenSIPS's framing, or JSON as kamctl writes it, in
// one line or in several, the first of which is a brace.
func (r *Reader) begins(line []byte) bool {
	line = bytes.TrimRight(line, " \t\r")
	if bytes.HasPrefix(line, jsonHead) || string(line) == "{" {
		return true
	}
	if len(line) < 3 || line[0] != ':' {
		return false
	}
	word, rest, ok := bytes.Cut(line[1:], []byte(":"))
	if !ok || len(rest) == 0 {
		return false
	}
	if rest[0] == '{' {
		return GoodReplyName(string(word))
	}
	return GoodReplyName(string(rest)) && r.known(string(word))
}

// beginning returns the offset of the first line in buf[from:to] that begins a request, or
// to if there is none. A part of a line at from does not count.
func (r *Reader) beginning(from, to int) int {
	for from < to {
		line, _, _ := bytes.Cut(r.buf[from:to], []byte("\n"))
		if (from == 0 || r.buf[from-1] == '\n') && r.begins(line) {
			return from
		}
		from += len(line) + 1
	}
	return to
}

// empty reports whether a line ends a classic request. It is without its line feed.
func empty(line []byte) bool { return len(line) == 0 || string(line) == "\r" }
