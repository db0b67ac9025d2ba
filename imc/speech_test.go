package imc

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"silod/im"
	"silod/sip"
)

// TestForms is the table of forms: media type, charset, encoding.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		kinds, charsets string
		encoded         bool
		want            form
		key             textKey
	}{
		{"text/plain", " utf-8 us-ascii iso-8859-1 iso-8859-15 windows-1252 koi8-r gbk shift_jis euc-jp big5", false, prefixed, ""},
		{"text/plain", " utf-8 us-ascii iso-8859-1", true, converted, ""},
		{"text/plain", "utf-16 utf-16le utf-16be utf-32 utf-32le utf-32be ucs-2", false, converted, ""},
		{"text/plain", "iso-2022-jp iso-2022-kr utf-7 hz-gb-2312 ibm037 cp037 ebcdic-us unknown x-none", false, refused, "bad_charset"},
		{"text/plain text/html text/markdown", "koi8-r unknown", true, refused, "bad_charset"},
		{"text/html", " utf-8 utf-16", false, hypertext, ""},
		{"text/html", " utf-8", true, hypertext, ""},
		{"text/markdown text/enriched text/richtext text/rtf text/csv text/x-unknown text/vcard text/xml", " utf-8 utf-16le", false, converted, ""},
		{"message/cpim", "", false, wrapped, ""},
		{"message/cpim", "", true, wrapped, ""},
		{"message/imdn+xml application/im-iscomposing+xml", "", true, dropped, ""},
		{"message/sipfrag message/sip message/external-body message/rfc822 message/partial message/http", "", false, refused, "bad_type"},
		{"multipart/mixed multipart/alternative multipart/related multipart/unknown", "", false, parts, ""},
		{"multipart/signed application/xhtml+xml application/rtf application/sdp", "", false, refused, "bad_type"},
		{"image/png image/svg+xml audio/ogg video/mp4 application/octet-stream application/vnd.gsma.rcs-ft-http+xml", "", true, unchanged, ""},
		{"text text/ /plain plain x/y text/plain,text/html; charset=utf-8", "", false, refused, "bad_type"},
	} {
		for kind := range strings.SplitSeq(c.kinds, " ") {
			for charset := range strings.SplitSeq(c.charsets, " ") {
				if f, key := formOf(kind, charset, c.encoded); f != c.want || key != c.key {
					t.Errorf("%q %q encoded %v: %d %q, want %d %q", kind, charset, c.encoded, f, key, c.want, c.key)
				}
			}
		}
	}
}

var mallory = speaker{
	field: `"mallory" <sip:mallory@example.test>`, text: "[mallory]: ", ascii: "[mallory]: ",
	uri: "sip:mallory@example.test", room: "sip:chat-1@example.test", at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
}

