package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"silod/config"
)

// certificates reads the certificates for tls and wss, the default one first. A problem names
// the key of the file that has it.
func certificates(cfg *config.Config) (list []tls.Certificate, problems []config.Problem) {
	for _, p := range cfg.KeyPairs() {
		chain, err := os.ReadFile(p.Certificate.Certificate)
		if err == nil {
			err = checkCertificate(chain)
		}
		if err != nil {
			problems = append(problems, cfg.Problem(p.CertificateKey, fmt.Sprintf("%s: %v", p.Certificate.Certificate, cause(err))))
			continue
		}
		key, err := os.ReadFile(p.PrivateKey)
		if err == nil {
			var pair tls.Certificate
			if pair, err = tls.X509KeyPair(chain, key); err == nil {
				list = append(list, pair)
				continue
			}
		}
		problems = append(problems, cfg.Problem(p.PrivateKeyKey, fmt.Sprintf("%s: %v", p.PrivateKey, cause(err))))
	}
	return list, problems
}

// checkCertificate returns an error if a file has no certificate, or if the first one cannot be
// read.
func checkCertificate(chain []byte) error {
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			_, err := x509.ParseCertificate(block.Bytes)
			return err
		}
	}
	return errors.New("no certificate in PEM form")
}

// cause returns the error of a file without its path, which the problem names.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
