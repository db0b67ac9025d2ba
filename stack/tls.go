package stack

import (
	"crypto/tls"
	"fmt"
)

// SetCertificate reads the certificate, with its chain, and key that TLS and WSS
// listeners show from now on. Connections that are open stay as they are. After an
// error the old certificate is still in use.
func (s *Stack) SetCertificate(certFile, keyFile string) error {
	c, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	s.certificate.Store(&c)
	return nil
}

// serverTLS is TLS 1.2 and newer with Go's choice of ciphers, which has no weak one.
func (s *Stack) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil },
	}
}

// clientTLS checks the peer's certificate against the host that was asked for.
func (s *Stack) clientTLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: s.cfg.RootCAs}
}
