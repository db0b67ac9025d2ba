package transport

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
)

// A certificates is the certificates of TLS and WSS listeners, by the names for which clients
// ask (SNI, RFC 6066 section 3).
type certificates struct {
	all    []tls.Certificate // the first is for clients that ask for no name, or for another
	byName map[string][]*tls.Certificate
}

func newCertificates(all []tls.Certificate) *certificates {
	cs := &certificates{all: make([]tls.Certificate, len(all)), byName: make(map[string][]*tls.Certificate)}
	for i := range all {
		cs.all[i] = boundSigner(all[i])
		for _, name := range serverNames(all[i].Leaf) {
			name = strings.ToLower(name)
			cs.byName[name] = append(cs.byName[name], &cs.all[i])
		}
	}
	return cs
}

// serverNames returns the names for which a certificate is used. Self-made certificates may
// have a common name only.
func serverNames(leaf *x509.Certificate) []string {
	if leaf == nil {
		return nil
	}
	names := certifiedNames(leaf)
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		return []string{leaf.Subject.CommonName}
	}
	return names
}

// choose returns the certificate for a client: the first one that has the name and a key that the
// client can use, so that a name may have an ECDSA and an RSA key.
func (cs *certificates) choose(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(hello.ServerName)
	candidates := cs.byName[name]
	if len(candidates) == 0 {
		if _, domain, ok := strings.Cut(name, "."); ok {
			candidates = cs.byName["*."+domain] // for one label (RFC 9525 section 6.3)
		}
	}
	probe := *hello
	probe.ServerName = "" // it has been compared
	for _, c := range candidates {
		if probe.SupportsCertificate(c) == nil {
			return c
		}
	}
	if len(candidates) > 0 {
		return candidates[0]
	}
	return &cs.all[0]
}
