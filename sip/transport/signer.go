package transport

import (
	"crypto"
	"crypto/tls"
	"io"
	"runtime"
)

// signers bound the processor time of TLS handshakes. Nearly all of it is the signature with
// the key of the certificate, a millisecond for RSA with 2,048 bits. So many are made at the
// same time that one processor is left for messages.
var signers = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))

// A boundedSigner makes signatures when one of signers is free.
type boundedSigner struct{ key crypto.Signer }

// boundSigner returns a certificate with a boundedSigner as private key.
func boundSigner(c tls.Certificate) tls.Certificate {
	if key, ok := c.PrivateKey.(crypto.Signer); ok {
		c.PrivateKey = boundedSigner{key}
	}
	return c
}

func (s boundedSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s boundedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signers <- struct{}{}
	defer func() { <-signers }()
	return s.key.Sign(random, digest, opts)
}
