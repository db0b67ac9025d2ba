package mi

import (
	"bytes"
	"errors"
)

// colon reads a request in the classic or in OpenSIPS's framing.
func (r *Reader) colon() *Frame {
	second, err := r.find(1, ":\n")
	if err != nil || r.buf[second] != ':' {
		return r.junk()
	}
	start := second + 1
	c, ok := r.byteAt(start)
	for ok && (c == ' ' || c == '\t') {
		start++
		c, ok = r.byteAt(start)
	}
	if ok && (c == '{' || c == '[') {
		name := string(r.buf[1:second])
		return r.rpc(start, func(data []byte) *Frame { return decodeNamedRPC(name, data) })
	}
	return r.classic()
}

// classic reads a classic request: ":command:reply name", argument lines, an empty line.
func (r *Reader) classic() *Frame {
	head, next, err := r.line(0)
	f := classicHeader(head)
	if err != nil {
		f.Cut = true
		r.drop(next, err)
		return f
	}
	crlf := bytes.HasSuffix(head, []byte("\r"))
	var args argReader
	opened := next // offset after the line of the last opening quote
	for {
		line, after, err := r.line(next)
		if err == nil && !args.open && r.begins(line) {
			f.Cut = true
			break
		}
		// Inside quotes an empty line with CRLF is text, unless the client ends all
		// lines with CRLF.
		if err == nil && empty(line) && (!args.open || crlf || len(line) == 0) {
			next = after
			break
		}
		wasOpen := args.open
		args.line(line)
		if next = after; args.open && !wasOpen {
			opened = after
		}
		if err != nil {
			f.Cut = true
			if errors.Is(err, errTooLong) {
				f.refuse(Errorf(400, "request is longer than %d bytes", r.maxSize()))
			}
			r.drop(r.rest(&args, opened, next), err)
			return f.withArgs(&args)
		}
	}
	r.discard(r.rest(&args, opened, next))
	return f.withArgs(&args)
}

// rest returns the offset at which to continue after a request that ends at end. If a quote
// is still open, another request may begin in its text.
func (r *Reader) rest(args *argReader, opened, end int) int {
	if !args.open {
		return end
	}
	return r.beginning(opened, end)
}

// classicHeader parses the first line of a classic request. The name of the reply FIFO is
// all text after the second colon.
func classicHeader(line []byte) *Frame {
	f := &Frame{}
	head := bytes.TrimRight(line[1:], " \t\r\n")
	command, name, _ := bytes.Cut(head, []byte(":"))
	f.Command = string(command)
	if len(name) > 0 {
		f.setReplyTo(string(name))
	}
	switch {
	case len(line) >= maxHeader:
		f.refuse(Errorf(400, "request line is longer than %d bytes", maxHeader))
	case len(command) == 0:
		f.refuse(Errorf(400, "no command between the colons"))
	case bytes.IndexByte(command, 0) >= 0:
		f.refuse(Errorf(400, "bad character in the command's name"))
	}
	if f.Err != nil && len(line) >= maxHeader || bytes.IndexByte(command, 0) >= 0 {
		f.Command = "" // must not appear in the reply
	}
	return f
}

// rpc reads a request whose JSON value begins at start.
func (r *Reader) rpc(start int, decode func([]byte) *Frame) *Frame {
	end, err := r.valueEnd(start)
	if err != nil {
		end = r.beginning(start+1, end) // not to include another request
	}
	f := decode(r.buf[start:end])
	f.Cut = err != nil
	r.drop(end, err)
	return f
}

// errBroken is the error of a request inside which another one begins.
var errBroken = errors.New("request is incomplete")

// valueEnd returns the end of the JSON value at start, which it finds by counting braces and
// brackets.
func (r *Reader) valueEnd(start int) (int, error) {
	depth, inString, escaped := 0, false, false
	lineStart := start
	for i := start; ; i++ {
		if i == len(r.buf) {
			if err := r.more(); err != nil {
				return len(r.buf), err
			}
		}
		c := r.buf[i]
		if c == '\n' {
			// Some clients write raw line feeds in strings, but not a line that looks
			// like a request.
			if line := r.buf[lineStart:i]; lineStart > start && (bytes.HasPrefix(line, jsonHead) || !inString && r.begins(line)) {
				return lineStart, errBroken
			}
			lineStart = i + 1
		}
		switch {
		case inString:
			inString = c != '"' || escaped
			escaped = c == '\\' && !escaped
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
}

// ReadDatagram parses a datagram, which has one request: JSON, or a classic request whose
// last lines may be missing. It returns nil for an empty datagram. The Frame of a datagram
// of more than MaxRequest bytes has an Err.
func ReadDatagram(b []byte) *Frame {
	front := bytes.TrimLeft(b, " \t\r\n")
	if len(front) == 0 {
		return nil
	}
	var f *Frame
	if front[0] == '{' || front[0] == '[' {
		f = decodeRPC(front)
	} else {
		f = classicDatagram(b)
	}
	if len(b) > MaxRequest {
		f.Err = Errorf(400, "request is longer than %d bytes", MaxRequest)
	}
	return f
}

// classicDatagram parses a classic request, which begins with the datagram's first byte.
func classicDatagram(b []byte) *Frame {
	f := &Frame{}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	head = bytes.TrimRight(head, " \t\r")
	if len(head) < 3 || len(head) >= maxHeader || head[0] != ':' || bytes.IndexByte(head[1:], ':') != len(head)-2 {
		f.Err = ErrNoCommand // for every syntax error in the first line
		return f
	}
	f.Command = string(head[1 : len(head)-1])
	var args argReader
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		args.line(line)
	}
	return f.withArgs(&args)
}
