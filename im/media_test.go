package im_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"silod/im"
	"silod/sip"
)

func TestMediaType(t *testing.T) {
	for value, want := range map[string]struct{ kind, charset string }{
		"text/plain":                       {"text/plain", ""},
		`TEXT/Plain ; CharSet="UTF-8"`:     {"text/plain", "utf-8"},
		`text/plain;x="a;b";charset=UTF-8`: {"text/plain", "utf-8"},
		"text/plain;charset=a;charset=b":   {"text/plain", "b"},
		"charset=utf-8":                    {"charset=utf-8", ""},
		"no type":                          {"no type", ""},
		"":                                 {"", ""},
	} {
		if kind, charset := im.MediaType(value), im.Charset(value); kind != want.kind || charset != want.charset {
			t.Errorf("%q: type %q, charset %q, want %q", value, kind, charset, want)
		}
	}
}

func FuzzMediaType(f *testing.F) {
	for _, s := range []string{"text/plain", "text/plain;charset=utf-8", `TEXT/Plain ; x="a;b" ; CharSet="UTF-8"`, ";", "=;=", ";charset=", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if kind := im.MediaType(s); kind != strings.TrimSpace(kind) || strings.Contains(kind, ";") {
			t.Errorf("type %q of %q", kind, s)
		}
		if charset := im.Charset(s); strings.Contains(charset, ";") {
			t.Errorf("charset %q of %q", charset, s)
		}
	})
}

func TestPlainEncoding(t *testing.T) {
	for _, c := range []struct {
		content, transfer string
		want              bool
	}{
		{"", "", true},
		{"identity", "8bit", true},
		{"", "Binary", true},
		{"deflate", "", false},
		{"", "base64", false},
	} {
		m := encoded(c.content, nil)
		m.Headers = append(m.Headers, sip.Header{Name: "Content-Transfer-Encoding", Value: c.transfer})
		if m.PlainEncoding() != c.want {
			t.Errorf("%+v: not so", c)
		}
	}
}

func encoded(encoding string, body []byte) *im.Message {
	return &im.Message{Headers: []sip.Header{{Name: "Content-Encoding", Value: encoding}}, Body: body}
}

func compress(w io.WriteCloser, b *bytes.Buffer, text string) []byte {
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestInflate(t *testing.T) {
	var zb, gb bytes.Buffer
	text := strings.Repeat("hello ", 1000)
	deflated := compress(zlib.NewWriter(&zb), &zb, text)
	gzipped := compress(gzip.NewWriter(&gb), &gb, text)
	broken := bytes.Clone(deflated)
	broken[len(broken)-1] ^= 1 // in the checksum, behind the text
	for _, c := range []struct {
		name, encoding string
		body           []byte
		want           string
	}{
		{"plain", "", []byte(text), text},
		{"identity", "identity", []byte(text), text},
		{"deflate", "Deflate", deflated, text[:100]},
		{"gzip", "gzip", gzipped, text[:100]},
		{"broken", "deflate", broken, text[:100]},
		{"not compressed", "deflate", []byte(text), text},
		{"other encoding", "br", deflated, string(deflated)},
	} {
		if got := encoded(c.encoding, c.body).Inflate(100); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := encoded("deflate", broken).Inflate(1 << 20); string(got) != text {
		t.Errorf("the text before a fault: %d bytes of %d", len(got), len(text))
	}
}

// A body that grows without end when inflated is cut, and the message is not
// written to.
func FuzzInflate(f *testing.F) {
	for _, encoding := range []string{"", "deflate", "gzip", "br"} {
		f.Add(encoding, []byte("x\x9c\x03\x00\x00\x00\x00\x01"))
		f.Add(encoding, []byte("\x1f\x8b\x08"))
	}
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		m, before := encoded(encoding, body), string(body)
		if got := m.Inflate(64); len(got) > 64 && string(got) != before {
			t.Errorf("%d bytes", len(got))
		}
		if string(m.Body) != before {
			t.Error("the body was written to")
		}
	})
}
