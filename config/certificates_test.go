package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertificates reads tables of certificates in all forms of TOML.
func TestCertificates(t *testing.T) {
	const two = `{certificate = "a.pem", private_key = "a.key"}, {certificate = "b.pem", private_key = "b.key"}`
	for name, text := range map[string]string{
		"tables":         "[sip]\nmax_handlers = 7\n[[sip.certificate]]\ncertificate = 'a.pem'\nprivate_key = 'a.key'\n[[ sip . certificate ]] # b\nprivate_key = 'b.key'\ncertificate = 'b.pem'\n[log]\nlevel = 'warn'\n",
		"before [sip]":   "[[sip.certificate]]\ncertificate = 'a.pem'\nprivate_key = 'a.key'\n[[sip.certificate]]\ncertificate = 'b.pem'\nprivate_key = 'b.key'\n[sip]\nmax_handlers = 7\n[log]\nlevel = 'warn'\n",
		"inline tables":  "sip.certificate = [" + two + "]\nsip.max_handlers = 7\nlog.level = 'warn'\n",
		"quoted header":  "[[sip.\"certificate\"]]\ncertificate = 'a.pem'\nprivate_key = 'a.key'\n[[sip.certificate]]\ncertificate = 'b.pem'\nprivate_key = 'b.key'\n[sip]\nmax_handlers = 7\n[log]\nlevel = 'warn'\n",
		"header in text": "[silo]\noffline_message = '''\n[[sip.certificate]]\n'''\n[[sip.certificate]]\ncertificate = 'a.pem'\nprivate_key = 'a.key'\n[[sip.certificate]]\ncertificate = 'b.pem'\nprivate_key = 'b.key'\n[sip]\nmax_handlers = 7\n[log]\nlevel = 'warn'\n",
	} {
		c := mustParse(t, text)
		for f := range c.fields() {
			if f.key == "sip.certificate" && f.format() != "["+two+"]" {
				t.Errorf("%s: %s", name, f.format())
			}
		}
		if c.SIP.MaxHandlers != 7 || c.Log.Level != "warn" {
			t.Errorf("%s: keys outside of the tables are lost", name)
		}
		if !c.IsSet("sip.certificate") || len(Diff(c, c)) != 0 {
			t.Errorf("%s: set %v, differs from itself: %v", name, c.IsSet("sip.certificate"), Diff(c, c))
		}
		if d := Diff(mustParse(t, "sip.max_handlers = 7\nlog.level = 'warn'\n"), c); len(d) == 0 || d[0].String() != "sip.certificate" {
			t.Errorf("%s: the difference is %v", name, d)
		}
	}
}

// TestKeyPairs checks the order of the certificates, the keys of their problems, and that
// relative paths start at the directory of the file.
func TestKeyPairs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "silod.toml")
	text := "[sip]\nlisten = ['tls:127.0.0.1:0', 'udp:127.0.0.1:0']\n\n[[sip.certificate]]\ncertificate = 'a.pem'\nprivate_key = '/a.key'\n\n" +
		"[[sip.certificate]]\nprivate_key = 'b.key'\n# the chain\ncertificate = 'b.pem'\n"
	load := func(text string) []KeyPair {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file, testDirs)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range c.KeyPairs() {
			lines := strings.Split(text, "\n")
			for key, path := range map[string]string{k.CertificateKey: k.Certificate.Certificate, k.PrivateKeyKey: k.PrivateKey} {
				if n := c.Problem(key, "").Line; n == 0 || !strings.Contains(lines[n-1], "'"+strings.TrimPrefix(path, dir+"/")+"'") {
					t.Errorf("%s is on line %d", key, n)
				}
			}
		}
		return c.KeyPairs()
	}
	got := load(text)
	want := []KeyPair{
		{Certificate{filepath.Join(dir, "a.pem"), "/a.key"}, "sip.certificate[1].certificate", "sip.certificate[1].private_key"},
		{Certificate{filepath.Join(dir, "b.pem"), filepath.Join(dir, "b.key")}, "sip.certificate[2].certificate", "sip.certificate[2].private_key"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v", got)
	}
	got = load(strings.Replace(text, "]\n", "]\ntls_certificate = 'c.pem'\ntls_private_key = 'c.key'\n", 1))
	if len(got) != 3 || got[0].PrivateKey != filepath.Join(dir, "c.key") || got[0].CertificateKey != "sip.tls_certificate" || got[2] != want[1] {
		t.Errorf("with tls_certificate: %+v", got)
	}
}

