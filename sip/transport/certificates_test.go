package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"silod/sip"
)

// keyPair returns a self-signed certificate.
func keyPair(t *testing.T, key crypto.Signer, tmpl *x509.Certificate) tls.Certificate {
	t.Helper()
	tmpl.SerialNumber = big.NewInt(1)
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestChooseCertificate performs handshakes of clients that ask for a name, and of some that
// know RSA only.
func TestChooseCertificate(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	named := func(cn string, dns ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: dns}
	}
	domain := &x509.Certificate{Subject: pkix.Name{CommonName: "domain"}, URIs: []*url.URL{{Scheme: "sip", Opaque: "example.com"}}}
	l := New(Options{})
	l.Configure(Settings{Certificates: []tls.Certificate{
		keyPair(t, ec, named("default", "default.example")), keyPair(t, ec, named("ec", "example.org")), keyPair(t, rsaKey, named("rsa", "example.org")),
		keyPair(t, ec, named("any", "*.example.org")), keyPair(t, ec, named("ignored.example", "used.example")), keyPair(t, ec, domain),
		keyPair(t, rsaKey, named("only.example")),
	}})
	l.Configure(Settings{}) // changes nothing
	for _, tt := range []struct {
		name    string
		rsaOnly bool
		want    string
	}{
		{"example.org", false, "ec"},
		{"example.org", true, "rsa"},
		{"Example.ORG", false, "ec"},
		{"a.example.org", false, "any"},
		{"a.b.example.org", false, "default"},
		{"org", false, "default"},
		{"*.example.org", false, "any"},
		{"", false, "default"},
		{"192.0.2.1", false, "default"},
		{"used.example", false, "ignored.example"},
		{"ignored.example", false, "default"},
		{"example.com", false, "domain"},
		{"only.example", false, "only.example"},
	} {
		near, far := net.Pipe()
		go func() { _ = tls.Server(far, l.serverTLS(sip.TLS)).HandshakeContext(t.Context()) }()
		cfg := &tls.Config{ServerName: tt.name, InsecureSkipVerify: true}
		if tt.rsaOnly {
			cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}
		c := tls.Client(near, cfg)
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Errorf("%q: %v", tt.name, err)
		} else if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != tt.want {
			t.Errorf("%q: the certificate is %q, want %q", tt.name, got, tt.want)
		}
		_, _ = near.Close(), far.Close()
	}
}
