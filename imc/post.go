package imc

import (
	"bytes"
	"crypto/rand"
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

// post is an entry as all members get it: composed once, whatever their number.
// It is never written to.
type post struct {
	seq     int64
	at      time.Time
	from    sip.AoR
	sender  string // the From header with its tag, the Call-ID and the CSeq
	call    string // of the request that caused it
	cseq    uint32
	expires time.Time
	headers []sip.Header
	body    []byte
}

// size is what a post takes in memory, roughly.
func (p *post) size() int { return len(p.body) + 64*len(p.headers) + 256 }

// compose makes the post of a committed entry: the speaker's words as the room
// passes them on. A speaker may say after how many seconds they are of no use any
// more (RFC 3428 section 4); that can shorten what catch_up allows.
func (s *Service) compose(e *Entry) *post {
	p := &post{
		seq: e.Seq, at: e.At, from: e.From, sender: e.Message.From, call: e.CallID, cseq: e.CSeq,
		expires: e.At.Add(s.cfg().CatchUp), body: e.Body,
	}
	if n, err := strconv.ParseUint(e.Header("Expires"), 10, 32); err == nil && n > 0 {
		if t := e.At.Add(time.Duration(n) * time.Second); t.Before(p.expires) {
			p.expires = t
		}
	}
	for _, h := range e.Headers {
		if passes(h.Name) {
			p.headers = append(p.headers, h)
		}
	}
	if e.CallID != "" {
		p.headers = append(p.headers, sip.Header{Name: "In-Reply-To", Value: e.CallID})
	}
	if e.Header("Date") == "" {
		// The hour at which it was said, for those who get it later (RFC 3261 section 20.17).
		p.headers = append(p.headers, sip.Header{Name: "Date", Value: e.At.UTC().Format(dateFormat)})
	}
	p.headers = slices.Clip(append(p.headers, s.cfg().extra...))
	if e.From != e.Room && takesPrefix(&e.Message) {
		p.body = slices.Concat([]byte(s.speech(e)), e.Body)
	}
	return p
}

// dateFormat is that of SIP-date (RFC 3261 section 25.1).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// speech is what stands before the words of a speaker. An operator's template may use
// the display name, which a speaker can choose freely; the one shipped does not.
func (s *Service) speech(e *Entry) string {
	user := display(e.From, e.Room)
	name := user
	if na, err := sip.ParseNameAddr(e.Message.From); err == nil && na.Name != "" {
		name = printable(clip(na.Name))
	}
	return s.cfg().texts.write("speech", args{"user", user, "uri", e.From.String(), "name", name})
}

// display is how people see a user: the domain only where it is not the room's.
func display(u, room sip.AoR) string {
	if u.Domain == room.Domain {
		return u.User
	}
	return u.User + "@" + u.Domain
}

// repeats tells whether a request is the one that caused the post: its sender has
// not seen the answer, because the daemon died before it went out, and sends it
// again. Some clients count from the same number each time they start; so the
// words are compared too.
func (p *post) repeats(req *Request) bool {
	return p.from == req.Sender && p.call == req.CallID && p.cseq == req.CSeq && p.sender == req.From &&
		bytes.HasSuffix(p.body, req.Body)
}

// item addresses a post to a member. Everything in it follows from the entry,
// the room and the member, so that it is the same on every retry, after a restart
// and from any node, and no two entries share a Call-ID even where an emptied
// store counts from 1 again.
func (p *post) item(r *room, to sip.AoR) delivery.Item {
	b := make([]byte, 0, 512)
	b = strconv.AppendInt(b, p.seq, 10)
	b = strconv.AppendInt(append(b, ' '), p.at.Unix(), 10)
	b = append(append(b, ' '), r.uri...)
	b = appendURI(append(b, ' '), to)
	b = append(append(b, ' '), p.call...)
	sum := sha256.Sum256(b)

	// One text for all three, because there is one for every member.
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
		Row:     r,
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

// appendURI is AoR.String for a user.
func appendURI(b []byte, a sip.AoR) []byte {
	b = append(append(b, "sip:"...), a.User...)
	return append(append(b, '@'), a.Domain...)
}

// letter makes a message from a room, or from the manager, to one person; cause is the
// Call-ID of the request that it answers, if there was one.
func (s *Service) letter(from, to sip.AoR, cause, body string) im.Message {
	m := im.Message{
		From:    "<" + from.String() + ">;tag=" + rand.Text()[:12],
		To:      "<" + to.String() + ">",
		CallID:  rand.Text() + "@" + from.Domain,
		CSeq:    1,
		Headers: []sip.Header{plainText},
		Body:    []byte(body),
	}
	if cause != "" {
		m.Headers = append(m.Headers, sip.Header{Name: "In-Reply-To", Value: cause})
	}
	m.Headers = append(m.Headers, s.cfg().extra...)
	return m
}

// plainText marks what rooms write themselves. The charset of text in SIP is
// UTF-8 where none is named (RFC 3261 section 7.4.1).
var plainText = sip.Header{Name: "Content-Type", Value: "text/plain"}

// passes tells which of a speaker's headers go on to the members: all that tell of
// the content or the conversation, known or not. Those that speak of the speaker's
// own identity, device or dialog would be wrong under the room's From.
func passes(name string) bool {
	switch strings.ToLower(name) {
	case "in-reply-to", "contact", "m", "expires", "supported", "k", "require", "proxy-require", "allow", "accept",
		"accept-encoding", "accept-language", "user-agent", "identity", "y", "identity-info", "n",
		"p-asserted-identity", "p-preferred-identity", "authorization", "proxy-authorization", "content-length", "l":
		return false
	}
	return true
}
