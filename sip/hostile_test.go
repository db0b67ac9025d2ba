package sip

import (
	"runtime"
	"strings"
	"testing"
)

// TestNULInQuotedPair checks that a NUL is accepted as the second character of a quoted pair
// in a quoted string, but not after an escaped backslash and not outside quotes.
func TestNULInQuotedPair(t *testing.T) {
	for value, clean := range map[string]string{
		`"a` + "\\\x00" + `b"`:    `"a` + "\\\x00" + `b"`,
		`"a\\` + "\x00" + `b"`:    `"a\\ b"`,
		`a` + "\\\x00" + `b`:      `a\ b`,
		`"a" ` + "\\\x00":         `"a" \ `,
		`"\"` + "\\\x00" + `"`:    `"\"` + "\\\x00" + `"`,
		`"a\"` + "\x00" + `"`:     `"a\" "`,
		`""` + "\\\x00" + `" b"`:  `""\ " b"`,
		"\"a\\\r\nRoute: b\"":     `"a\  Route: b"`,
		"\"\\\\\"\\\n\"x\\\x00\"": "\"\\\\\"\\ \"x\\\x00\"",
	} {
		if got := string(appendClean(nil, value)); got != clean {
			t.Errorf("%q is written as %q, want %q", value, got, clean)
		}
		_, err := Parse(request("MESSAGE sip:b@b SIP/2.0", "Via: SIP/2.0/UDP a", "Subject: "+value, "", ""), false)
		if !strings.Contains(value, "\n") && (err == nil) != (value == clean) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestParseMemory checks that the memory for parsing a message grows only linearly with its
// length. The messages have the maximum length and consist of elements that are split.
func TestParseMemory(t *testing.T) {
	const size = 64 << 10
	for name, tc := range map[string]struct{ before, repeated string }{
		"folded lines":     {"Subject: x", "\r\n x"},
		"folds of nothing": {"Subject: x", "\r\n "},
		"lines":            {"", "a:\n"},
		"no colons":        {"", "a\n"},
		"Vias":             {"", "v:SIP/2.0/UDP a\n"},
		"commas":           {"Route: ", "a,"},
		"quotes":           {"Route: ", `",`},
		"brackets":         {"Route: ", "<,"},
		"escapes":          {`Route: "`, `\"`},
	} {
		raw := request("MESSAGE sip:b@b SIP/2.0", "Via: SIP/2.0/UDP a", tc.before+strings.Repeat(tc.repeated, size/len(tc.repeated)), "", "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Parse(raw, false)
		if err == nil {
			_, _ = new(Request).Read(m)
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / size; n > 128 {
			t.Errorf("%s: %d bytes are allocated for each received one", name, n)
		}
	}
}
