package transport

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"silod/sip"
)

// Settings are what Configure can change while the layer runs.
type Settings struct {
	Certificate *tls.Certificate // of TLS and WSS listeners, with its chain and key; nil: unchanged
}

// Configure replaces the settings, for new connections.
func (l *Layer) Configure(set Settings) {
	if set.Certificate != nil {
		l.certificate.Store(set.Certificate)
	}
}

// serverTLS is TLS 1.2 and newer with Go's choice of ciphers, which has no weak one.
// No WebSocket client is asked for a certificate: browsers would ask people.
func (l *Layer) serverTLS(t sip.Transport) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.certificate.Load(), nil },
	}
	if t == sip.TLS && l.opt.ClientCAs != nil {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// PeerNames are the names in the certificate that the peer of a TLS connection has
// shown us, where that is one of ClientCAs'.
func (l *Layer) PeerNames(f sip.Flow) []string {
	if f.Transport != sip.TLS || l.opt.ClientCAs == nil {
		return nil
	}
	if c := l.conns.get(f); c != nil {
		return c.names()
	}
	return nil
}

// namesOf finds the identities of a client (RFC 5922 section 7.1): SIP domains and DNS
// names. What the certificate says that it is for does not count (section 7.2 wants
// nothing, and public authorities make none for clients).
func (l *Layer) namesOf(p pipe) []string {
	bp, ok := p.(*bytePipe)
	if !ok {
		return nil
	}
	tc, ok := bp.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	chain := tc.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: l.opt.ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		l.opt.Log.Info("client certificate not trusted", "source", tc.RemoteAddr(), "error", err)
		return nil
	}
	var names []string
	for _, u := range chain[0].URIs {
		if u.Scheme == "sip" && !strings.Contains(u.Opaque, "@") {
			names = append(names, u.Opaque)
		}
	}
	return append(names, chain[0].DNSNames...)
}

// clientTLS checks the peer's certificate against the host that was asked for.
func (l *Layer) clientTLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: l.opt.RootCAs}
}
