package transport

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"

	"silod/sip"
)

// Settings are the parameters that Configure changes.
type Settings struct {
	// Certificates of TLS and WSS listeners, with chains and keys. A client gets one with the
	// name that it asks for (SNI), otherwise the first. Empty: unchanged.
	Certificates []tls.Certificate

	// Proxies are the networks from which PROXY headers and X-Forwarded-For are believed.
	Proxies []netip.Prefix

	Limits Limits
}

// Configure changes the settings for new connections. It may be called while the layer runs.
// If there are TLS or WSS listeners, it must be called with a certificate before Listen.
func (l *Layer) Configure(set Settings) {
	if len(set.Certificates) > 0 {
		l.certificates.Store(newCertificates(set.Certificates))
	}
	l.proxies.Store(&set.Proxies)
	l.setLimits(set.Limits)
}

// serverTLS returns the configuration of a listener: TLS 1.2 or newer, with Go's default
// cipher suites. WebSocket clients are not asked for a certificate, because a browser would
// ask its user.
func (l *Layer) serverTLS(t sip.Transport) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.certificates.Load().choose(hello), nil
		},
	}
	if t == sip.TLS && l.opt.ClientCAs != nil {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// PeerNames returns the names in the client certificate of a TLS connection, if an authority
// in ClientCAs issued it.
func (l *Layer) PeerNames(f sip.Flow) []string {
	if f.Transport != sip.TLS || l.opt.ClientCAs == nil {
		return nil
	}
	if c := l.conns.get(f); c != nil {
		return c.names()
	}
	return nil
}

// peerNames returns the SIP domains and DNS names in the certificate of a client (RFC 5922
// section 7.1). The extended key usage is not checked: section 7.2 does not require it, and
// public authorities do not issue certificates for clients.
func (l *Layer) peerNames(p pipe) []string {
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
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: l.opt.ClientCAs, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		l.opt.Log.Info("client certificate not trusted", "source", tc.RemoteAddr(), "error", err)
		return nil
	}
	return certifiedNames(chain[0])
}

// certifiedNames returns the SIP domains and DNS names in a certificate (RFC 5922 section 7.1).
func certifiedNames(c *x509.Certificate) []string {
	var names []string
	for _, u := range c.URIs {
		if u.Scheme == "sip" && !strings.Contains(u.Opaque, "@") {
			names = append(names, u.Opaque)
		}
	}
	return append(names, c.DNSNames...)
}

// clientTLS returns the configuration of a connection to a server with the given name.
func (l *Layer) clientTLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: l.opt.RootCAs}
}
