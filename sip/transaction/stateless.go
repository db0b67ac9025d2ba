package transaction

import (
	"slices"
	"strings"

	"silod/sip"
)

// Stateless makes the answer stateless (RFC 3261 section 8.2.7): it is not kept, and a
// retransmission is a new request. It serves for requests of unknown senders, which then
// use no memory. It includes Unproven.
func (tx *ServerTx) Stateless() { tx.bounded, tx.forget = true, true }

// Unproven notes that the source address of the request may be forged if it came over UDP. The
// answer is then shortened to the size of the request. If that is not possible, it is sent only
// as far as transport.Layer.Covers allows, also to retransmissions.
func (tx *ServerTx) Unproven() { tx.bounded = true }

// Vouch notes that the sender of the request is not a stranger: see transport.Layer.Vouch.
func (tx *ServerTx) Vouch() { tx.layer.transport.Vouch(tx.Flow) }

// ProveSource notes that the source of the request has answered a challenge that was sent
// there: see transport.Layer.Prove.
func (tx *ServerTx) ProveSource() { tx.layer.transport.Prove(tx.Flow) }

// shrinkToRequest removes parts of an answer until it is at most as large as the request: header
// fields from the last to the first, then the explanation behind the reason, then all words of
// it but the first. Retry-After and challenges stay. If the answer is still too large, and that
// is not covered, it removes the longest challenges. The shortest one stays: that for MD5, which
// every client supports. ok is false if the answer may not be sent.
func (a *answer) shrinkToRequest(tx *ServerTx) (_ *answer, ok bool) {
	if tx.Flow.Transport != sip.UDP {
		return a, true
	}
	a.bounded = true
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
	t, source := tx.layer.transport, tx.replyTo().Addr()
	for tooLarge() && !t.Covers(source, tx.size, len(*buf)) {
		if len(a.headers) < 2 || !isChallenge(a.headers[0]) {
			t.HoldBack(source, tx.size)
			return a, false
		}
		longest := slices.MaxFunc(a.headers, func(x, y sip.Header) int { return len(x.Value) - len(y.Value) })
		a.headers = slices.DeleteFunc(a.headers, func(h sip.Header) bool { return h == longest })
	}
	return a, true
}

// mayRepeat reports whether an answer may be sent to a retransmission.
func (a *answer) mayRepeat(tx *ServerTx) bool {
	if !a.bounded {
		return true
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = a.appendTo((*buf)[:0], tx)
	t, source := tx.layer.transport, tx.replyTo().Addr()
	if len(*buf) <= tx.size || t.Covers(source, tx.size, len(*buf)) {
		return true
	}
	t.HoldBack(source, tx.size)
	return false
}

func isChallenge(h sip.Header) bool {
	return h.Name == "WWW-Authenticate" || h.Name == "Proxy-Authenticate"
}
