package transaction

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// An authority issues client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = sign(t, tmpl, nil)
	return a
}

// sign returns a certificate issued by an authority, or a self-signed one if that is nil.
func sign(t *testing.T, tmpl *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = &authority{tmpl, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client returns a certificate for a client. As one from a public authority, it has the
// extended key usage of a server.
func (a *authority) client(t *testing.T, expires time.Time, uri string, names ...string) tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "common.example"}, DNSNames: names, URIs: []*url.URL{u},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: expires, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// TestPeerNames checks that PeerNames returns the names in a certificate from a trusted
// authority, and that the connection is accepted with any other certificate.
func TestPeerNames(t *testing.T) {
	trusted, other := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(trusted.cert)
	var s *layers
	names := make(chan []string, 1)
	s, addrs := runAllTransports(t, config{ClientCAs: pool}, serve(func(tx *ServerTx) {
		names <- s.PeerNames(tx.Flow)
		tx.Respond(200, "")
	}))
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, tc := range []struct {
		name string
		cert []tls.Certificate
		want string
	}{
		{"trusted authority", []tls.Certificate{trusted.client(t, soon, "sip:example.org", "proxy.example.org", "b.example.org")}, "example.org proxy.example.org b.example.org"},
		{"of a user", []tls.Certificate{trusted.client(t, soon, "sip:alice@example.org", "x.example.org")}, "x.example.org"},
		{"another scheme", []tls.Certificate{trusted.client(t, soon, "https://example.org/")}, ""},
		{"expired", []tls.Certificate{trusted.client(t, past, "sip:example.org", "proxy.example.org")}, ""},
		{"other authority", []tls.Certificate{other.client(t, soon, "sip:example.org", "proxy.example.org")}, ""},
		{"none", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := insecure()
			cfg.Certificates = tc.cert
			c, err := tls.Dial("tcp", addrs[sip.TLS].String(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i := range 2 {
				send(t, c, strings.Replace(message(c, "z9hG4bKn"+string(rune('0'+i))), "/TCP ", "/TLS ", 1))
				if got := receive(t, c, timeout); status(got) != "200" {
					t.Fatalf("answered\n%s", got)
				}
				if got := <-names; !slices.Equal(got, strings.Fields(tc.want)) {
					t.Errorf("names %q, want %q", got, tc.want)
				}
			}
		})
	}
}
