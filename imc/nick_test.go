package imc

import (
	"strings"
	"testing"
)

// TestParseNick checks which words can be nicknames.
func TestParseNick(t *testing.T) {
	for word, want := range map[string]string{
		"Bobby": "Bobby", "Zo\u00eb": "Zo\u00eb", "Zoe\u0308": "Zo\u00eb", "\uff22\uff4f\uff42": "Bob", "日本さん": "日本さん", "Иван": "Иван", "a.b-c_d": "a.b-c_d",
		"x1": "x1", "-": "", "שלום": "שלום", "नमस्ते": "नमस्ते",
	} {
		if got, refused := parseNick(word); refused != nil || got != want {
			t.Errorf("%q is %q, %v", word, got, refused)
		}
	}
	for _, word := range []string{
		"", "--", "-x", "x-", "[bob]", "bob]:", "bob:", "*bob", "~bob", "bob@example.test", "sip:bob", "<b>", "\u202ebob", "bo\u200bb", "bo\u00adb", "\u3164",
		"b\u0430b", "αbc", "z\u0301\u0302\u0303\u0304algo", "\u0301x", "bob\ufe0f", "\xff", "a\x00b", strings.Repeat("x", 33), strings.Repeat("x", 1<<20), "%41", `"b"`, "😀",
	} {
		if got, refused := parseNick(word); refused == nil {
			t.Errorf("%.40q is taken as %q", word, got)
		}
	}
}

// TestLookalike checks which names are taken for each other.
func TestLookalike(t *testing.T) {
	for _, pair := range [][2]string{
		{"bob", "BOB"},
		{"zo\u00eb", "zoe\u0308"},
		{"zo\u00eb", "zoe"},
		{"bob", "\uff42\uff4f\uff42"},
		{"alice", "al1ce"},
		{"alice", "aIice"},
		{"bob", "b0b"},
		{"bob", "bob_"},
		{"coco", "СОСО"},
		{"ann", "Апп"},
		{"tom", "torn"},
		{"stra\u00dfe", "strasse"},
		{"IVAN", "ivan"},
		{"oh", "ОН"},
	} {
		if a, b := lookalike(pair[0]), lookalike(pair[1]); a != b {
			t.Errorf("%s is %q, %s is %q", pair[0], a, pair[1], b)
		}
	}
	for _, pair := range [][2]string{{"bob", "rob"}, {"anna", "hanna"}, {"日本", "日本人"}} {
		if lookalike(pair[0]) == lookalike(pair[1]) {
			t.Errorf("%s and %s look alike", pair[0], pair[1])
		}
	}
}
