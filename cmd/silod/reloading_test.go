package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/config"
	"silod/mi"
	"silod/mi/client"
)

// serveFile starts a daemon with a configuration file.
func serveFile(t *testing.T, dir string, lines ...string) *served {
	t.Helper()
	s := &served{t: t, dir: dir, log: new(syncBuffer)}
	s.write(lines...)
	cfg, err := load(filepath.Join(dir, "silod.toml"), config.Dirs{State: dir, Runtime: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s.begin(cfg, filepath.Join(dir, "silod.toml"))
}

func (s *served) write(lines ...string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "silod.toml"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// reloadWith reloads other lines and returns the changes: "silo.add_date now".
func (s *served) reloadWith(lines ...string) []string {
	s.t.Helper()
	s.write(lines...)
	var changes []string
	for _, n := range s.call("reload").Nodes {
		changes = append(changes, fmt.Sprint(n.Value, " ", n.Attrs[0].Value))
	}
	return changes
}

// merged replaces the lines of base that set the same keys as lines.
func merged(base, lines []string) []string {
	key := func(line string) string { k, _, _ := strings.Cut(line, " ="); return k }
	return append(slices.DeleteFunc(slices.Clone(base), func(b string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return key(l) == key(b) })
	}), lines...)
}

// reloadable returns the keys with the tag reload.
func reloadable() []string {
	var keys []string
	var walk func(section string, t reflect.Type)
	walk = func(section string, t reflect.Type) {
		for f := range t.Fields() {
			switch {
			case f.Anonymous:
				walk(section, f.Type)
			case f.Tag.Get("reload") == "yes":
				keys = append(keys, section+"."+f.Tag.Get("toml"))
			}
		}
	}
	for f := range reflect.TypeFor[config.Config]().Fields() {
		if name := f.Tag.Get("toml"); name != "" {
			walk(name, f.Type)
		}
	}
	return keys
}

// secure opens a TLS connection to the daemon.
func (s *served) secure() *tls.Conn {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.addr("tls").String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is self-signed
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// serial returns the serial number of the current certificate.
func (s *served) serial() int64 {
	s.t.Helper()
	return s.secure().ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// answersIn reports whether a client with its reply FIFO in dir gets a reply.
func (s *served) answersIn(dir string) bool {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), client.Target{FIFO: filepath.Join(s.dir, "silod.fifo"), ReplyDir: dir, Timeout: time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	_, err = c.Call(ctx, "uptime")
	return err == nil
}

// raw returns a reply in classic lines.
func (s *served) raw(command, arg string) string {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), client.Target{Socket: filepath.Join(s.dir, "control.sock")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	var b strings.Builder
	if err := c.Raw(s.t.Context(), &b, command, mi.Arg{Value: arg}); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// makeCertificate writes SERIAL.pem and SERIAL.key.
func makeCertificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		fmt.Sprint(serial, ".pem"): {Type: "CERTIFICATE", Bytes: cert}, fmt.Sprint(serial, ".key"): {Type: "EC PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
