package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// FuzzParse parses any bytes: the file is valid, or its problems have line numbers that
// exist.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", string(full), "\xef\xbb\xbf[log]\nlevel = 'x'", "silo.add_date = 3\nsilo.texts.a.b = 1",
		"[[silo]]\n[[silo]]\n", "[imc]\ntexts = { a = '1', \"b.c\" = \"\"\"\n2\"\"\" }\n", "\"\" = 1", "[a.b.c]\nd = []\n",
		"sip.listen = ['udp:0.0.0.0']", "[[sip.certificate]]\nprivate_key = 5\n[[sip.certificate]]\ncertificate = 'a'\n", "[silo]\nexpire_time = 9223372036854775807\nstore_on = [[], {}]\n", "a = \x00",
		"mi.fifo_mode = 0o777\nmi.fifo_user = -1\n", "\"silo\" = { add_date = 1.0, add_contact = 2026-01-01 }",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("t.toml", data, testDirs)
		if err == nil {
			if d := Diff(c, c); len(d) > 0 {
				t.Errorf("it differs from itself: %v", d)
			}
			c.Notes()
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || len(e.Problems) == 0 || c != nil {
			t.Fatalf("refused without a problem: %v", err)
		}
		lines := 1 + strings.Count(string(data), "\n")
		for i, p := range e.Problems {
			if p.Text == "" || p.Line < 0 || p.Line > lines {
				t.Errorf("line %d of %d: %+v", p.Line, lines, p)
			}
			if i > 0 && p.Line < e.Problems[i-1].Line {
				t.Errorf("lines out of order: %v", err)
			}
		}
	})
}

// FuzzTemplate parses the text of a template's parts: it is the same template.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "*** User $rU is offline!", "$$", "$(fu)x$hdr(A)$(hdr(B))", "$", "$(", "$hdr(", "é$Ts"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseTemplate(s)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, part := range p.Parts() {
			switch {
			case part.Name == "":
				again.WriteString(strings.ReplaceAll(part.Literal, "$", "$$"))
			case part.Arg != "":
				again.WriteString("$(" + part.Name + "(" + part.Arg + "))")
			default:
				again.WriteString("$(" + part.Name + ")")
			}
		}
		q, err := ParseTemplate(again.String())
		if err != nil || !slices.Equal(p.Parts(), q.Parts()) {
			t.Errorf("%q has %+v, parsed again %+v (%v)", s, p.Parts(), q.Parts(), err)
		}
	})
}

// FuzzHeaders checks that no value of a variable can add a header field.
func FuzzHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"X-A: $fn\r\nY: b\r\n", "eve\r\nVia: x"}, {"A: $hdr(X)$fn", "\x00\n"}, {"A:$$", ""}, {": x", "y"}, {"Z: \r\n x", "\x7f"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, s, value string) {
		var h HeaderTemplate
		if h.UnmarshalText([]byte(s)) != nil {
			return
		}
		for _, field := range h.Expand(func(string, string) string { return value }) {
			if !isToken(field.Name) || field.Value == "" || strings.ContainsAny(field.Value, "\r\n\x00") {
				t.Errorf("%q with %q yields %q", s, value, field)
			}
		}
	})
}

// FuzzDBURL checks that a URL is parsed back to the same URL, and that Redacted does not
// depend on the password.
func FuzzDBURL(f *testing.F) {
	for _, seed := range []string{
		"sqlite:///a/b", "text:x", "mysql://u:p@h/d", "postgres://u:p@[::1]:1,b/d?x=y&password=z", "mysql://a:b@c@d/e", "x://",
		"postgres://%2Fa/b", "sqlite:/.", "sqlite:a/..", "mysql://kam:100%@h:3306,[::1]/d?tls=true", "postgres://u:p?w/x@y@%2Frun/d?a=%zz",
		"mysql://u:5/x?w@h/d", "mysql://a:b", "mysql://h/d?x=y@z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseDBURL(s)
		if err != nil {
			return
		}
		if again, err := ParseDBURL(u.URL()); err != nil || again.Redacted() != u.Redacted() || again.Password() != u.Password() {
			t.Errorf("%q is read back as %q (%v)", s, again, err)
		}
		other := u
		if other.raw = ""; u.password != "" {
			other.password = "another"
		}
		if u.Path == "" && other.Redacted() != u.Redacted() {
			t.Errorf("%q is printed as %s, which depends on its password", s, u)
		}
	})
}

// FuzzListen checks that the text of an address is parsed back to the same address.
func FuzzListen(f *testing.F) {
	for _, seed := range []string{"udp:127.0.0.1:5060", "wss:[::1]", "tls:localhost", "udp:[fe80::1%a]:0", "ws:[::ffff:1.2.3.4]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseListen(s)
		if err != nil {
			return
		}
		if again, err := ParseListen(l.String()); err != nil || again != l {
			t.Errorf("%q is printed as %q, which is read as %v (%v)", s, l, again, err)
		}
	})
}
