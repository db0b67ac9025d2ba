package imc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/sip"
)

// A post is an entry in the form that is sent to members. It is composed once for all of
// them and is never written to.
type post struct {
	seq        int64
	at         time.Time
	from       sip.AoR
	fromHeader string // From with its tag, Call-ID and CSeq of the request that caused the entry
	callID     string
	cseq       uint32
	expires    time.Time
	headers    []sip.Header
	body       []byte
	said       []byte // the body as the sender wrote it
}

// size returns roughly the bytes that a post takes in memory.
func (p *post) size() int { return len(p.body) + 64*len(p.headers) + 256 }

// compose returns the post of a committed entry of a room. The Expires header of the sender's
// message (RFC 3428 section 4) can shorten the time set by CatchUp.
func (s *Service) compose(r *room, e *Entry) *post {
	set := s.settings()
	p := &post{
		seq: e.Seq, at: e.At, from: e.From, fromHeader: e.Message.From, callID: e.CallID, cseq: e.CSeq,
		expires: e.At.Add(set.config.CatchUp), body: e.Body,
	}
	if n, err := strconv.ParseUint(e.Header("Expires"), 10, 32); err == nil && n > 0 {
		if t := e.At.Add(time.Duration(n) * time.Second); t.Before(p.expires) {
			p.expires = t
		}
	}
	sp := s.speakerOf(r, e)
	said := bodyOf(&e.Message)
	if e.From != e.Room {
		said = s.namedBody(&sp, e, said)
	}
	p.headers = slices.Clip(append(postHeaders(e, &sp, said), set.headers...))
	p.setBody(said.data, e.Body)
	return p
}

// namedBody returns the content of a member's message with its name. An entry that Handle
// would refuse, because an earlier version has stored it, is shown by its type and size.
func (s *Service) namedBody(sp *speaker, e *Entry, b body) body {
	named, refused := sp.name(b, 0)
	if refused != nil {
		return body{contentType: plainText.Value, data: []byte(sp.text + s.typeAndSize(e))}
	}
	return named
}

// setBody sets the body of a post of which the original is given. They share memory where the
// one ends with the other.
func (p *post) setBody(data, original []byte) {
	p.body, p.said = data, original
	if bytes.HasSuffix(data, original) {
		p.said = data[len(data)-len(original):]
	}
}

// speakerPrefix returns the text that is put before a sender's message. An operator's
// template may use the display name, which the sender can choose freely; the default
// template does not.
func (s *Service) speakerPrefix(key textKey, r *room, e *Entry) string {
	user := displayName(e.From, e.Room)
	name := user
	if na, err := sip.ParseNameAddr(e.Message.From); err == nil && na.Name != "" {
		name = printable(clip(na.Name))
	}
	prefix := s.settings().texts.expand(key, args{"user", user, "nick", r.called(e.From), "uri", e.From.String(), "name", name})
	if strings.HasSuffix(prefix, "\n") { // the text is a further line
		prefix += furtherLine
	}
	return prefix
}

// isFrom reports whether a request is the one that caused the post: its sender got no
// answer, because the daemon stopped before, and sends it again. Some clients start
// with the same numbers each time, so the body is compared too.
func (p *post) isFrom(req *Request) bool {
	return p.from == req.Sender.AoR && p.callID == req.CallID && p.cseq == req.CSeq && p.fromHeader == req.From &&
		bytes.Equal(p.said, req.Body)
}

// item returns a post as the item for one member. It depends only on the entry, the
// room and the member, so that it is the same on every retry, after a restart and on
// every node. The time in it keeps Call-IDs unique even if an emptied store counts
// from 1 again.
func (p *post) item(m *member, to sip.AoR) delivery.Item {
	r := m.room
	b := make([]byte, 0, 512)
	b = strconv.AppendInt(b, p.seq, 10)
	b = strconv.AppendInt(append(b, ' '), p.at.Unix(), 10)
	b = append(append(b, ' '), r.uri...)
	b = appendURI(append(b, ' '), to)
	b = append(append(b, ' '), p.callID...)
	sum := sha256.Sum256(b)

	// One string holds all three values: an item is made for every member.
	b = append(append(b[:0], '<'), r.uri...)
	b = hex.AppendEncode(append(b, ">;tag="...), sum[16:22])
	from := len(b)
	b = append(appendURI(append(b, '<'), to), '>')
	uri := len(b)
	b = hex.AppendEncode(b, sum[:16])
	text := string(append(append(b, '@'), r.name.Domain...))
	return delivery.Item{
		Key:     p.seq,
		Expires: p.expires,
		Row:     m,
		Message: im.Message{
			From:    text[:from],
			To:      text[from:uri],
			CallID:  text[uri:],
			CSeq:    binary.BigEndian.Uint32(sum[22:])&0xffffff | 1, // below 2^31 (RFC 3261 section 8.1.1.5)
			Headers: p.headers,
			Body:    p.body,
		},
	}
}

// appendURI appends the SIP URI of a user, as AoR.String returns it.
func appendURI(b []byte, a sip.AoR) []byte {
	b = append(append(b, "sip:"...), a.User...)
	return append(append(b, '@'), a.Domain...)
}
