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

// authority signs client certificates.
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

// client makes a certificate that is for servers, as public authorities make them.
func (a *authority) client(t *testing.T, ends time.Time, uri string, names ...string) tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "common.example"}, DNSNames: names, URIs: []*url.URL{u},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// TestPeerNames: a client certificate names its owner if an authority of ours has
// made it, and is no reason to refuse a connection otherwise.
func TestPeerNames(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	var s *stack
	names := make(chan []string, 1)
	s, addrs := runningAll(t, Config{ClientCAs: pool}, serve(func(r *ServerTx) {
		names <- s.PeerNames(r.Flow)
		r.Respond(200, "")
	}))
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, tc := range []struct {
		name string
		cert []tls.Certificate
		want string
	}{
		{"ours", []tls.Certificate{ours.client(t, soon, "sip:example.org", "proxy.example.org", "b.example.org")}, "example.org proxy.example.org b.example.org"},
		{"a person's", []tls.Certificate{ours.client(t, soon, "sip:alice@example.org", "x.example.org")}, "x.example.org"},
		{"another scheme", []tls.Certificate{ours.client(t, soon, "https://example.org/")}, ""},
		{"expired", []tls.Certificate{ours.client(t, past, "sip:example.org", "proxy.example.org")}, ""},
		{"of another authority", []tls.Certificate{theirs.client(t, soon, "sip:example.org", "proxy.example.org")}, ""},
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
				if got := hear(t, c, patience); status(got) != "200" {
					t.Fatalf("answered\n%s", got)
				}
				if got := <-names; !slices.Equal(got, strings.Fields(tc.want)) {
					t.Errorf("names %q, want %q", got, tc.want)
				}
			}
		})
	}
}
