package imc

import (
	"strings"

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
	switch mediaType(m) {
	case im.MediaTypeIMDN, mediaTypeComposing:
		return content{notification: true}
	case im.MediaTypeCPIM:
		return inspectCPIM(m)
	case "text/plain":
		if m.Header("Content-Encoding") == "" {
			return content{text: string(m.Body)}
		}
	}
	return content{}
}

// maxInflated limits how much of a compressed body is read.
const maxInflated = 64 << 10

// inspectCPIM reads a message within CPIM, which may be compressed: Linphone
// compresses the notifications that it sends without being asked.
func inspectCPIM(m *im.Message) content {
	c, ok := im.ParseCPIM(m.Inflate(maxInflated))
	if !ok || c.Body == nil {
		return content{}
	}
	switch c.ContentType() {
	case im.MediaTypeIMDN, mediaTypeComposing:
		return content{notification: true}
	case "text/plain", "":
		return content{text: string(c.Body)}
	}
	return content{}
}

// mediaType returns the media type of a message. A message without one is plain text.
func mediaType(m *im.Message) string {
	value := m.Header("Content-Type")
	if value == "" {
		return "text/plain"
	}
	return im.MediaType(value)
}

// takesPrefix reports whether the sender's name can be put before the body: it is
// plain text, not encoded, in a charset that has ASCII in it.
func takesPrefix(m *im.Message) bool {
	if mediaType(m) != "text/plain" || m.Header("Content-Encoding") != "" || !m.PlainEncoding() {
		return false
	}
	charset := im.Charset(m.Header("Content-Type"))
	return !strings.HasPrefix(charset, "utf-16") && !strings.HasPrefix(charset, "utf-32") &&
		!strings.HasPrefix(charset, "ucs-") && !strings.HasPrefix(charset, "iso-10646-ucs")
}
