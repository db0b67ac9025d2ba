package sip

import (
	"runtime"
	"strings"
	"testing"
)

// A NUL may be the second half of a quoted pair in a quoted string, and nothing
// else: not behind a backslash that is itself escaped, nor outside of quotes.
func TestNULAndQuotedPairs(t *testing.T) {
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

// What a message costs in memory grows with its length and no faster: these are
// as long as one may be, and made of what is taken apart most often.
func TestNoMessageIsExpensive(t *testing.T) {
	const size = 64 << 10
	for name, tc := range map[string]struct{ before, again string }{
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
		raw := request("MESSAGE sip:b@b SIP/2.0", "Via: SIP/2.0/UDP a", tc.before+strings.Repeat(tc.again, size/len(tc.again)), "", "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Parse(raw, false)
		if err == nil {
			_, _ = new(Request).Read(m)
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / size; n > 128 {
			t.Errorf("%s: %d bytes are allocated for each that was received", name, n)
		}
	}
}
