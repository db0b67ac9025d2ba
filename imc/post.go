package imc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/address"
	"silod/delivery"
)

// post is an entry as all members get it: composed once, whatever their number.
// It is never written to.
type post struct {
	seq     int64
	at      time.Time
	from    address.AoR
	call    string // Call-ID of the request that caused it
	expires time.Time
	headers []delivery.Header
	body    []byte
}

// size is what a post takes in memory, roughly.
func (p *post) size() int { return len(p.body) + 64*len(p.headers) + 256 }

// compose makes the post of a committed entry.
func (s *Service) compose(e *Entry) *post {
	p := &post{seq: e.Seq, at: e.At, from: e.From, call: e.CallID, body: e.Body, expires: e.At.Add(s.cfg().CatchUp)}
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
		p.headers = append(p.headers, delivery.Header{Name: "In-Reply-To", Value: e.CallID})
	}
	if e.Header("Date") == "" {
		// The hour at which it was said, for those who get it later (RFC 3261 section 20.17).
		p.headers = append(p.headers, delivery.Header{Name: "Date", Value: e.At.UTC().Format(dateFormat)})
	}
	p.headers = slices.Clip(append(p.headers, s.cfg().extra...))
	if e.From != e.Room && speakable(&e.Message) {
		p.body = slices.Concat([]byte(s.speech(e)), e.Body)
	}
	return p
}

// dateFormat is that of SIP-date (RFC 3261 section 25.1).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// speech is what stands before the words of a speaker.
func (s *Service) speech(e *Entry) string {
	user := display(e.From, e.Room)
	name := user
	if na, err := address.ParseNameAddr(e.Message.From); err == nil && na.Name != "" {
		name = clip(na.Name)
	}
	return s.cfg().texts.write("speech", args{"user", user, "uri", e.From.String(), "name", name})
}

// display is how people see a user: the domain only where it is not the room's.
func display(u, room address.AoR) string {
	if u.Domain == room.Domain {
		return u.User
	}
	return u.User + "@" + u.Domain
}

// item addresses a post to a member. Everything in it follows from the entry,
// the room and the member, so that it is the same on every retry, after a restart
// and from any node, and no two entries share a Call-ID even where an emptied
// store counts from 1 again.
func (p *post) item(room, to address.AoR) delivery.Item {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s %s %d", p.seq, room, to, p.call, p.at.Unix())
	sum := h.Sum(nil)
	return delivery.Item{
		Key:     p.seq,
		Expires: p.expires,
		Message: delivery.Message{
			From:    "<" + room.String() + ">;tag=" + hex.EncodeToString(sum[16:22]),
			To:      "<" + to.String() + ">",
			CallID:  hex.EncodeToString(sum[:16]) + "@" + room.Domain,
			CSeq:    binary.BigEndian.Uint32(sum[22:])&0xffffff | 1, // below 2^31 (RFC 3261 section 8.1.1.5)
			Headers: p.headers,
			Body:    p.body,
		},
	}
}

// letter makes a message from a room, or from the manager, to one person; cause is the
// Call-ID of the request that it answers, if there was one.
func (s *Service) letter(from, to address.AoR, cause, body string) delivery.Message {
	m := delivery.Message{
		From:    "<" + from.String() + ">;tag=" + rand.Text()[:12],
		To:      "<" + to.String() + ">",
		CallID:  rand.Text() + "@" + from.Domain,
		CSeq:    1,
		Headers: []delivery.Header{plainText},
		Body:    []byte(body),
	}
	if cause != "" {
		m.Headers = append(m.Headers, delivery.Header{Name: "In-Reply-To", Value: cause})
	}
	m.Headers = append(m.Headers, s.cfg().extra...)
	return m
}

// plainText marks what rooms write themselves. The charset of text in SIP is
// UTF-8 where none is named (RFC 3261 section 7.4.1).
var plainText = delivery.Header{Name: "Content-Type", Value: "text/plain"}

// passes tells which of a speaker's headers go on to the members. Those that
// speak of the speaker's own identity, device or dialog would be wrong under the
// room's From.
func passes(name string) bool {
	switch strings.ToLower(name) {
	case "in-reply-to", "contact", "m", "expires", "supported", "k", "require", "proxy-require", "allow", "accept",
		"accept-encoding", "accept-language", "user-agent", "identity", "y", "identity-info", "n",
		"p-asserted-identity", "p-preferred-identity", "authorization", "proxy-authorization", "content-length", "l":
		return false
	}
	return true
}
