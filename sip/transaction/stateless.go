package transaction

import (
	"slices"
	"strings"

	"silod/sip"
)

// Stateless makes the answer that follows stateless (RFC 3261 section 8.2.7): it is
// forgotten when it is sent, and a retransmission is a new request. It is for requests of
// unknown senders. They leave nothing behind, and over UDP, where the source may be a
// victim's address, the answer is cut down to the size of the request, or held back where
// that is not enough (transport.Layer.Covers).
func (tx *ServerTx) Stateless() { tx.stateless = true }

// forget drops the server transaction, where there is one.
func (tx *ServerTx) forget() {
	if tx.tracked {
		tx.layer.server.forget(tx)
		tx.tracked = false
	}
}

// shrinkToRequest removes parts of an answer until it is no larger than the request: header
// fields from the last to the first, then all but the first word of the reason, then the
// longest challenges. Retry-After stays, and the shortest challenge, that of MD5, which
// every client understands. ok is false where even that may not be sent now.
func (a *answer) shrinkToRequest(tx *ServerTx) (_ *answer, ok bool) {
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
	return a, !over() || tx.layer.transport.Covers(tx.replyTo().Addr(), tx.size, len(*buf))
}

func isChallenge(h sip.Header) bool {
	return h.Name == "WWW-Authenticate" || h.Name == "Proxy-Authenticate"
}
