package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"silod/config"
)

// leafName returns the common name of the certificate that the daemon shows for a name.
func (s *served) leafName(network, name string) string {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.addr(network).String(), &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // only its name counts
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestSNI checks that clients get the certificate with the name that they ask for, over tls and
// wss, and that a reload replaces all certificates or none.
func TestSNI(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, dns := range map[string][]string{
		"one": {"example.org", "sip.example.org"}, "two": {"*.example.net", "example.net"}, "three": {"voip.example.net"}, "four": nil,
	} {
		ca.make(name, &x509.Certificate{DNSNames: dns})
	}
	ca.make("old.example.com", &x509.Certificate{}) // a common name only
	lines := func(tables ...string) []string {
		all := []string{"sip.listen = ['tls:127.0.0.1:0', 'wss:127.0.0.1:0']", "sip.domains = ['example.org']"}
		for _, name := range tables {
			all = append(all, "[[sip.certificate]]", "certificate = '"+ca.file(name+".pem")+"'", "private_key = '"+ca.file(name+".key")+"'")
		}
		return all
	}
	dir := t.TempDir()
	s := serveFile(t, dir, lines("one", "two", "three", "old.example.com")...)
	check := func(want map[string]string) {
		t.Helper()
		for name, cert := range want {
			for _, network := range []string{"tls", "wss"} {
				if got := s.leafName(network, name); got != cert {
					t.Errorf("%s, %q: the certificate is %q, want %q", network, name, got, cert)
				}
			}
		}
	}
	first := map[string]string{
		"example.org": "one", "sip.example.org": "one", "EXAMPLE.org": "one", "example.net": "two", "a.example.net": "two",
		"voip.example.net": "three", "old.example.com": "old.example.com",
		"": "one", "other.example": "one", "a.b.example.net": "one", "x.example.org": "one",
	}
	check(first)
	for _, bad := range [][]string{
		append(lines("two", "one"), "[[sip.certificate]]", "certificate = '"+ca.file("one.pem")+"'", "private_key = '"+ca.file("two.key")+"'"),
		append(lines("two", "one"), "[[sip.certificate]]", "certificate = '"+ca.file("five.pem")+"'", "private_key = '"+ca.file("two.key")+"'"),
		append(lines("two", "one"), "[[sip.certificate]]", "certificate = '"+ca.file("one.key")+"'", "private_key = '"+ca.file("one.key")+"'"),
		append(lines("two", "one"), "[[sip.certificate]]", "certificate = '"+ca.file("one.pem")+"'"),
	} {
		s.write(bad...)
		_, err := s.tryCall("reload")
		if err == nil || !strings.Contains(err.Error(), "sip.certificate[3]") || !strings.Contains(err.Error(), "silod.toml:") {
			t.Errorf("%q: %v", bad[len(bad)-3:], err)
		}
		check(first)
	}
	if got := s.reloadWith(lines("two", "one")...); fmt.Sprint(got) != "[sip.certificate now]" {
		t.Errorf("changed: %q", got)
	}
	check(map[string]string{"": "two", "example.org": "one", "voip.example.net": "two", "old.example.com": "two"})
	s.reloadWith(append([]string{
		"sip.tls_certificate = '" + ca.file("four.pem") + "'", "sip.tls_private_key = '" + ca.file("four.key") + "'",
	}, lines("two", "one")...)...)
	check(map[string]string{"": "four", "other.example": "four", "example.org": "one", "a.example.net": "two"})
}

// TestCertificateProblems checks that silod check, and thus the start, names the key and the line
// of each file that is missing or wrong.
func TestCertificateProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeCertificate(t, dir, 1)
	makeCertificate(t, dir, 2)
	s := &served{t: t, dir: dir}
	s.write("[sip]", "listen = ['tls:127.0.0.1:0']", "tls_certificate = '1.pem'", "tls_private_key = '2.key'",
		"[[sip.certificate]]", "certificate = '3.pem'", "private_key = '1.key'",
		"[[sip.certificate]]", "certificate = '1.pem'", "private_key = '3.key'",
		"[[sip.certificate]]", "certificate = '1.key'", "private_key = '1.key'",
		"[[sip.certificate]]", "certificate = '1.pem'", "private_key = '1.pem'")
	_, err := load(dir+"/silod.toml", config.Dirs{State: dir, Runtime: dir})
	want := []string{
		"4: sip.tls_private_key: " + dir + "/2.key: tls: private key does not match public key",
		"6: sip.certificate[1].certificate: " + dir + "/3.pem: no such file or directory",
		"10: sip.certificate[2].private_key: " + dir + "/3.key: no such file or directory",
		"12: sip.certificate[3].certificate: " + dir + "/1.key: no certificate in PEM form",
		"16: sip.certificate[4].private_key: " + dir + "/1.pem: tls: found a certificate rather than a key in the PEM for the private key",
	}
	if err == nil {
		t.Fatal("no problems found")
	}
	got := strings.Split(strings.ReplaceAll(err.Error(), dir+"/silod.toml:", ""), "\n")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
