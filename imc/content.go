package imc

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"mime"
	"net/textproto"
	"strings"

	"silod/im"
)

// content is what a room needs to know of a message.
type content struct {
	notification bool   // a disposition notification or "is composing": nothing that anybody said
	text         string // the words, where they are plain text, alone or within CPIM
}

// inspect looks into a message without changing it.
func inspect(m *im.Message) content {
	switch mediaType(m) {
	case "message/imdn+xml", "application/im-iscomposing+xml":
		return content{notification: true}
	case "message/cpim":
		return inspectCPIM(decoded(m))
	case "text/plain":
		if m.Header("Content-Encoding") == "" {
			return content{text: string(m.Body)}
		}
	}
	return content{}
}

// inspectCPIM looks through the wrapper of RFC 3862: message headers, an empty
// line, the content's own headers, an empty line, the content.
func inspectCPIM(body []byte) content {
	_, rest, found := cutHeader(body)
	if !found {
		return content{}
	}
	header, rest, found := cutHeader(rest)
	if !found {
		return content{}
	}
	t, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch t {
	case "message/imdn+xml", "application/im-iscomposing+xml":
		return content{notification: true}
	case "text/plain", "":
		return content{text: string(rest)}
	}
	return content{}
}

// cutHeader reads header lines up to an empty line. Lines may end in LF alone, as
// some clients write them.
func cutHeader(b []byte) (h textproto.MIMEHeader, rest []byte, found bool) {
	h = make(textproto.MIMEHeader)
	for {
		line, after, found := bytes.Cut(b, []byte("\n"))
		if !found {
			return h, nil, false
		}
		b = after
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return h, b, true
		}
		if name, value, found := bytes.Cut(line, []byte(":")); found {
			h.Add(string(bytes.TrimSpace(name)), string(bytes.TrimSpace(value)))
		}
	}
}

// decoded gives the start of a body without its Content-Encoding: Linphone
// compresses what it sends by itself. What cannot be decoded is given as it is.
func decoded(m *im.Message) []byte {
	const most = 64 << 10
	var r io.Reader
	var err error
	switch strings.ToLower(m.Header("Content-Encoding")) {
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(m.Body))
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(m.Body))
	default:
		return m.Body
	}
	if err != nil {
		return m.Body
	}
	b, _ := io.ReadAll(io.LimitReader(r, most)) // what came before an error is as good
	return b
}

// mediaType is the Content-Type without parameters, in lower case. Text without
// any is plain.
func mediaType(m *im.Message) string {
	value := m.Header("Content-Type")
	if value == "" {
		return "text/plain"
	}
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// speakable tells whether the speaker's name can be put before the body: plain
// text in a charset that has ASCII in it, with nothing wrapped round it.
func speakable(m *im.Message) bool {
	if mediaType(m) != "text/plain" || m.Header("Content-Encoding") != "" {
		return false
	}
	switch strings.ToLower(m.Header("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
	default:
		return false
	}
	_, params, _ := mime.ParseMediaType(m.Header("Content-Type"))
	charset := strings.ToLower(params["charset"])
	return !strings.HasPrefix(charset, "utf-16") && !strings.HasPrefix(charset, "utf-32") &&
		!strings.HasPrefix(charset, "ucs-") && !strings.HasPrefix(charset, "iso-10646-ucs")
}
