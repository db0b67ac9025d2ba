package transaction

import (
	"encoding/binary"
	"encoding/hex"

	"silod/sip"
)

// answer is a response without what is taken from the request, also from one that is
// retransmitted.
type answer struct {
	status  int
	reason  string
	to      string // To value; "" for the request's with a tag of ours
	headers []sip.Header
	body    []byte
}

// appendTo writes the response to r (RFC 3261 section 8.2.6.2). What is copied from
// the request was found clean when it was parsed.
func (a *answer) appendTo(b []byte, r *ServerTx) []byte {
	b = sip.AppendStatusLine(b, a.status, a.reason)
	vias := 0
	for i := range r.Request.Headers {
		h := &r.Request.Headers[i]
		switch h.Name {
		case "Via", "From", "Call-ID", "CSeq", "Timestamp":
		case "To":
			if a.to != "" {
				b = sip.AppendHeader(b, "To", a.to)
				continue
			}
		default:
			continue
		}
		b = append(append(b, h.Name...), ": "...)
		if h.Name == "Via" && vias == 0 {
			vias++
			b = r.Request.Via.AppendStamped(b, h.Value, r.Flow.Remote)
		} else {
			b = append(b, h.Value...)
		}
		if h.Name == "To" && r.Request.To.Tag() == "" && a.status != 100 {
			b = append(b, ";tag="...)
			b = r.appendTag(b)
		}
		b = append(b, '\r', '\n')
	}
	for i := range a.headers {
		b = sip.AppendHeader(b, a.headers[i].Name, a.headers[i].Value)
	}
	return sip.AppendBody(b, a.body)
}

// appendTag writes a tag that is made from the transaction, so that a repeated answer
// has the same one without anything being kept.
func (tx *ServerTx) appendTag(b []byte) []byte { return hex.AppendEncode(b, tx.id.key[:6]) }

// plain tells whether there is nothing to an answer but a status with its standard phrase.
func (a *answer) plain() bool {
	return a.to == "" && len(a.headers) == 0 && len(a.body) == 0 && a.reason == sip.ReasonPhrase(a.status)
}

func plainAnswer(status int) *answer {
	return &answer{status: status, reason: sip.ReasonPhrase(status)}
}

// pack writes an answer behind others, to be kept for long: bytes without pointers,
// of which the collector has no work, and which keep nothing else in memory.
func (a *answer) pack(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(a.status))
	b = packText(b, a.reason)
	b = packText(b, a.to)
	b = binary.AppendUvarint(b, uint64(len(a.headers)))
	for i := range a.headers {
		b = packText(b, a.headers[i].Name)
		b = packText(b, a.headers[i].Value)
	}
	return packText(b, a.body)
}

func packText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// unpack gives the answer at the beginning of b back.
func unpack(b []byte) *answer {
	number := func() int {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return int(v)
	}
	text := func() string {
		n := number()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	a := &answer{status: number(), reason: text(), to: text(), headers: make([]sip.Header, number())}
	for i := range a.headers {
		a.headers[i] = sip.Header{Name: text(), Value: text()}
	}
	a.body = []byte(text())
	return a
}
