package auth

import (
	"strings"
	"testing"
)

const minimal = `username="alice",realm="sip.test",nonce="n",uri="sip:bob@sip.test",response="ABCDEF"`

func TestParseCredentials(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     credentials
	}{
		{"as short as possible", `Digest ` + minimal, credentials{}},
		{"spaces and tabs everywhere", "  \tDIGEST\t \t" + strings.NewReplacer("=", " \t= ", ",", " ,\t ").Replace(minimal) + "\t ", credentials{}},
		{"empty list elements", `digest ,, ` + minimal + `, ,`, credentials{}},
		{"parts in capitals", `Digest ` + strings.NewReplacer("username", "UserName", "uri", "URI").Replace(minimal), credentials{}},
		{"unknown parts", `Digest ` + minimal + `, opaque="a,b=\"c", stale=false, auth-param=x`, credentials{}},
		{"with a count", `Digest ` + minimal + `,qop=auth,nc=0000000a,cnonce="c"`, credentials{qop: "auth", ncText: "0000000a", cnonce: "c"}},
		{"tokens in quotes", `Digest ` + minimal + `,qop="AUTH",nc="00000001",algorithm="md5"`, credentials{qop: "auth", ncText: "00000001"}},
		{"an algorithm", `Digest ` + minimal + `, algorithm=sha-256`, credentials{algorithm: SHA256}},
		{"an unknown algorithm", `Digest ` + minimal + `, algorithm=MD5-sess`, credentials{algorithm: "MD5-SESS"}},
		{"escapes, which are hashed as they are", `Digest ` + minimal + `, cnonce="a\"b\\"`, credentials{cnonce: `a\"b\\`}},
		{"no quotes", `Digest ` + strings.ReplaceAll(minimal, `"`, "") + `,cnonce=a=b,opaque=`, credentials{cnonce: "a=b"}},
		{"other bytes than ASCII", `Digest ` + minimal + ", cnonce=\"\u00e4\xff\"", credentials{cnonce: "\u00e4\xff"}},
	} {
		tc.want.username, tc.want.realm, tc.want.nonceText, tc.want.uri = "alice", "sip.test", "n", "sip:bob@sip.test"
		tc.want.response = "abcdef"
		if tc.want.algorithm == "" {
			tc.want.algorithm = MD5
		}
		c, err := parseCredentials(tc.in)
		if err != nil || c == nil || *c != tc.want {
			t.Errorf("%s: got %+v, %v", tc.name, c, err)
		}
	}
}

