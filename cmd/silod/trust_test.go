package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An authority issues certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// make signs a certificate and writes it and its key to files. The first one is
// self-signed.
func (a *authority) make(name string, tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestTrustByCertificate checks that a peer is identified by the name in its TLS
// certificate, and that clients without a certificate or with another one are strangers.
func TestTrustByCertificate(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.make("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	for _, a := range []*authority{ours, theirs} {
		a.make("proxy", &x509.Certificate{DNSNames: []string{"proxy.example.org"}})
		a.make("other", &x509.Certificate{DNSNames: []string{"other.example.org"}})
	}
	s := serveIn(t, t.TempDir(), "'udp:127.0.0.1:0', 'tls:127.0.0.1:0'", withDigest,
		"sip.tls_certificate = '"+ours.file("server.pem")+"'", "sip.tls_private_key = '"+ours.file("server.key")+"'",
		"auth.trusted_ca = '"+ours.file("ca.pem")+"'", "auth.trusted = ['tls:proxy.example.org identity relay']", "auth.relay = 'trusted'")
	s.addUsers()
	f := listen(t, "127.0.0.3")
	for _, tc := range []struct {
		name    string
		by      *authority
		trusted bool
	}{{"proxy", ours, true}, {"other", ours, false}, {"proxy", theirs, false}, {"", nil, false}} {
		cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the server is not under test
		if tc.by != nil {
			pair, err := tls.LoadX509KeyPair(tc.by.file(tc.name+".pem"), tc.by.file(tc.name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		c, err := tls.Dial("tcp", s.addr("tls").String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		u := newUA(t, c, alice)
		over := func(request string) string { return strings.Replace(request, "SIP/2.0/TCP", "SIP/2.0/TLS", 1) }
		local, foreign := 407, 407
		if tc.trusted {
			local, foreign = 202, 200
		}
		if got := u.ask(over(u.text(bob, "hello"))); status(got) != local {
			t.Errorf("%q: answered\n%s", tc.name, got)
		}
		if got := u.ask(over(u.text("sip:dan@"+f.addr(), "hello"))); status(got) != foreign {
			t.Errorf("%q to another domain: answered\n%s", tc.name, got)
		}
	}
}

// TestBehindAProxy runs silod as the application server of a proxy that registers users,
// asserts the identity of senders, and forwards messages to devices.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	proxy := listen(t, "127.0.0.7")
	s := serveUsers(t, "auth.trusted = ['127.0.0.7 identity']", "silo.outbound_proxy = 'sip:"+proxy.addr()+"'")
	in := s.phoneFrom("tcp", "127.0.0.7", "alice")
	in.aor = "sip:anonymous@anonymous.invalid"
	register := in.request("REGISTER", "sip:127.0.0.1", bob, "", "Path: <sip:"+proxy.addr()+";lr>", "Supported: path",
		"Contact: <sip:bob@192.0.2.1:5070>", "Expires: 300")
	if got := in.ask(in.text(bob, "for later", "P-Asserted-Identity: <"+alice+">")); status(got) != 202 {
		t.Fatalf("answered\n%s", got)
	}
	if got := in.ask(register); status(got) != 200 || header(got, "Path") == "" {
		t.Fatalf("a third party's REGISTER was answered\n%s", got)
	}
	if m := proxy.next(); body(m) != "for later" || !strings.HasPrefix(m, "MESSAGE "+bob+" SIP/2.0\r\n") {
		t.Errorf("the proxy got\n%s", m)
	}
	s.settled()
	if got := in.ask(in.text(bob, "at once", "P-Asserted-Identity: <"+alice+">")); status(got) != 200 {
		t.Errorf("answered\n%s", got)
	}
	if m := in.next(); body(m) != "at once" || header(m, "Route") != "<sip:"+proxy.addr()+";lr>" || !strings.HasPrefix(m, "MESSAGE sip:bob@192.0.2.1:5070 ") {
		t.Errorf("by Path the proxy got\n%s", m)
	}
}
