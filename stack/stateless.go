package stack

import (
	"slices"
	"strings"
)

// Stateless has the answer that follows forgotten as soon as it is sent (RFC 3261
// section 8.2.7): a retransmission is then a new request. It is for requests of whom
// nobody knows: they leave nothing behind, and over UDP, where the source may be a
// victim's address, the answer is trimmed to the size of the request, as far as that
// goes.
func (r *Request) Stateless() { r.stateless = true }

// forget drops the server transaction, where there is one.
func (r *Request) forget() {
	if r.tracked {
		r.stack.server.forget(r.key)
		r.tracked = false
	}
}

// trimmed takes from an answer until it is no larger than the request: header fields
// from the last on, then the reason's words, then all challenges but one. The last one
// stays, which the oldest clients understand; without any, a client could do nothing.
func (a *answer) trimmed(r *Request) *answer {
	if r.Flow.Transport != UDP {
		return a
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	over := func() int {
		*buf = a.appendTo((*buf)[:0], r)
		return len(*buf) - r.size
	}
	for i := len(a.headers) - 1; i >= 0 && over() > 0; i-- {
		if !isChallenge(a.headers[i].Name) {
			a.headers = slices.Delete(slices.Clone(a.headers), i, i+1)
		}
	}
	if over() > 0 {
		a.reason, _, _ = strings.Cut(ReasonPhrase(a.status), " ")
	}
	for len(a.headers) > 1 && over() > 0 {
		a.headers = a.headers[1:]
	}
	return a
}

func isChallenge(name string) bool { return name == "WWW-Authenticate" || name == "Proxy-Authenticate" }