func TestProblemsOfCertificates(t *testing.T) {
	const tables = "[[sip.certificate]]\ncertificate = 'a.pem'\nprivate_key = 'a.key'\n"
	for _, tt := range []struct{ name, text, want string }{
		{"not a list", "sip.certificate = 'a.pem'", "t.toml:1: sip.certificate: expected tables: [[sip.certificate]]"},
		{"one table", "\n[sip.certificate]\ncertificate = 'a.pem'\nprivate_key = 'a.key'", "t.toml:2: sip.certificate: expected tables: [[sip.certificate]]"},
		{"no tables", "sip.certificate = ['a.pem']", "t.toml:1: sip.certificate[1]: expected a table: [[sip.certificate]]\nt.toml:1: sip.certificate[1]: expected both certificate and private_key"},
		{"only one file", tables + "[[sip.certificate]]\ncertificate = 'b.pem'", "t.toml:4: sip.certificate[2]: expected both certificate and private_key"},
		{"an empty path", tables + "[[sip.certificate]]\ncertificate = 'b.pem'\nprivate_key = ''", "t.toml:4: sip.certificate[2]: expected both certificate and private_key"},
		{"wrong type", tables + "\n[[sip.certificate]]\ncertificate = 'b.pem'\nprivate_key = 5\n" + tables, "t.toml:5: sip.certificate[2]: expected both certificate and private_key\nt.toml:7: sip.certificate[2].private_key: expected a path without control characters, got 5"},
		{"wrong key", tables + tables + "key = 'b.pem'\nprivate_kei = 'c'\n", "t.toml:7: sip.certificate[2].key: unknown key of [[sip.certificate]]\nt.toml:8: sip.certificate[2].private_kei: unknown key; did you mean private_key?"},
		{"a key after the tables", tables + "max_handlers = 7\n", "t.toml:4: sip.certificate[1].max_handlers: unknown key of [[sip.certificate]]"},
		{"control characters", tables + "[[sip.certificate]]\ncertificate = \"a\\n\"\nprivate_key = 'b'\n", "t.toml:5: sip.certificate[2].certificate: expected a path without control characters, got \"a\\n\""},
		{"bad network", "sip.proxy_protocol = ['10.0.0.1/8']", "t.toml:1: sip.proxy_protocol: expected a network or an address such as \"10.0.0.0/8\" or \"192.0.2.1\", got \"10.0.0.1/8\": bits are set after the prefix; did you mean \"10.0.0.0/8\"?"},
	} {
		_, err := Parse("t.toml", []byte(tt.text), testDirs)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got\n%v\nwant\n%s", tt.name, err, tt.want)
		}
	}
	var many strings.Builder
	for range 1000 {
		many.WriteString("[[sip.certificate]]\nno = 1\n")
	}
	_, err := Parse("t.toml", []byte(many.String()), testDirs)
	if err == nil || !strings.Contains(err.Error(), "and more: is this a silod.toml?") {
		t.Errorf("many problems: %v", err)
	}
}

// TestProxyNotes checks the note about a proxy that is also a trusted peer.
func TestProxyNotes(t *testing.T) {
	c := mustParse(t, "sip.proxy_protocol = ['127.0.0.1', '10.1.0.0/16', '::/0']\nauth.trusted = ['192.0.2.1', '10.0.0.0/8 identity', '127.0.0.2']\n")
	want := "t.toml:1: sip.proxy_protocol: \"::/0\": every host can claim any address\n" + `t.toml:2: auth.trusted: "10.0.0.0/8 identity" overlaps sip.proxy_protocol: ` +
		"a connection for which the proxy names no client has the rights of the peer"
	if err := c.Fail(c.Notes()...); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
