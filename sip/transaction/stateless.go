package transaction

import (
	"slices"
	"strings"

	"silod/sip"
)

// Stateless makes the answer stateless (RFC 3261 section 8.2.7): it is not kept, and a
// retransmission is a new request. It serves for requests of unknown senders, which then
// use no memory. Over UDP, where the source address may be forged, the answer is shortened
// to the size of the request. If that is not possible, it is sent only as far as
// transport.Layer.Covers allows.
func (tx *ServerTx) Stateless() { tx.stateless, tx.forget = true, true }

// shrinkToRequest removes parts of an answer until it is at most as large as the request: header
// fields from the last to the first, then the explanation behind the reason, then all words of
// it but the first, then the longest challenges. Retry-After stays, and so does the shortest
// challenge: that for MD5, which every client supports. ok is false if the answer may not be
// sent.
func (a *answer) shrinkToRequest(tx *ServerTx) (_ *answer, ok bool) {
	if tx.Flow.Transport != sip.UDP {
		return a, true
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	tooLarge := func() bool {
		*buf = a.appendTo((*buf)[:0], tx)
		return len(*buf) > tx.size
	}
	if !tooLarge() {
		return a, true
	}
	a.headers = slices.Clone(a.headers) // the slice belongs to the caller
	for i := len(a.headers) - 1; i >= 0 && tooLarge(); i-- {
		if !isChallenge(a.headers[i]) && a.headers[i].Name != "Retry-After" {
			a.headers = slices.Delete(a.headers, i, i+1)
		}
	}
	if tooLarge() {
		a.reason, _, _ = strings.Cut(a.reason, ", ")
	}
	if tooLarge() {
		a.reason, _, _ = strings.Cut(sip.ReasonPhrase(a.status), " ")
	}
	for len(a.headers) > 1 && isChallenge(a.headers[0]) && tooLarge() {
		longest := slices.MaxFunc(a.headers, func(x, y sip.Header) int { return len(x.Value) - len(y.Value) })
		a.headers = slices.DeleteFunc(a.headers, func(h sip.Header) bool { return h == longest })
	}
	return a, !tooLarge() || tx.layer.transport.Covers(tx.replyTo().Addr(), tx.size, len(*buf))
}

func isChallenge(h sip.Header) bool {
	return h.Name == "WWW-Authenticate" || h.Name == "Proxy-Authenticate"
}
