package stack

import (
	"bytes"
	"slices"
	"strings"

	"silod/sip"
)

// Stateless has the answer that follows forgotten as soon as it is sent (RFC 3261
// section 8.2.7): a retransmission is then a new request. It is for requests of whom
// nobody knows: they leave nothing behind, and over UDP, where the source may be a
// victim's address, the answer is trimmed to the size of the request, and held back
// where that is not enough (credits).
func (tx *ServerTx) Stateless() { tx.stateless = true }

// forget drops the server transaction, where there is one.
func (tx *ServerTx) forget() {
	if tx.tracked {
		tx.stack.server.forget(tx)
		tx.tracked = false
	}
}

// trimmed takes from an answer until it is no larger than the request: header fields
// from the last on, then the reason's words, then the longest challenges. What a client
// could not go on without stays: the shortest challenge, which is MD5's, the one that
// every client understands; and Retry-After. ok is false where that is still more than
// may be sent now.
func (a *answer) trimmed(tx *ServerTx) (_ *answer, ok bool) {
	if tx.Flow.Transport != sip.UDP {
		return a, true
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	over := func() bool {
		*buf = a.appendTo((*buf)[:0], tx)
		return len(*buf) > tx.size
	}
	if !over() {
		return a, true
	}
	a.headers = slices.Clone(a.headers) // they are the caller's
	for i := len(a.headers) - 1; i >= 0 && over(); i-- {
		if !isChallenge(a.headers[i]) && a.headers[i].Name != "Retry-After" {
			a.headers = slices.Delete(a.headers, i, i+1)
		}
	}
	if over() {
		a.reason, _, _ = strings.Cut(sip.ReasonPhrase(a.status), " ")
	}
	for len(a.headers) > 1 && isChallenge(a.headers[0]) && over() {
		longest := slices.MaxFunc(a.headers, func(x, y sip.Header) int { return len(x.Value) - len(y.Value) })
		a.headers = slices.DeleteFunc(a.headers, func(h sip.Header) bool { return h == longest })
	}
	return a, !over() || tx.stack.credits.covers(tx.replyTo().Addr(), tx.size, len(*buf))
}

func isChallenge(h sip.Header) bool {
	return h.Name == "WWW-Authenticate" || h.Name == "Proxy-Authenticate"
}

// isResponse tells a response by its first bytes: who is not heard may still answer.
func isResponse(raw []byte) bool { return bytes.HasPrefix(raw, []byte("SIP/2.0 ")) }
