package db

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"silod/im"
	"silod/sip"
)

// TestForeignBlock: header lines as other programs write them.
func TestForeignBlock(t *testing.T) {
	t.Parallel()
	b := columnValuesOf("sip:alice@example.org", "sip:bob@example.org", "", "text/plain")
	type header = sip.Header
	ct := header{Name: "Content-Type", Value: "text/plain"}
	for name, c := range map[string]struct {
		block string
		want  []header
	}{
		"empty":                 {"", []header{ct}},
		"CRLF":                  {"A: 1\r\nB: 2\r\n", []header{ct, {Name: "A", Value: "1"}, {Name: "B", Value: "2"}}},
		"LF, no last":           {"A:1\nB: 2", []header{ct, {Name: "A", Value: "1"}, {Name: "B", Value: "2"}}},
		"folded":                {"A: 1\r\n\t 2\r\n 3\r\nB: 4\r\n", []header{ct, {Name: "A", Value: "1 2 3"}, {Name: "B", Value: "4"}}},
		"space and colon":       {"A : 1:2\r\n", []header{ct, {Name: "A", Value: "1:2"}}},
		"no headers":            {"nonsense\r\n: x\r\nB C: d\r\n\r\n", []header{ct}},
		"a line for the type":   {"X-Silod-Content-Type: text/plain;charset=x\r\n", []header{{Name: "Content-Type", Value: "text/plain;charset=x"}}},
		"unknown line of silod": {"X-Silod-Other: 1\r\nX-Silod-CSeq: abc\r\n", []header{ct}},
		"wrapped nonsense":      {"X-Silod-Header: nonsense\r\n", []header{ct}},
	} {
		m := decodeBlock(c.block, b, false)
		if !reflect.DeepEqual(m.Headers, c.want) || m.CSeq != 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	const alice = "<sip:alice@example.org>"
	for from, want := range map[string]bool{
		alice: true,
		`"Alice \"A\"" <sip:alice@EXAMPLE.org;transport=tcp>;tag=1`: true,
		`sip:alice@example.org;tag=1`:                               true,
		`<sips:alice@example.org>`:                                  false,
		`<sip:bob@example.org>`:                                     false,
		`"<sip:alice@example.org>" <sip:mallory@example.org>`:       false,
		`sip:mallory@example.org;x="<sip:alice@example.org>"`:       false,
		`"A; B" <sip:alice@example.org>`:                            true,
		`<tel:alice>`:                                               false,
		`"Alice" <sip:alice@example.org`:                            false,
	} {
		if sameSender(from, alice) != want {
			t.Errorf("%s: %v", from, !want)
		}
	}
	if sameSender("<tel:+1>;tag=1", "<tel:+2>") || !sameSender("<tel:+1>;tag=1", "<tel:+1>") {
		t.Error("tel URIs")
	}
}

// FuzzBlock: every message is read as it was written, and reading never fails, whatever
// is in the column.
func FuzzBlock(f *testing.F) {
	f.Add("<sip:a@b>;tag=1", "<sip:c@d>", "call", uint32(7), "Subject", "hi", "Content-Type", "text/plain", "X: y\r\n z\r\nX-Silod-From: q\r\n")
	f.Add("", "", "", uint32(0), "X-Silod-Header", " ", "content-TYPE", "", "\n:\n \n")
	f.Fuzz(func(t *testing.T, from, to, callID string, cseq uint32, n1, v1, n2, v2, foreign string) {
		b := columnValuesOf("sip:a@b", "sip:c@d", "call", "text/plain")
		_ = decodeBlock(foreign, b, false)
		m := im.Message{From: from, To: to, CallID: callID, CSeq: cseq, Headers: []sip.Header{{Name: n1, Value: v1}, {Name: n2, Value: v2}}}
		if strings.EqualFold(n1, "Content-Type") {
			m.Headers = slices.Delete(m.Headers, 1, 2)
			b.ctype = bareType(v1)
		} else if strings.EqualFold(n2, "Content-Type") {
			b.ctype = bareType(v2)
		} else {
			b.ctype = ""
		}
		for i := range m.Headers {
			if strings.EqualFold(m.Headers[i].Name, "Content-Type") {
				m.Headers[i].Name = "Content-Type"
			}
		}
		block, err := encodeBlock(&m, b)
		if err != nil {
			return
		}
		if got := decodeBlock(block, b, true); !reflect.DeepEqual(got, m) {
			t.Fatalf("\n got %+q\nwant %+q\nblock %q", got.Headers, m.Headers, block)
		}
	})
}

// FuzzOctal: PostgreSQL's older form of bytes in text.
func FuzzOctal(f *testing.F) {
	f.Add([]byte(`a\\b\101\`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var escaped []byte
		for _, c := range in {
			if c == '\\' {
				escaped = append(escaped, '\\', '\\')
			} else if c < ' ' || c > '~' {
				escaped = append(escaped, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			} else {
				escaped = append(escaped, c)
			}
		}
		if got := unescapeOctal(escaped); string(got) != string(in) {
			t.Errorf("%q came back as %q", in, got)
		}
		_ = unescapeOctal(in)
	})
}
