package transaction

import (
	"encoding/binary"
	"encoding/hex"

	"silod/sip"
)

// An answer is a final response without the header fields that are copied from the request.
type answer struct {
	status  int
	reason  string
	to      string // To value; "": that of the request with our tag
	headers []sip.Header
	body    []byte
	bounded bool // see ServerTx.Unproven
}

// appendTo appends the response to a request (RFC 3261 section 8.2.6.2). Values from the
// request need no cleaning: the parser rejects control characters.
func (a *answer) appendTo(b []byte, tx *ServerTx) []byte {
	b = sip.AppendStatusLine(b, a.status, a.reason)
	topVia := true
	for i := range tx.Request.Headers {
		h := &tx.Request.Headers[i]
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
		if h.Name == "Via" && topVia {
			topVia = false
			b = tx.Request.Via.AppendStamped(b, h.Value, tx.Flow.Remote)
		} else {
			b = append(b, h.Value...)
		}
		if h.Name == "To" && tx.Request.To.Tag() == "" && a.status != 100 {
			b = append(b, ";tag="...)
			b = tx.appendTag(b)
		}
		b = append(b, '\r', '\n')
	}
	for i := range a.headers {
		b = sip.AppendHeader(b, a.headers[i].Name, a.headers[i].Value)
	}
	return sip.AppendBody(b, a.body)
}

// appendTag appends a tag that is derived from the transaction's ID, so that it is the same
// in all answers to a request and its retransmissions.
func (tx *ServerTx) appendTag(b []byte) []byte { return hex.AppendEncode(b, tx.id.key[:6]) }

// plain reports whether an answer consists of a status with its standard phrase.
func (a *answer) plain() bool {
	return !a.bounded && a.to == "" && len(a.headers) == 0 && len(a.body) == 0 && a.reason == sip.ReasonPhrase(a.status)
}

func plainAnswer(status int) *answer {
	return &answer{status: status, reason: sip.ReasonPhrase(status)}
}

// pack appends an answer in a compact form without pointers: the garbage collector need not
// scan it, and it does not keep the received response in memory.
func (a *answer) pack(b []byte) []byte {
	status := uint64(a.status) << 1
	if a.bounded {
		status |= 1
	}
	b = binary.AppendUvarint(b, status)
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

// unpack returns the answer that pack has appended at the start of b.
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
	status := number()
	a := &answer{
		status: status >> 1, bounded: status&1 != 0,
		reason: text(), to: text(), headers: make([]sip.Header, number()),
	}
	for i := range a.headers {
		a.headers[i] = sip.Header{Name: text(), Value: text()}
	}
	a.body = []byte(text())
	return a
}
