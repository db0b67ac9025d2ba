package imc

import (
	"silod/im"
)

// content is the part of a message that decides what a room does with it.
type content struct {
	notification bool   // a disposition notification or "is composing": not a contribution of a member
	text         string // the text, if it is plain text, alone or within CPIM
}

const mediaTypeComposing = "application/im-iscomposing+xml" // RFC 3994

// inspect reads a message without changing it.
func inspect(m *im.Message) content {
	b := bodyOf(m)
	return b.inspect(0)
}

// inspect reads a content, within CPIM if nested is not 0.
func (b *body) inspect(nested int) content {
	kind, charset, _ := contentType(b.contentType)
	switch f, _ := formOf(kind, charset, b.isEncoded()); {
	case f == dropped:
		return content{notification: true}
	case f == wrapped && nested <= maxNested:
		return b.inspectCPIM(nested)
	case f == prefixed && !im.IsUTF8(charset): // of some of these charsets ASCII is all that is known here
		return content{text: string(b.data)}
	case f == prefixed, f == converted && kind == "text/plain":
		data, err := b.decode()
		if err != nil {
			return content{}
		}
		if im.IsUTF8(charset) {
			return content{text: string(data)}
		}
		text, _ := im.ToUTF8(data, charset)
		return content{text: text}
	}
	return content{}
}

// inspectCPIM reads a message within CPIM, which may be compressed: Linphone
// compresses the notifications that it sends without being asked.
func (b *body) inspectCPIM(nested int) content {
	data, err := b.decode()
	if err != nil {
		return content{}
	}
	c, ok := im.ParseCPIM(data)
	if !ok || c.Body == nil {
		return content{}
	}
	inner := cpimBody(c)
	return inner.inspect(nested + 1)
}

// cpimBody returns the content of a CPIM message.
func cpimBody(c *im.CPIM) body {
	return body{
		contentType: c.ContentField("Content-Type"), data: c.Body,
		transfer: c.ContentField("Content-Transfer-Encoding"), encoding: c.ContentField("Content-Encoding"),
	}
}

// mediaType returns the media type of a message. A message without one is plain text.
func mediaType(m *im.Message) string {
	kind, _, _ := contentType(m.Header("Content-Type"))
	return kind
}
