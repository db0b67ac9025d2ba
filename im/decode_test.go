package im_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"silod/im"
)

func TestDecode(t *testing.T) {
	var zb, gb, fb bytes.Buffer
	f, _ := flate.NewWriter(&fb, 6)
	deflated := string(compress(zlib.NewWriter(&zb), &zb, "hello"))
	gzipped := string(compress(gzip.NewWriter(&gb), &gb, "hello"))
	bare := string(compress(f, &fb, "hello"))
	for _, c := range []struct {
		transfer, content, body, want string
		err                           error
	}{
		{"", "", "hello", "hello", nil},
		{"Binary", "Identity", "hello", "hello", nil},
		{"", "deflate", deflated, "hello", nil},
		{"", "deflate", bare, "hello", nil},
		{"", "GZIP", gzipped, "hello", nil},
		{"", "identity, x-gzip", gzipped, "hello", nil},
		{"base64", "", "aGVs\r\nbG8=\r\n", "hello", nil},
		{"quoted-printable", "", "hel=\r\nl=6F", "hello", nil},
		{"", "br", "hello", "", im.ErrEncoding},
		{"uuencode", "", "hello", "", im.ErrEncoding},
		{"", "identity,identity,identity,identity", "hello", "", im.ErrEncoding},
		{"base64", "", "a*", "", im.ErrContent},
		{"", "gzip", "hello", "", im.ErrContent},
		{"", "deflate", deflated[:8], "", im.ErrContent},
		{"base64", "", "aGVsbG8gaGVsbG8=", "", im.ErrTooLarge},
	} {
		got, err := im.Decode([]byte(c.body), c.transfer, c.content, 10)
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q %q %q: %q, %v", c.transfer, c.content, c.body, got, err)
		}
	}
}

func TestToUTF8(t *testing.T) {
	for _, c := range []struct{ charset, in, want string }{
		{"", "ä\xff", "ä\ufffd"},
		{"us-ascii", "a", "a"},
		{"iso-8859-1", "\xe4\x85", "ä\u0085"},
		{"utf-16", "\xff\xfea\x00", "a"},
		{"utf-16", "\xfe\xff\x00a", "a"},
		{"utf-16", "\x00a\xd8", "a"},
		{"utf-16le", "=\xd8\x00\xdea", "😀"},
		{"utf-16be", "\xdc\x00", "\ufffd"},
		{"utf-32", "\xff\xfe\x00\x00a\x00\x00\x00", "a"},
		{"utf-32be", "\x00\x01\xf6\x00\xff\xff\xff\xff\x00\x00\xd8\x00", "😀\ufffd\ufffd"},
	} {
		if got, err := im.ToUTF8([]byte(c.in), c.charset); got != c.want || err != nil {
			t.Errorf("%s %q: %q, %v", c.charset, c.in, got, err)
		}
	}
	for _, charset := range []string{"utf-7", "iso-2022-jp", "ibm037", "iso-8859-15", "utf-8x"} {
		if _, err := im.ToUTF8(nil, charset); !errors.Is(err, im.ErrCharset) {
			t.Errorf("%s: %v", charset, err)
		}
	}
}

// FuzzDecode checks that a decoded body has at most limit bytes, and a converted text is UTF-8.
func FuzzDecode(f *testing.F) {
	for _, e := range []string{"", "gzip", "deflate", "base64", "quoted-printable", "gzip,base64"} {
		f.Add(e, e, "utf-16", []byte("\x1f\x8b\x08=41YWJj"))
	}
	f.Fuzz(func(t *testing.T, transfer, content, charset string, body []byte) {
		before := string(body)
		got, err := im.Decode(body, transfer, content, 64)
		if len(got) > 64 && string(got) != before || err != nil && got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if s, err := im.ToUTF8(got, charset); err == nil && !utf8.ValidString(s) {
			t.Errorf("%q is not UTF-8", s)
		}
		if string(body) != before {
			t.Error("the body was written to")
		}
	})
}

func TestSafeHTML(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"a & b":                          "a &amp; b",
		"&lt;b&gt;&amp;":                 "&lt;b&gt;&amp;",
		"<B CLASS=x>a</B><hr/>":          "<b>a</b>",
		"<b><i>a</b>c</i>":               "<b><i>a</i></b>c",
		"</div></blockquote>a":           "a",
		"<p>a<p>b":                       "<p>a<p>b</p></p>",
		"a<br>b<BR/>c</br>":              "a<br>b<br>c<br>",
		"<!-- a --><!doctype x><?x?>b":   "b",
		"<!-- a":                         "",
		"<style>p{}</style><script>x<b>": "",
		"<head><title>x</title>a":        "a",
		"<template><template></template>a</template>b":      "b",
		"<svg><style></svg>a</style>b":                      "b",
		"<a href='javascript:x' onclick=y>link</a>":         "link",
		"<plaintext></p><b>":                                "&lt;/p&gt;&lt;b&gt;",
		"<textarea><b></textarea><img src=x alt=y>":         "&lt;b&gt;",
		"<blockquote>" + strings.Repeat("<div>", 100) + "a": "<blockquote>" + strings.Repeat("<div>", 31) + "a" + strings.Repeat("</div>", 31) + "</blockquote>",
	} {
		if got := im.SafeHTML(in, ""); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}

// TestLinesOfHTML checks that each line of a text but the first one is marked, and that the
// result has no line ends of its own, which a phone that knows no HTML would show.
func TestLinesOfHTML(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\r\nc&#10;d&#x2028;e":              "a b c d e",
		"<p>a</p>\n<p>b":                        "<p>a</p> <p>| b</p>",
		"<br><i> </i>a<br> <b>b</b>c":           "<br><i> </i>a<br> <b>| b</b>c",
		"a<div>b</div>c":                        "a<div>| b</div>| c",
		"<ul><li>a<li>b</ul>":                   "<ul><li>a<li>| b</li></li></ul>",
		"<pre>a\r\nb\rc&#10;<i>\v</i>d</pre>":   "<pre>a<br>| b<br>| c<br><i><br></i>| d</pre>",
		"a</br><textarea>\n[bob]: x</textarea>": "a<br> | [bob]: x",
	} {
		if got := im.SafeHTML(in, "| "); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}

// FuzzSafeHTML checks that the result has only simple elements, each of which is closed, and
// that it does not change if it is reduced again.
func FuzzSafeHTML(f *testing.F) {
	for _, s := range []string{"<b>a", "</b>", "<!--x-->", "<script>a</script>", "<p a=b>&lt;", "<textarea>", "<svg><style><!--</style>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := im.SafeHTML(in, "")
		if again := im.SafeHTML(got, ""); again != got && utf8.ValidString(in) {
			t.Errorf("%q became %q and then %q", in, got, again)
		}
		if strings.ContainsAny(got, "\n\r\v\f\u0085\u2028\u2029") {
			t.Errorf("%q has line ends", got)
		}
		open := 0
		for rest := got; ; {
			_, after, found := strings.Cut(rest, "<")
			if !found {
				break
			}
			tag, next, closed := strings.Cut(after, ">")
			switch {
			case !closed || strings.ContainsAny(tag, " =\"'!?<"):
				t.Fatalf("%q has the tag %q", got, tag)
			case strings.HasPrefix(tag, "/"):
				open--
			case tag != "br":
				open++
			}
			rest = next
		}
		if open != 0 {
			t.Errorf("%q has %d open elements", got, open)
		}
	})
}
