package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"1d": 24 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "168h": 168 * time.Hour,
	} {
		d, err := ParseDuration(text)
		if err != nil || d != want {
			t.Errorf("%s: %v %v", text, d, err)
		}
		if back, err := ParseDuration(formatDuration(d)); err != nil || back != d {
			t.Errorf("%s is written %s: %v", text, formatDuration(d), err)
		}
	}
	for _, text := range []string{"", "5", "s", "-5s", "-1d", "1.5d", "d", "999999999999d", "200000w", "1d2h"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
	for d, want := range map[time.Duration]string{2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 10 * time.Minute: "10m", 0: "0s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestListen(t *testing.T) {
	for text, want := range map[string]string{
		"udp:127.0.0.1:5060": "udp:127.0.0.1:5060", "UDP:127.0.0.1": "udp:127.0.0.1:5060",
		"tcp:0.0.0.0:0": "tcp:0.0.0.0:0", "tls:[::1]": "tls:[::1]:5061", "ws:[2001:db8::1]:8080": "ws:[2001:db8::1]:8080",
		"wss:192.0.2.1": "wss:192.0.2.1:443", "ws:192.0.2.1": "ws:192.0.2.1:80", "tcp:localhost:5070": "tcp:127.0.0.1:5070",
		"udp:[::ffff:192.0.2.1]:5060": "udp:192.0.2.1:5060", "udp:[fe80::1%eth0]:5060": "udp:[fe80::1%eth0]:5060",
	} {
		if l, err := ParseListen(text); err != nil || l.String() != want {
			t.Errorf("%s: got %v (%v), want %s", text, l, err, want)
		}
	}
	for _, text := range []string{
		"", "127.0.0.1:5060", "udp", "udp:", "udp:5060", "udp:example.org:5060", "sctp:127.0.0.1:5060",
		"udp:::1:5060", "udp:::1", "udp:127.0.0.1:65536", "udp:127.0.0.1:sip", "udp:*:5060", "udp:localhosts",
	} {
		if l, err := ParseListen(text); err == nil {
			t.Errorf("%q is accepted as %v", text, l)
		}
	}
}

func TestPeers(t *testing.T) {
	const text = `[{Network:10.0.0.0/8 Name: Identity:false Relay:false Digest:false}` +
		` {Network:192.0.2.1/32 Name: Identity:true Relay:true Digest:false}` +
		` {Network:2001:db8::/32 Name: Identity:false Relay:false Digest:true}` +
		` {Network:invalid Prefix Name:proxy.example.org Identity:true Relay:false Digest:false}]`
	c := mustParse(t, `
		auth.trusted = ["10.0.0.0/8", " 192.0.2.1  relay identity ", "2001:db8::/32 digest", "tls:proxy.example.org identity"]
		sip = {listen = ["tls:127.0.0.1"], tls_certificate = "/c.pem", tls_private_key = "/k.pem"}`)
	if got := fmt.Sprintf("%+v", c.Auth.Trusted); got != text {
		t.Errorf("got %s", got)
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"0": {}, "20/10m": {20, 10 * time.Minute}, "1/1s": {1, time.Second}, " 5 / 7d ": {5, 7 * 24 * time.Hour},
	} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: %v, %v", text, r, err)
		}
		var again Rate
		if err := again.UnmarshalText([]byte(r.text())); err != nil || again != r {
			t.Errorf("%q is written %q: %v, %v", text, r.text(), again, err)
		}
	}
	for _, text := range []string{"", "20", "/1m", "0/1m", "-1/1m", "1.5/1m", "20/", "20/10", "20/0s", "20/1us", "20/-1m", "99999999999/1m", "20/10m/1"} {
		if err := new(Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestStoreOn checks the default, every 4xx and 5xx but 401, 403, 407, 413 and 420, and a
// set with an exclusion.
func TestStoreOn(t *testing.T) {
	stores := Default(testDirs).Silo.StoreOn
	excepted := map[int]bool{401: true, 403: true, 407: true, 413: true, 420: true}
	for status := 100; status < 700; status++ {
		want := status >= 400 && status < 600 && !excepted[status]
		if stores.Matches(status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
	only := mustParse(t, `silo.store_on = ["!486", "480", "302"]`).Silo.StoreOn
	for status, want := range map[int]bool{480: true, 302: true, 486: false, 481: false} {
		if only.Matches(status) != want {
			t.Errorf("480 and 302 only, %d: %v", status, !want)
		}
	}
	for _, text := range []string{"", "!", "xx", "44xx", "2xx", "202", "600", "48", "0480", "-480", "4XX ", "+48"} {
		if err := new(StatusRule).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	m := MediaTypes{"application/im-iscomposing+xml", "image/*"}
	for ct, want := range map[string]bool{
		"application/im-iscomposing+xml": true, "Application/IM-isComposing+XML; charset=utf-8": true,
		"image/png": true, "IMAGE/PNG ;x=y": true, "image/": false, "image": false, "text/plain": false, "": false,
	} {
		if m.Match(ct) != want {
			t.Errorf("%q: %v", ct, !want)
		}
	}
}

func TestDateFormat(t *testing.T) {
	at := time.Date(2026, 11, 1, 3, 4, 5, 0, time.FixedZone("CET", 3600))
	for format, want := range map[string]string{
		"":                     "",
		"%a %b %e %H:%M:%S %Y": "Sun Nov  1 03:04:05 2026",
		"%c":                   "Sun Nov  1 03:04:05 2026",
		"%Y-%m-%dT%T%z":        "2026-11-01T03:04:05+0100",
		"100 %% am %d.%m. %Z":  "100 % am 01.11. CET",
		"15:04 Jan 2006 %y":    "15:04 Jan 2006 26",
		"%F %R %D %I%p %j %A":  "2026-11-01 03:04 11/01/26 03AM 305 Sunday",
	} {
		var f DateFormat
		if err := f.UnmarshalText([]byte(format)); err != nil {
			t.Errorf("%s: %v", format, err)
		} else if got := f.Format(at); got != want {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
	for _, format := range []string{"%", "%Y%", "%5Y", "%Ey", "a\r\nb"} {
		if err := new(DateFormat).UnmarshalText([]byte(format)); err == nil {
			t.Errorf("%q is accepted", format)
		}
	}
}

// oddPasswords are passwords, by the way in which a URL may have them.
var oddPasswords = map[string]string{
	"p%w": "p%w", "100%": "100%", "%zz": "%zz", "%": "%", "a%4": "a%4", "%40": "@", "a%40b%zz": "a@b%zz", "%2540": "%40", "%%41": "%A",
	"p#w": "p#w", "p?w": "p?w", "?": "?", "p/w": "p/w", "5/x?w": "5/x?w", "p@w": "p@w", "p@h/d?w": "p@h/d?w", "p:w": "p:w", "p w": "p w", "pä€w": "pä€w", "p+w": "p+w",
	"p&w=x": "p&w=x", "p'\"\\w": "p'\"\\w", "p,w": "p,w", "[p]": "[p]",
}

func TestDBURL(t *testing.T) {
	for _, tt := range []struct{ text, url, redacted string }{
		{"sqlite:silod.db", "sqlite:silod.db", "sqlite:silod.db"},
		{"sqlite:/var/lib/silod/./silod.db", "sqlite:/var/lib/silod/silod.db", "sqlite:/var/lib/silod/silod.db"},
		{"sqlite:///etc/kamailio/kamailio.db", "sqlite:/etc/kamailio/kamailio.db", "sqlite:/etc/kamailio/kamailio.db"},
		{"sqlite:////etc/kamailio.db", "sqlite:/etc/kamailio.db", "sqlite:/etc/kamailio.db"},
		{"text:///var/dbtext/ser", "text:/var/dbtext/ser", "text:/var/dbtext/ser"},
		{"text:dir", "text:dir", "text:dir"},
		{"postgresql://u:p@h/d", "postgres://u:p@h/d", "postgres://u:xxxxx@h/d"},
		{"postgres:///d?host=/run/pg&password=p", "postgres:///d?host=/run/pg&password=p", "postgres:///d?host=/run/pg&password=xxxxx"},
		{"postgres://u@%2Frun%2Fpg/d", "postgres://u@%2Frun%2Fpg/d", "postgres://u@%2Frun%2Fpg/d"},
		{"mysql://kamailio:k@m:a/r%w@h1:3306,[::1]:3307/kamailio", "mysql://kamailio:k%40m%3Aa%2Fr%25w@h1:3306,[::1]:3307/kamailio", "mysql://kamailio:xxxxx@h1:3306,[::1]:3307/kamailio"},
	} {
		u, err := ParseDBURL(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if u.URL() != tt.url || u.Redacted() != tt.redacted {
			t.Errorf("%s: got %s and %s", tt.text, u.URL(), u)
		}
	}
	u, err := ParseDBURL("mysql://kam%40ilio:k@m:a/r%w@h1:3306,[::1]/kamailio?tls=true")
	if err != nil || u.Engine != "mysql" || u.User != "kam@ilio" || u.Password() != "k@m:a/r%w" ||
		strings.Join(u.Hosts, " ") != "h1:3306 [::1]" || u.Database != "kamailio" || u.Params != "tls=true" {
		t.Errorf("got %+v %v", []any{u.Engine, u.User, u.Password(), u.Hosts, u.Database, u.Params}, err)
	}
	for written, password := range oddPasswords {
		for _, params := range []string{"", "?tls=true", "?a=b@c/d"} {
			u, err := ParseDBURL("mysql://kam:" + written + "@h:3306/d" + params)
			if err != nil || u.User != "kam" || u.Password() != password || strings.Join(u.Hosts, " ") != "h:3306" || u.Database != "d" {
				if params == "?a=b@c/d" && strings.ContainsAny(written, "?@/") {
					continue // ambiguous
				}
				t.Errorf("%s%s: got %q, %v, %q, %v", written, params, u.User, u.Hosts, u.Password(), err)
			}
			again, err := ParseDBURL(u.URL())
			if err != nil || again.Password() != u.Password() || strings.Contains(u.String(), password) && len(password) > 1 {
				t.Errorf("%s: written as %s: %v", written, u.URL(), err)
			}
		}
	}
	for _, text := range []string{"mysql://kam:pssst/d", "mysql://pssst", "mysql://kam:pssst@h:x/d", "mysql://pssst h/d", "pssst", "mysql:kam:pssst@h/d"} {
		if _, err := ParseDBURL(text); err == nil || strings.Contains(err.Error(), "pssst") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"silod.db", "sqlite:", "sqlite:///", "sqlite:/x?mode=memory", "text:", "mysql:u:p@h/d", "mysql://h", "mysql://h/",
		"mysql://h:0/d", "mysql://h:x/d", "mysql://h,/d", "mysql://h/d/e", "postgres://h/d?a%zz", "redis://h/0", "mysql://h\n/d",
	} {
		if u, err := ParseDBURL(text); err == nil {
			t.Errorf("%q is accepted as %v", text, u)
		}
	}
}

func TestTemplate(t *testing.T) {
	value := func(name, arg string) string { return "<" + name + arg + ">" }
	for text, want := range map[string]string{
		"":                           "",
		"*** User $rU is offline!":   "*** User <rU> is offline!",
		"$fu$tu":                     "<fu><tu>",
		"$(rU)s and $(hdr(X-Name))s": "<rU>s and <hdrX-Name>s",
		"$hdr(Subject), $$5, $fn.":   "<hdrSubject>, $5, <fn>.",
		"$$$$":                       "$$",
		"ünï $ci":                    "ünï <ci>",
	} {
		p, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := p.Expand(value); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	for _, v := range Variables() {
		text := "$" + v.Name
		if v.Name == "hdr" {
			text += "(To)"
		}
		p, err := ParseTemplate("a" + text + "-b")
		if err != nil || len(p.Parts()) != 3 || p.Parts()[1].Name != v.Name {
			t.Errorf("%s: %v %v", text, p.Parts(), err)
		}
	}
	for _, text := range []string{"$", "a $ b", "$x", "$RU", "$(ru", "$()", "$hdr", "$hdr()", "$hdr(a b)", "$hdr(X", "$avp(x)", "$rud"} {
		if p, err := ParseTemplate(text); err == nil {
			t.Errorf("%q is accepted as %+v", text, p.Parts())
		}
	}
}

// TestHeaders includes a value that tries to add a header field.
func TestHeaders(t *testing.T) {
	var h HeaderTemplate
	if err := h.UnmarshalText([]byte("X-From : $fn\r\nContact: <sip:a@b>;x=y\nX-Empty: $ct\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	got := h.Expand(func(name, _ string) string {
		if name == "fn" {
			return "eve\r\nRoute: <sip:evil@example.org>\x00"
		}
		return ""
	})
	want := []sip.Header{{Name: "X-From", Value: "eve  Route: <sip:evil@example.org>"}, {Name: "Contact", Value: "<sip:a@b>;x=y"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q", got)
	}
	var plain Headers
	if err := plain.UnmarshalText([]byte("P-Flags: $3")); err != nil || plain.List()[0] != (sip.Header{Name: "P-Flags", Value: "$3"}) {
		t.Errorf("got %q %v", plain.List(), err)
	}
	for _, text := range []string{"x", ": y", "a b: c", "X: a\x00b", "X: a\rb\n", "Via: x", "v: x", "From: x", "X: 1\r\n folded"} {
		if err := plain.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %q", text, plain.List())
		}
	}
}

func TestRules(t *testing.T) {
	for _, tt := range []struct {
		rule      string
		good, bad []string
	}{
		{"sip", []string{"sip:a.example.org", "SIPS:a@b:5061;transport=tcp", "sip:[::1]:5060", "sip:u:p@192.0.2.1?h=v"}, []string{"", "sip:", "tel:1", "sip:@h", "sip:a b@h", "sip:h:x", "<sip:a@b>", "sip:u@"}},
		{"host", []string{"example.org", "a_b", "192.0.2.1", "::1", "[::1]", "example.org."}, []string{"", "-a", "a..b", "a b", "[192.0.2.1]", "[x]", strings.Repeat("a", 64), strings.Repeat("a.", 200)}},
		{"sender", []string{"all", "Local", "nobody", "sip:alice@example.org", "alice@[::1]", "@example.org"}, []string{"", "everyone", "alice", "@", "@a b", "tel:1"}},
		{"public", []string{"sip.example.org", "192.0.2.1:5060", "[::1]:5060"}, []string{"", "h:0", "h:99999", "a b"}},
		{"http", []string{"127.0.0.1:9090", ":9090", "localhost:0", "[::1]:80"}, []string{"", "9090", "h:", "h:x", "h:65536"}},
		{"account", []string{"kamailio", "1000", "_x-y"}, []string{"", "a:b", "a b", "a/b"}},
		{"user", []string{"chat-manager", "a.b+c"}, []string{"", "a@b", "sip:a", "a b"}},
		{"socket", []string{"a", "/run/x.sock"}, []string{"udp:", "udp:127.0.0.1:8080", "a\nb"}},
		{"indent", []string{"\t", "  "}, []string{"x", "\n"}},
		{"realm", []string{"example.org", "Ünï"}, []string{`a"b`, "a\nb", "\xff"}},
		{"dir", []string{"/tmp/"}, []string{"", "tmp"}},
	} {
		for _, s := range tt.good {
			if !rules[tt.rule].ok(s) {
				t.Errorf("%s: %q is rejected", tt.rule, s)
			}
		}
		for _, s := range tt.bad {
			if rules[tt.rule].ok(s) {
				t.Errorf("%s: %q is accepted", tt.rule, s)
			}
		}
	}
}

func TestDefaultDirs(t *testing.T) {
	env := map[string]string{"HOME": "/home/alice"}
	check := func(want Dirs) {
		t.Helper()
		if got := DefaultDirs(func(name string) string { return env[name] }); got != want {
			t.Errorf("%v: got %+v, want %+v", env, got, want)
		}
	}
	tmp := fmt.Sprintf("/tmp/silod-%d", os.Getuid())
	check(Dirs{"/home/alice/.local/state/silod", tmp})
	env["XDG_STATE_HOME"], env["XDG_RUNTIME_DIR"] = "/s", "/r"
	check(Dirs{"/s/silod", "/r/silod"})
	env["STATE_DIRECTORY"], env["RUNTIME_DIRECTORY"] = "/var/lib/silod:/var/lib/b", "relative"
	check(Dirs{"/var/lib/silod", "/r/silod"})
	env = nil
	check(Dirs{"/var/lib/silod", tmp})
}

// TestMakeDir includes directories that another user could have created in /tmp.
func TestMakeDir(t *testing.T) {
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "silod")
	for range 2 {
		if err := MakeDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("writable by others: %v", err)
	}
	link := filepath.Join(parent, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(link); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(file); err == nil {
		t.Error("a file is accepted")
	}
}

func TestNearest(t *testing.T) {
	words := func(yield func(string) bool) {
		for _, w := range []string{"add_date", "add_contact", "max_messages", "url"} {
			if !yield(w) {
				return
			}
		}
	}
	for word, want := range map[string]string{
		"add_dat": "add_date", "adddate": "add_date", "maxmessage": "max_messages", "uri": "url", "xyz": "", "": "",
		strings.Repeat("a", 1000): "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
