package imc

import (
	"cmp"
	"html"
	"slices"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
)

// SpeakerField is the name of the header field that each message from a room has: the member
// whose text it is, or the room itself with the parameter notice. A room accepts no message that
// has it: it would go round between rooms.
const SpeakerField = "Room-Speaker"

// A speaker is the member, or the room, that a message is from, in the forms in which messages
// name it.
type speaker struct {
	field  string    // SpeakerField
	text   string    // the prefix of plain text
	action string    // the prefix of an action
	ascii  string    // the prefix of plain text in charsets other than UTF-8
	uri    string    // its address
	room   string    // URI
	at     time.Time // of the message
}

// A body is the content of a message, or of a part of one.
type body struct {
	contentType string
	transfer    string // Content-Transfer-Encoding
	encoding    string // Content-Encoding
	data        []byte
}

// Limits of content that is taken apart.
const (
	maxDecoded = 64 << 10 // bytes of an encoded body without its encoding, and of HTML
	maxNested  = 3        // levels of multipart and CPIM
	maxParts   = 20       // of one multipart
)

// plainUTF8 is the Content-Type of converted text.
const plainUTF8 = "text/plain;charset=utf-8"

// speakerOf returns the sender of an entry.
func (s *Service) speakerOf(r *room, e *Entry) speaker {
	sp := speaker{uri: e.From.String(), room: e.Room.String(), at: e.At}
	if e.From == e.Room {
		sp.field = noticeOf(e.Room)
		return sp
	}
	sp.field = quote(r.called(e.From)) + " <" + sp.uri + ">"
	sp.text, sp.action = s.speakerPrefix("speech", r, e), s.speakerPrefix("action", r, e)
	if sp.ascii = sp.text; !isASCII(sp.text) {
		sp.ascii = "[" + e.From.User + "]: " // with escapes
	}
	return sp
}

// noticeOf returns the value of SpeakerField of a text that a room, or the manager, wrote.
func noticeOf(room sip.AoR) string { return "<" + room.String() + ">;notice" }

// quote returns a quoted-string (RFC 3261 section 25.1).
func quote(s string) string {
	if strings.ContainsAny(s, `"\`) {
		s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	}
	return `"` + s + `"`
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// bodyOf returns the content of a message.
func bodyOf(m *im.Message) body {
	return body{
		contentType: m.Header("Content-Type"), data: m.Body,
		transfer: m.All("Content-Transfer-Encoding"), encoding: m.All("Content-Encoding"),
	}
}

// isEncoded reports whether the data are not the bytes of the content.
func (b *body) isEncoded() bool { return !isIdentity(b.transfer) || !isIdentity(b.encoding) }

func isIdentity(encoding string) bool {
	switch strings.ToLower(encoding) {
	case "", "identity", "7bit", "8bit", "binary":
		return true
	}
	return false
}

// decode returns the data without encodings.
func (b *body) decode() ([]byte, error) {
	return im.Decode(b.data, b.transfer, b.encoding, maxDecoded)
}

// isNameable reports whether name accepts a content whatever its bytes are, as most.
func (b *body) isNameable() bool {
	kind, charset, _ := contentType(b.contentType)
	f, _ := formOf(kind, charset, b.isEncoded())
	return f == prefixed || f == unchanged
}

// name returns the content with the name of the speaker in it, or a refusal.
func (sp *speaker) name(b body, nested int) (body, *refusal) {
	kind, charset, certain := contentType(b.contentType)
	f, key := formOf(kind, charset, b.isEncoded())
	switch f {
	case refused:
		return b, refuse(key, "value", printable(clip(cmp.Or(charset, kind))))
	case unchanged, dropped:
		return b, nil
	case prefixed:
		return sp.prefix(b, charset, certain), nil
	}
	if nested > maxNested {
		return b, refuse("bad_content")
	}
	data, err := b.decode()
	if err != nil {
		return b, unreadable(err, b)
	}
	switch f {
	case wrapped:
		return sp.wrap(data, nested)
	case parts:
		return sp.nameParts(b.contentType, data, nested)
	case hypertext:
		return sp.nameHTML(data, charset)
	}
	text, err := im.ToUTF8(data, charset)
	if err != nil {
		return b, unreadable(err, b)
	}
	name, data := sp.text, []byte(text)
	if words, ok := action(data); ok {
		name, data = sp.action, words
	}
	return body{contentType: plainUTF8, data: append([]byte(name), oneBlock(data, inUTF8)...)}, nil
}

// prefix puts the name before plain text. Text in UTF-8 that is one line keeps its bytes.
func (sp *speaker) prefix(b body, charset string, certain bool) body {
	name, set := sp.text, charsetOf(charset)
	if set != inUTF8 {
		name = sp.ascii
	}
	said := b.data
	if words, ok := action(said); ok && (set == inUTF8 || isASCII(sp.action)) {
		name, said = sp.action, words
	}
	text := oneBlock(said, set)
	data := make([]byte, 0, len(name)+len(text))
	out := body{contentType: b.contentType, data: append(append(data, name...), text...)}
	if !certain || b.contentType == "" { // phones could take it for another charset or type
		out.contentType = plainUTF8
	}
	return out
}

// nameHTML puts the name before HTML. The HTML becomes a block of its own, of simple elements,
// so that it can neither hide the name nor look like the text of another member. Its lines begin
// as those of oneBlock do: phones that know no HTML leave out the elements, or show them.
func (sp *speaker) nameHTML(data []byte, charset string) (body, *refusal) {
	if len(data) > maxDecoded {
		return body{}, refuse("too_big", "limit", itoa(maxDecoded))
	}
	text, err := im.ToUTF8(data, charset)
	if err != nil {
		return body{}, refuse("bad_charset", "value", charset)
	}
	said := oneBlock([]byte(im.SafeHTML(text, furtherLine)), inUTF8) // which has no line ends: as text, it is one line
	name := html.EscapeString(strings.TrimRight(strings.TrimSuffix(sp.text, furtherLine), " \n"))
	return body{
		contentType: "text/html;charset=utf-8",
		data:        slices.Concat([]byte("<p>"+name+"</p><blockquote>"), said, []byte("</blockquote>")),
	}, nil
}
