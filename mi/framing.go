package mi

import (
	"bytes"
	"errors"
)

// colon reads a request in classic or in OpenSIPS's framing.
func (r *Reader) colon() *Frame {
	second, err := r.find(1, ":\n")
	if err != nil || r.buf[second] != ':' {
		return r.junk()
	}
	behind := second + 1
	c, ok := r.byteAt(behind)
	for ok && (c == ' ' || c == '\t') {
		behind++
		c, ok = r.byteAt(behind)
	}
	if ok && (c == '{' || c == '[') {
		name := string(r.buf[1:second])
		return r.rpc(behind, func(data []byte) *Frame { return decodeNamedRPC(name, data) })
	}
	return r.classic()
}

// classic reads ":command:reply name", argument lines and the empty line.
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
	opened := next // behind the line of the last opening quote
	for {
		line, after, err := r.line(next)
		if err == nil && !args.open && r.begins(line) {
			f.Cut = true
			break
		}
		// Inside quotes an empty CRLF line is text, unless the client ends its own
		// lines so.
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
				f.refuse(Errorf(400, "request is longer than %d bytes", r.most()))
			}
			r.drop(r.rest(&args, opened, next), err)
			return f.with(&args)
		}
	}
	r.discard(r.rest(&args, opened, next))
	return f.with(&args)
}

// rest tells where to go on behind a request that ends at end. Behind a quote
// that was never closed, another request may have been taken for text.
func (r *Reader) rest(args *argReader, opened, end int) int {
	if !args.open {
		return end
	}
	return r.beginning(opened, end)
}

// with gives a classic frame its arguments.
func (f *Frame) with(args *argReader) *Frame {
	f.Args = args.args
	if args.bad || args.open {
		f.refuse(ErrParse)
	}
	return f
}

// refuse keeps the first reason: it is what the client should mend first.
func (f *Frame) refuse(err *Error) {
	if f.Err == nil {
		f.Err = err
	}
}

// classicHeader reads the first line of a classic request. The name of the reply
// FIFO is everything behind the second colon.
func classicHeader(line []byte) *Frame {
	f := &Frame{}
	head := bytes.TrimRight(line[1:], " \t\r\n")
	command, name, _ := bytes.Cut(head, []byte(":"))
	f.Command = string(command)
	if len(name) > 0 {
		f.replyTo(string(name))
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
		f.Command = "" // not to be repeated in the answer
	}
	return f
}

// rpc reads a JSON value that begins at start, and whatever stands in front of it.
func (r *Reader) rpc(start int, decode func([]byte) *Frame) *Frame {
	end, err := r.valueEnd(start)
	if err != nil {
		end = r.beginning(start+1, end) // what is another's shall not be answered as this
	}
	f := decode(r.buf[start:end])
	f.Cut = err != nil
	r.drop(end, err)
	return f
}

// errBroken: another request begins inside this one.
var errBroken = errors.New("request is broken off")

// valueEnd finds the end of a JSON value by its braces and brackets.
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
			// Raw line feeds in strings are in use; a request in a line of its own is
			// none of them.
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

// ReadDatagram reads a datagram, which holds one request: JSON, or a classic one
// whose last lines may be missing. It returns nil for an empty datagram. One of more than
// MaxRequest bytes is refused.
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

// classicDatagram reads a classic request. It begins at the first byte of the datagram.
func classicDatagram(b []byte) *Frame {
	f := &Frame{}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	head = bytes.TrimRight(head, " \t\r")
	if len(head) < 3 || len(head) >= maxHeader || head[0] != ':' || bytes.IndexByte(head[1:], ':') != len(head)-2 {
		f.Err = ErrNoCommand // the words for every fault of the first line
		return f
	}
	f.Command = string(head[1 : len(head)-1])
	var args argReader
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		args.line(line)
	}
	return f.with(&args)
}