func TestParseCredentialsRefuses(t *testing.T) {
	for _, tc := range []struct{ in, why string }{
		{`Digest ` + minimal + `, username="bob"`, "username occurs twice"},
		{`Digest ` + minimal + `, USERNAME="bob"`, "username occurs twice"},
		{`Digest ` + minimal + `, opaque="", opaque=""`, "opaque occurs twice"},
		{`Digest ` + minimal + ` qop=auth`, "no comma after response"},
		{`Digest ` + minimal + `, cnonce="c"qop=auth`, "no comma after cnonce"},
		{`Digest ` + minimal + `, cnonce="c`, "cnonce: quotes are not closed"},
		{`Digest ` + minimal + `, cnonce="c\`, "cnonce: quotes are not closed"},
		{`Digest ` + minimal + `, cnonce="c\"`, "cnonce: quotes are not closed"},
		{`Digest ` + minimal + ", cnonce=\"a\nb\"", "cnonce: control character in quotes"},
		{`Digest ` + minimal + ", cnonce=\"a\\\x00\"", "cnonce: control character in quotes"},
		{`Digest ` + minimal + `, cnonce=a"b"`, "cnonce: the value should stand in quotes"},
		{`Digest ` + minimal + `, cnonce=a\b`, "cnonce: the value should stand in quotes"},
		{`Digest ` + minimal + ", cnonce=a\x00b", "cnonce: the value should stand in quotes"},
		{`Digest ` + minimal + `, stale`, "no name=value where one should be"},
		{`Digest ` + minimal + `, ="x"`, "no name=value where one should be"},
		{`Digest ` + minimal + `, "x"=y`, "no name=value where one should be"},
		{`Digest ` + minimal + `, cnonce="` + strings.Repeat("c", maxHeader) + `"`, "longer than 4096 bytes"},
	} {
		c, err := parseCredentials(tc.in)
		if c != nil || err == nil || err.Error() != tc.why {
			t.Errorf("%.150q: got %+v, %v, want %s", tc.in, c, err, tc.why)
		}
	}
}

// Credentials without a nonce or a response are those of a client that has not seen a
// challenge.
func TestEmptyCredentials(t *testing.T) {
	for _, in := range []string{
		"Digest", "Digest ", `Digest username="alice"`, `Digest username="alice",realm="sip.test",uri="sip:sip.test"`,
		`Digest username="alice",realm="sip.test",nonce="",uri="sip:sip.test",response=""`,
		`Digest username="alice",realm="sip.test",nonce="",uri="sip:sip.test",response="0123"`,
		`Digest username="alice",realm="sip.test",nonce="n",uri="sip:sip.test",response=""`,
		`Digest username="alice",realm="sip.test",nonce=,uri="sip:sip.test",response=`,
		`Digest username*=UTF-8''alice, realm="r", nonce="n", uri="u"`,
	} {
		if c, err := parseCredentials(in); c == nil || err != nil || !c.empty() {
			t.Errorf("%q: got %+v, %v", in, c, err)
		}
	}
	if c, err := parseCredentials("Digest " + minimal); err != nil || c.empty() {
		t.Errorf("got %+v, %v", c, err)
	}
}

// Another scheme is not an error (RFC 4475 section 3.3.7).
func TestParseCredentialsOfOtherSchemes(t *testing.T) {
	for _, in := range []string{"", " ", "NoOneKnowsThisScheme opaque-data=here", "Basic YTpi", `Digestive username="x"`, `Digest,username="x"`} {
		if c, err := parseCredentials(in); c != nil || err != nil {
			t.Errorf("%q: got %+v, %v", in, c, err)
		}
	}
}

func TestParseCount(t *testing.T) {
	for in, want := range map[string]uint32{"00000001": 1, "1": 1, "0000000A": 10, "ffffffff": 1<<32 - 1, "00000000": 0} {
		if n, err := parseCount(in); n != want || err != nil {
			t.Errorf("%s: got %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"", "g", "-1", "+1", "0x1", "000000001", "1_0", " 1"} {
		if n, err := parseCount(in); err == nil {
			t.Errorf("%q: accepted as %d", in, n)
		}
	}
}

func TestSameTarget(t *testing.T) {
	for _, tc := range []struct {
		digest, request string
		same            bool
	}{
		{"sip:bob@sip.test", "sip:bob@sip.test", true},
		{"sip:bob@SIP.test", "sip:%62ob@sip.test", true},
		{"sip:bob@sip.test:5070;transport=tcp", "sip:bob@sip.test", true},
		{"sip:sip.test;transport=tcp", "sip:sip.test;transport=tcp", true}, // baresip
		{"sip:sip.test", "sip:sip.test;transport=tcp", true},
		{"sip:127.0.0.1:25060", "sip:bob@sip.test", true}, // SIPp
		{"sips:bob@sip.test", "sip:bob@sip.test", true},
		{"tel:+15551234", "tel:+15551234", true},
		{"sip:bob@sip.test", "sip:carol@sip.test", false},
		{"sip:bob@sip.test", "sip:Bob@sip.test", true}, // unless users differ by case
		{"sip:bob@other.example", "sip:Bob@other.example", false},
		{"sip:9901#1@sip.test", "sip:9901%231@sip.test", true},
		{"sip:jürgen@sip.test", "sip:j%C3%BCrgen@sip.test", true},
		{"sip:bob@sip.test", "sip:bob@second.test", false},
		{"tel:+15551234", "tel:+15551235", false},
		{"tel:+15551234", "sip:bob@sip.test", false},
		{"*", "sip:bob@sip.test", false},
		{"sip:bob@sip.test", "*", false},
	} {
		if got := sameTarget(ours, tc.digest, tc.request); got != tc.same {
			t.Errorf("%s for %s: %v", tc.digest, tc.request, got)
		}
	}
}

// FuzzParseCredentials: credentials that were parsed are the same when they are written
// and parsed again.
func FuzzParseCredentials(f *testing.F) {
	for _, l := range fromClients(f) {
		f.Add(l.value)
	}
	for _, s := range []string{"Digest", `Digest ,,username="a\"b" , realm = r`, "Basic YTpi", `Digest ` + minimal + `, nc=1, qop="auth,auth-int"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCredentials(s)
		if c == nil || err != nil {
			return
		}
		text := `Digest username="` + c.username + `",realm="` + c.realm + `",nonce="` + c.nonceText + `",uri="` + c.uri +
			`",response="` + c.response + `",algorithm="` + string(c.algorithm) + `"`
		for name, v := range map[string]string{"qop": c.qop, "cnonce": c.cnonce, "nc": c.ncText} {
			if v != "" {
				text += "," + name + `="` + v + `"`
			}
		}
		if len(text) > maxHeader {
			return
		}
		again, err := parseCredentials(text)
		if err != nil || again == nil || *again != *c {
			t.Fatalf("%q is written as %q, which is read as %+v, %v", s, text, again, err)
		}
	})
}

func TestRealmOf(t *testing.T) {
	for value, want := range map[string]string{
		`Digest username="b", realm="example.org", nonce="n", uri="sip:x", response="r"`: "example.org",
		`Digest realm="example.org"`:   "example.org",
		`Basic realm="example.org"`:    "",
		`Digest realm="example.org" "`: "",
		"":                             "",
	} {
		if got := RealmOf(value); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}
