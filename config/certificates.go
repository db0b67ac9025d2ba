package config

import (
	"fmt"
	"slices"
)

// A Certificate is a table [[sip.certificate]]: the paths of a certificate with its chain and of
// its private key.
type Certificate struct {
	Certificate string `toml:"certificate" is:"path"`
	PrivateKey  string `toml:"private_key" is:"path"`
}

// A KeyPair is a certificate of the configuration with the keys that name its files.
type KeyPair struct {
	Certificate
	CertificateKey, PrivateKeyKey string
}

// KeyPairs returns the certificates for tls and wss. The first is the default one.
func (c *Config) KeyPairs() []KeyPair {
	var pairs []KeyPair
	if c.SIP.TLSCertificate != "" {
		pairs = append(pairs, KeyPair{
			Certificate{c.SIP.TLSCertificate, c.SIP.TLSPrivateKey}, "sip.tls_certificate", "sip.tls_private_key",
		})
	}
	for i, cert := range c.SIP.Certificates {
		table := tableKey("sip.certificate", i)
		pairs = append(pairs, KeyPair{cert, table + ".certificate", table + ".private_key"})
	}
	return pairs
}

func (c *Config) checkCertificates(report reporter) {
	if (c.SIP.TLSCertificate == "") != (c.SIP.TLSPrivateKey == "") {
		report("sip.tls_certificate", "expected both tls_certificate and tls_private_key, but only one is set")
	}
	for i, cert := range c.SIP.Certificates {
		if cert.Certificate == "" || cert.PrivateKey == "" {
			report(tableKey("sip.certificate", i), "expected both certificate and private_key")
		}
	}
}

// proxyNotes returns notes about proxies that are also trusted peers, or the whole Internet.
func (c *Config) proxyNotes() []Problem {
	var notes []Problem
	for _, n := range c.SIP.ProxyProtocol {
		if n.Bits() == 0 {
			notes = append(notes, c.Problem("sip.proxy_protocol", fmt.Sprintf("%q: every host can claim any address", n.text())))
		}
	}
	for _, p := range c.Auth.Trusted {
		overlaps := func(n Network) bool { return p.Name == "" && n.Overlaps(p.Network.Prefix) }
		if slices.ContainsFunc(c.SIP.ProxyProtocol, overlaps) {
			notes = append(notes, c.Problem("auth.trusted", fmt.Sprintf("%q overlaps sip.proxy_protocol: "+
				"a connection for which the proxy names no client has the rights of the peer", p.text())))
		}
	}
	return notes
}