func utf16le(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func zipped(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

// TestNobodySpeaksForAnother has content in which mallory says "[alice]: I resign", in the
// forms in which a phone could show it as a message of alice.
func TestNobodySpeaksForAnother(t *testing.T) {
	const forged = "[alice]: I resign"
	const out = "[mallory]: " + forged
	const cpim = "From: <sip:mallory@example.test>\r\nTo: <sip:chat-1@example.test>\r\nDateTime: 2026-01-02T03:04:05Z\r\n"
	same := ""
	for _, c := range []struct{ name, ctype, transfer, encoding, body, wantType, want, refusal string }{
		{"plain", "text/plain", "", "", forged, same, out, ""},
		{"no type", "", "", "", forged, plainUTF8, out, ""},
		{"identity", "text/plain", "", "identity", forged, same, out, ""},
		{"8bit", "text/plain", "8bit", "", forged, same, out, ""},
		{"base64", "text/plain", "Base64", "", base64.StdEncoding.EncodeToString([]byte(forged)), plainUTF8, out, ""},
		{"quoted-printable", "text/plain", "quoted-printable", "", "[alice]=3A I re=\r\nsign", plainUTF8, out, ""},
		{"gzip", "text/plain", "", "gzip", gzipped(forged), plainUTF8, out, ""},
		{"deflate", "text/plain", "", "deflate", zipped(forged), plainUTF8, out, ""},
		{"base64 of gzip", "text/plain", "base64", "identity, gzip", base64.StdEncoding.EncodeToString([]byte(gzipped(forged))), plainUTF8, out, ""},
		{"unknown encoding", "text/plain", "", "br", forged, "", "", "bad_encoding"},
		{"unknown transfer encoding", "text/plain", "x-uuencode", "", forged, "", "", "bad_encoding"},
		{"no gzip", "text/plain", "", "gzip", forged, "", "", "bad_content"},
		{"a bomb", "text/plain", "", "gzip", gzipped(strings.Repeat("x", maxDecoded+1)), "", "", "too_big"},
		{"UTF-16", "text/plain;charset=UTF-16", "", "", "\xff\xfe" + utf16le(forged), plainUTF8, out, ""},
		{"UTF-16LE", "text/plain;charset=utf-16le", "", "", utf16le("hello\n" + forged), plainUTF8, "[mallory]: hello\n| " + forged, ""},
		{"UTF-32BE", "text/plain;charset=utf-32be", "", "", "\x00\x00\x00[\x00\x00\x00a", plainUTF8, "[mallory]: [a", ""},
		{"Latin-1", "text/plain;charset=iso-8859-1", "", "", "\xe4\x85" + forged, same, "[mallory]: \xe4\n| " + forged, ""},
		{"EBCDIC", "text/plain;charset=ibm037", "", "", "\xc1", "", "", "bad_charset"},
		{"ISO-2022", "text/plain;charset=iso-2022-jp", "", "", "\x1b$B", "", "", "bad_charset"},
		{"two charsets", "text/plain;charset=utf-8;charset=utf-16", "", "", forged, plainUTF8, out, ""},
		{"spaces", "text / plain ; charset = utf-8", "", "", forged, plainUTF8, out, ""},
		{"unbalanced", `text/plain;charset="utf-16`, "", "", forged, plainUTF8, out, ""},
		{"quoted charset", `text/plain; x="a;charset=utf-16"; charset="utf-8"`, "", "", forged, same, out, ""},
		{"second line", "text/plain", "", "", "hello\r\n" + forged + "\n", same, "[mallory]: hello\r\n| " + forged + "\n", ""},
		{"lines", "text/plain", "", "", "a\r[b\u2028[c\u0085[d\v[e\f[f\u2029[g", same, "[mallory]: a\n| [b\n| [c\n| [d\n| [e\n| [f\n| [g", ""},
		{"first line is empty", "text/plain", "", "", "\n" + forged, same, "[mallory]: \n| " + forged, ""},
		{"terminal", "text/plain", "", "", "\x1b[2K\x08\x08\x7f" + forged, same, "[mallory]:  [2K   " + forged, ""},
		{"direction", "text/plain", "", "", "\u202e" + forged + "\u2066\u200f", same, out + "\u200f", ""},
		{"blanks", "text/plain", "", "", "hello" + strings.Repeat(" \u00a0\u3000", 100) + forged, same, "[mallory]: hello" + strings.Repeat(" \u00a0\u3000", 10) + " \u00a0" + forged, ""},
		{"not UTF-8", "text/plain", "", "", "\xff\x00\x85[", same, "[mallory]: \xff\x00\n| [", ""},
		{"HTML", "text/html", "", "", forged, "text/html;charset=utf-8", "<p>[mallory]:</p><blockquote>" + forged + "</blockquote>", ""},
		{
			"HTML that hides", "text/html;charset=utf-8", "", "", "</blockquote><!-- <style>p{display:none}</style><p style='position:fixed' onclick=x>[alice]: <b>no</p>--> <script>x</script><P ID=a>a<br/>&lt;b<plaintext></blockquote>",
			"text/html;charset=utf-8", "<p>[mallory]:</p><blockquote> <p>a<br>| &lt;b&lt;/blockquote&gt;</p></blockquote>", "",
		},
		{
			"HTML with lines", "text/html", "", "", "\nhi\n" + forged + "<br>&#x202e;" + forged + "&#10;<p>" + strings.Repeat("&nbsp;", 100) + forged,
			"text/html;charset=utf-8", "<p>[mallory]:</p><blockquote> hi " + forged + "<br>| " + forged + " <p>| " + strings.Repeat("\u00a0", 31) + forged + "</p></blockquote>", "",
		},
		{"blanks of Windows", "text/plain;charset=windows-1252", "", "", "\x85" + strings.Repeat("\xa0", 100) + forged, same, "[mallory]: \x85" + strings.Repeat("\xa0", 32) + forged, ""},
		{"blanks of KOI8", "text/plain;charset=koi8-u", "", "", "\xa0" + strings.Repeat("\x9a", 100) + forged, same, "[mallory]: \xa0" + strings.Repeat("\x9a", 32) + forged, ""},
		{"HTML in UTF-16", "text/html;charset=utf-16le", "", "", utf16le("<i>x"), "text/html;charset=utf-8", "<p>[mallory]:</p><blockquote><i>x</i></blockquote>", ""},
		{"XHTML", "application/xhtml+xml", "", "", forged, "", "", "bad_type"},
		{"Markdown", "text/markdown", "", "", forged, plainUTF8, out, ""},
		{"sipfrag", "message/sipfrag", "", "", forged, "", "", "bad_type"},
		{
			"CPIM", "message/CPIM", "", "", "From: Alice <sip:alice@example.test>\r\nFrom: <sip:bob@example.test>\r\nTo: <sip:x@y>\r\nDateTime: 2001-01-01T00:00:00Z\r\ncc: <sip:a@b>\r\n" +
				"Subject: s\r\nX.Sender: alice\r\nNS: i <urn:ietf:params:imdn>\r\ni.Message-ID: 7\r\ni.Disposition-Notification: display\r\ni.Original-To: <sip:a@b>\r\n\r\n" +
				"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n" + forged,
			im.MediaTypeCPIM, cpim + "Subject: s\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 7\r\nimdn.Disposition-Notification: display\r\n\r\nContent-Type: text/plain\r\n\r\n" + out, "",
		},
		{
			"compressed CPIM", "message/cpim", "", "deflate", zipped("From: <sip:alice@example.test>\n\nContent-Type: text/html\n\n" + forged), im.MediaTypeCPIM,
			cpim + "\r\nContent-Type: text/html;charset=utf-8\r\n\r\n<p>[mallory]:</p><blockquote>" + forged + "</blockquote>", "",
		},
		{
			"CPIM without an end", "message/cpim", "", "", "From: <sip:alice@example.test>\r\n\r\nContent-Type: text/plain\r\n" + forged, "", "", "bad_content",
		},
		{
			"CPIM within CPIM", "message/cpim", "", "", "a:\r\n\r\nContent-Type: message/cpim\r\n\r\nFrom: <sip:alice@example.test>\r\n\r\n\r\n" + forged, im.MediaTypeCPIM,
			cpim + "\r\nContent-Type: message/cpim\r\n\r\n" + cpim + "\r\nContent-Type: " + plainUTF8 + "\r\n\r\n" + out, "",
		},
		{"image", "image/png", "", "", "\x89PNG", same, "\x89PNG", ""},
	} {
		got, refusal := mallory.name(body{contentType: c.ctype, transfer: c.transfer, encoding: c.encoding, data: []byte(c.body)}, 0)
		if refusal != nil {
			if c.refusal != string(refusal.text) {
				t.Errorf("%s: refused by %s, want %q", c.name, refusal.text, c.refusal)
			}
			continue
		}
		if c.wantType == same {
			c.wantType = c.ctype
		}
		if c.refusal != "" || string(got.data) != c.want || got.contentType != c.wantType {
			t.Errorf("%s: %q\n got %q\nwant %q %q %s", c.name, got.contentType, got.data, c.wantType, c.want, c.refusal)
		}
	}
}

// TestPartsNameTheSpeaker has a message with parts, whose boundary the sender could repeat.
func TestPartsNameTheSpeaker(t *testing.T) {
	const in = "I am the preamble\r\n--b\r\nContent-Type: text/plain\r\nX-From: alice\r\n\r\n[alice]: hi\r\n" +
		"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nDQotLWIKCng=\r\n" + // "\r\n--b\n\nx"
		"--b\r\nContent-Type: multipart/alternative;boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n<b>\r\n--c--\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-ID: <1>\r\n\r\n\x89\r\n--b--\r\n[alice]: epilogue"
	got, refused := mallory.name(body{contentType: "multipart/mixed; boundary=b", data: []byte(in)}, 0)
	if refused != nil {
		t.Fatal(refused)
	}
	_, params, _ := mime.ParseMediaType(got.contentType)
	want := "--B\r\nContent-Type: text/plain\r\n\r\n[mallory]: [alice]: hi\r\n" +
		"--B\r\nContent-Type: text/plain;charset=utf-8\r\n\r\n[mallory]: \r\n| --b\n| \n| x\r\n" +
		"--B\r\nContent-Type: multipart/alternative;boundary=C\r\n\r\n--C\r\nContent-Type: text/html;charset=utf-8\r\n\r\n" +
		"<p>[mallory]:</p><blockquote><b></b></blockquote>\r\n--C--\r\n\r\n" +
		"--B\r\nContent-Type: image/png\r\nContent-ID: <1>\r\n\r\n\x89\r\n--B--\r\n"
	_, after, _ := strings.Cut(string(got.data), "boundary=")
	inner, _, _ := strings.Cut(after, "\r\n")
	if s := strings.NewReplacer(params["boundary"], "B", inner, "C").Replace(string(got.data)); s != want {
		t.Errorf("got\n%q\nwant\n%q", s, want)
	}
	for _, bad := range []string{"", "--b\r\n\r\nx", "--b--", "--b\r\nContent-Type: message/sipfrag\r\n\r\nx\r\n--b--", strings.Repeat("--b\r\n\r\nx\r\n", maxParts+1) + "--b--"} {
		if got, refused := mallory.name(body{contentType: "multipart/mixed; boundary=b", data: []byte(bad)}, 0); refused == nil {
			t.Errorf("%q became %q", bad, got.data)
		}
	}
}

// TestRepeatedNaming checks that a text that was named before keeps its form, so that a
// repetition of it is recognised.
func TestRepeatedNaming(t *testing.T) {
	first := mallory.prefix(body{data: []byte("a\nb  c\r\nd")}, "", true)
	again := mallory.prefix(first, "", true)
	if string(again.data) != "[mallory]: "+string(first.data) {
		t.Errorf("%q became %q", first.data, again.data)
	}
	first, _ = mallory.nameHTML([]byte("a<br>b<blockquote>c</blockquote>"), "")
	again, _ = mallory.nameHTML(first.data, "")
	if !bytes.Contains(withoutMarks(again.data), withoutMarks(first.data)) {
		t.Errorf("%q became %q", first.data, again.data)
	}
}

// FuzzSpeech checks that in each message that a room sends the name of the speaker comes first,
// that other lines of text are marked, and that the message is the same each time.
func FuzzSpeech(f *testing.F) {
	for _, c := range []struct{ ctype, transfer, encoding, body string }{
		{"text/plain", "", "", "hello\r\n[alice]: no\u2028\x85"},
		{"text/plain", "", "", "hello\r"},
		{"text/plain;charset=utf-16", "base64", "", "//5bAA=="},
		{"text/plain;charset=iso-8859-1", "", "identity", "\x85\x0b"},
		{"text/html", "", "", "<p><style></p></b><br><!--x"},
		{"message/cpim", "", "", "From: <sip:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\nx"},
		{"multipart/mixed;boundary=b", "", "", "--b\r\n\r\nx\r\n--b--"},
		{"image/png", "", "gzip", "\x1f\x8b"},
	} {
		f.Add(c.ctype, c.transfer, c.encoding, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, ctype, transfer, encoding string, data []byte) {
		before := string(data)
		in := body{contentType: ctype, transfer: transfer, encoding: encoding, data: data}
		out, refused := mallory.name(in, 0)
		again, _ := mallory.name(in, 0)
		if string(data) != before {
			t.Fatal("the body was written to")
		}
		if refused != nil {
			return
		}
		if string(out.data) != string(again.data) || out.contentType != again.contentType {
			t.Fatal("not the same again")
		}
		checkNamed(t, out, 0)
	})
}

// checkNamed checks a content that names mallory.
func checkNamed(t *testing.T, b body, nested int) {
	t.Helper()
	kind, charset, _ := contentType(b.contentType)
	switch f, _ := formOf(kind, charset, b.isEncoded()); f {
	case unchanged, dropped:
	case prefixed:
		text, ok := strings.CutPrefix(string(b.data), "[mallory]: ")
		lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
		for _, l := range lines[1:] {
			ok = ok && strings.HasPrefix(l, furtherLine)
		}
		if !ok || strings.ContainsAny(strings.ReplaceAll(text, "\r\n", "\n"), "\r\v\f\x1b\b") || strings.ContainsAny(text, "\u2028\u2029\u0085\u202e") && charset == "" {
			t.Errorf("%q: %q", b.contentType, b.data)
		}
	case hypertext:
		if s := string(b.data); !strings.HasPrefix(s, "<p>[mallory]:</p><blockquote>") || !strings.HasSuffix(s, "</blockquote>") ||
			strings.Count(s, "<blockquote>") != strings.Count(s, "</blockquote>") || strings.Contains(s, "<!--") || strings.Contains(s, "=\"") && strings.Contains(s, "<p ") ||
			strings.ContainsAny(s, "\n\r\v\f\u0085\u2028\u2029\u202e") {
			t.Errorf("HTML %q", s)
		}
	case wrapped:
		c, ok := im.ParseCPIM(b.data)
		if !ok || c.Header("From") != "<"+mallory.uri+">" || c.Malformed {
			t.Fatalf("CPIM %q", b.data)
		}
		checkNamed(t, cpimBody(c), nested+1)
	case parts:
		_, params, err := mime.ParseMediaType(b.contentType)
		if err != nil {
			t.Fatal(err)
		}
		r := multipart.NewReader(bytes.NewReader(b.data), params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err != nil {
				break
			}
			var data bytes.Buffer
			_, _ = data.ReadFrom(p)
			checkNamed(t, body{
				contentType: p.Header.Get("Content-Type"), data: data.Bytes(),
				transfer: p.Header.Get("Content-Transfer-Encoding"), encoding: p.Header.Get("Content-Encoding"),
			}, nested+1)
		}
	default:
		t.Errorf("form %d of %q", f, b.contentType)
	}
}

// TestForwarded is the table of the header fields of a speaker.
func TestForwarded(t *testing.T) {
	for name, want := range map[string]bool{
		"Subject": true, "content-language": true, "Content-Disposition": true, "Content-ID": true, "Priority": true, "Auto-Submitted": true,
		"Content-Length": false, "From": false, "Remote-Party-ID": false, "P-Asserted-Identity": false, "Date": false, "Reply-To": false,
		"Referred-By": false, "Contact": false, "Identity": false, "Room-Speaker": false, "Loop-Mark": false, "X-Own": false,
		"Organization": false, "History-Info": false, "Call-Info": false, "Alert-Info": false, "Error-Info": false, "In-Reply-To": false,
		"Expires": false, "Content-": false, "P-Called-Party-ID": false, "Diversion": false, "Sender": false, "User-Agent": false,
	} {
		if got := isForwarded(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSpeakerField checks the value for odd names, which are shown without escapes.
func TestSpeakerField(t *testing.T) {
	s := quietService(t, nil)
	for user, want := range map[string]string{
		"alice": `"alice" <sip:alice@example.test>`, "j%C3%BCrgen": `"jürgen" <sip:j%C3%BCrgen@example.test>`,
		"a%5Cb": `"a\\b" <sip:a%5Cb@example.test>`, "a%22b": `"a%22b" <sip:a%22b@example.test>`,
	} {
		e := &Entry{Room: sip.AoR{User: "chat-1", Domain: "example.test"}, From: sip.AoR{User: user, Domain: "example.test"}}
		if sp := s.speakerOf(newRoom(e.Room), e); sp.field != want {
			t.Errorf("%s: %s, want %s", user, sp.field, want)
		} else if na, err := sip.ParseNameAddr(sp.field); err != nil || na.URI.AoR() != e.From {
			t.Errorf("%s is read as %v, %v", sp.field, na, err)
		}
	}
}
