package mi

import (
	"encoding/json"
	"strings"
)

// Frame is one request as a transport received it, with the data that its reply needs.
type Frame struct {
	Request
	ReplyTo string // name of the client's reply FIFO; "" if there is none
	Err     *Error // of a request that cannot run; it is the reply
	Cut     bool   // the end of the request is missing: commands that change something do not run

	id json.RawMessage // of JSON-RPC; nil if the request has none
}

// WantsReply reports whether the client expects a reply. In OpenSIPS's JSON-RPC a request
// without an id is a notification, which has no reply.
func (f *Frame) WantsReply() bool {
	return f.Dialect != OpenSIPS && f.Dialect != Native || f.id != nil || f.Err != nil
}

// GoodReplyName reports whether name is a valid name of a reply FIFO. As in Kamailio, it
// must not contain a dot, slash or backslash, so it cannot leave the reply directory.
func GoodReplyName(name string) bool {
	if name == "" || len(name) > 127 || strings.ContainsAny(name, `./\`) {
		return false
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// setReplyTo sets the name of the reply FIFO, or Err if the name is not valid.
func (f *Frame) setReplyTo(name string) {
	if !GoodReplyName(name) {
		f.Err = Errorf(400, "bad reply name")
		return
	}
	f.ReplyTo = name
}

// refuse sets the error of the frame, unless it has one.
func (f *Frame) refuse(err *Error) {
	if f.Err == nil {
		f.Err = err
	}
}

// withArgs sets the arguments of a classic frame and returns it.
func (f *Frame) withArgs(args *argReader) *Frame {
	f.Args = args.args
	if args.bad || args.open {
		f.refuse(ErrParse)
	}
	return f
}
