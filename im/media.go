package im

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
)

// MediaType returns the type and subtype of a Content-Type value in lower case,
// without parameters. A value that is not a media type is returned as it is, in lower
// case.
func MediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return fold(kind)
}

// Charset returns the charset parameter of a Content-Type value in lower case, or "".
// If there are several, the last one counts.
func Charset(contentType string) string {
	_, params, _ := strings.Cut(contentType, ";")
	charset := ""
	for p := range strings.SplitSeq(params, ";") {
		if name, value, ok := strings.Cut(p, "="); ok && fold(name) == "charset" {
			charset = strings.Trim(fold(value), `"`)
		}
	}
	return charset
}

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// PlainEncoding reports whether the body is not encoded: neither its Content-Encoding
// nor its Content-Transfer-Encoding changes the bytes of the content.
func (m *Message) PlainEncoding() bool {
	if v := m.Header("Content-Encoding"); v != "" && !strings.EqualFold(v, "identity") {
		return false
	}
	switch strings.ToLower(m.Header("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		return true
	}
	return false
}

// Inflate returns the body without its Content-Encoding, which may be deflate or gzip,
// up to limit bytes. A body in another encoding, or that does not begin as its encoding
// does, is returned unchanged and not cut. If the encoding is faulty further on,
// Inflate returns the bytes before the fault.
func (m *Message) Inflate(limit int) []byte {
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
	b, _ := io.ReadAll(io.LimitReader(r, int64(limit))) // the bytes before an error are enough
	return b
}
