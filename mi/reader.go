package mi

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"time"
)

// MaxRequest is the size of the longest request in bytes, where Reader.Most does not set
// another.
const MaxRequest = 64 << 10

// The limits of a request.
const (
	maxHeader = 1023 // bytes of a classic request's first line with its line feed, as in Kamailio
	patience  = 2 * time.Second
)

// errTooLong: more is wanted than a request may have.
var errTooLong = errors.New("request is too long")

// Reader cuts requests out of a byte stream, whichever of the three framings each
// has and in whatever pieces it comes. Nothing that is written to it can make it
// lose the next good request, or wait for long:
//
//   - White space between requests means nothing, and CRLF is as good as LF.
//   - A line that begins no request is passed over.
//   - A request whose end does not come is given up after Patience, or as soon as
//     another one begins in its midst; what came behind its first line is then
//     looked through for the beginning of another.
//   - A request that is too long is refused and skipped up to the next empty line.
type Reader struct {
	Idle     time.Duration // how long to wait for a request; 0: for ever
	Patience time.Duration // how long its end may take; 0: two seconds
	Most     int           // bytes of a request; 0: 64 KiB

	src     io.Reader
	known   func(command string) bool
	buf     []byte // what was read and not yet used
	last    error  // of src, for good
	giveUp  time.Time
	stale   int  // so many bytes at the front have used up their patience already
	skipped bool // in the middle of something too long: look for the next beginning
	midline bool // and in the middle of a line of it
}

// NewReader reads from src. If src has a SetReadDeadline, it is used. known
// tells the names of commands: only they begin a request in the midst of another.
func NewReader(src io.Reader, known func(command string) bool) *Reader {
	return &Reader{src: src, known: known}
}

// Next gives the next request, also one that can only be refused. The error is
// the source's: its end, or os.ErrDeadlineExceeded after Idle.
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

// await reads until something stands at the front that is no white space.
func (r *Reader) await() error {
	if r.Patience == 0 {
		r.Patience = patience
	}
	r.giveUp = time.Time{}
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
			r.skipped, r.midline = false, false // whoever wrote that has stopped
		default:
			return err
		}
	}
}

// setDeadline bounds the next read; 0 takes the bound away.
func (r *Reader) setDeadline(d time.Duration) {
	if src, ok := r.src.(interface{ SetReadDeadline(time.Time) error }); ok {
		var at time.Time
		if d > 0 {
			at = time.Now().Add(d)
		}
		_ = src.SetReadDeadline(at) // a source that cannot is read without
	}
}

// more reads more of the request at hand, within its time.
func (r *Reader) more() error {
	if len(r.buf) >= r.most() {
		return errTooLong
	}
	if r.giveUp.IsZero() {
		r.giveUp = time.Now()
		if r.stale == 0 {
			r.giveUp = r.giveUp.Add(r.Patience)
		}
	}
	r.setDeadline(max(time.Until(r.giveUp), 1))
	return r.read()
}

func (r *Reader) most() int { return cmp.Or(r.Most, MaxRequest) }

// read adds what the source has now. It does not wait for more than that.
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
		return nil // an error will come again
	}
	if errors.Is(err, io.EOF) {
		r.last = err
	}
	return err
}

// line gives the line at off without its line feed, and where the next begins.
// With an error it gives what there is of it.
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

// byteAt gives one byte, if it comes.
func (r *Reader) byteAt(i int) (byte, bool) {
	for i >= len(r.buf) {
		if r.more() != nil {
			return 0, false
		}
	}
	return r.buf[i], true
}

// find gives the place of the first of chars from off on.
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

// discard forgets n bytes at the front.
func (r *Reader) discard(n int) {
	r.buf = r.buf[n:]
	r.stale = max(0, r.stale-n)
}

// drop discards the front of what could not be read to its end.
func (r *Reader) drop(n int, err error) {
	if errors.Is(err, errTooLong) && n == len(r.buf) {
		r.skipped, r.midline = true, true
	}
	r.discard(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.stale = len(r.buf)
	}
}

// skip passes over lines until an empty one, or until a request begins.
func (r *Reader) skip() {
	line, next, err := r.line(0)
	switch {
	case errors.Is(err, errTooLong):
		r.midline = true
	case err != nil: // the rest of the line does not come
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

// junk passes over a line that begins no request. So that a flood of them is one
// entry in a log, it takes all such lines that are there already.
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

// jsonHead is how existing clients begin a request in one line.
var jsonHead = []byte(`{"jsonrpc"`)

// begins tells whether a line can only be the beginning of a request: a classic
// header with a command that there is, OpenSIPS's frame, or JSON as kamctl writes
// it in one line, or in many, of which the first is a brace.
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

// beginning finds the first line in buf[from:to], from its second line on, that
// begins a request; to where there is none.
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

// empty tells whether a line ends a classic request: LF alone, or CRLF.
func empty(line []byte) bool { return len(line) == 0 || string(line) == "\r" }
