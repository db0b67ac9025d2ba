package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A peer is a SIP server with a raw socket: it reads messages and answers with the text of a
// test.
type peer struct {
	t       *testing.T
	network string
	addr    string
	ca      string // the file of its certificate, for tls
	close   func() // ends listening
	got     chan wire
}

// A wire is a message that arrived at a peer.
type wire struct {
	text string
	send func(string)
	drop func()
}

func (w wire) answer(status string, more ...string) { w.send(answer(w.text, status, more...)) }

func newPeer(t *testing.T, network string) *peer {
	t.Helper()
	p := &peer{t: t, network: network, got: make(chan wire, 1000)}
	if network == "udp" {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		p.addr = pc.LocalAddr().String()
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				p.got <- wire{string(buf[:n]), func(s string) { pc.WriteTo([]byte(s), from) }, func() {}}
			}
		}()
		return p
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if network == "tls" {
		var cert tls.Certificate
		cert, p.ca = certificate(t)
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	p.close = func() { l.Close() }
	t.Cleanup(p.close)
	p.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				r := bufio.NewReader(c)
				for {
					m, err := readMessage(r)
					if err != nil {
						return
					}
					p.got <- wire{m, func(s string) { c.Write([]byte(s)) }, func() { c.Close() }}
				}
			}()
		}
	}()
	return p
}

// certificate returns a certificate for 127.0.0.1, and the file of its CA.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "silod"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// next returns the next message, which must begin with start.
func (p *peer) next(start string) wire {
	p.t.Helper()
	select {
	case w := <-p.got:
		if !strings.HasPrefix(w.text, start) {
			p.t.Errorf("got %q, want %s", w.text, start)
		}
		return w
	case <-time.After(10 * time.Second):
		p.t.Fatalf("no %s arrived", start)
		return wire{}
	}
}

// agent returns a user agent of bob at the peer.
func (p *peer) agent(cfg sipSettings) *userAgent {
	p.t.Helper()
	cfg.aor = "sip:bob@example.org"
	if cfg.timeout == 0 {
		cfg.timeout = 10 * time.Second
	}
	var err error
	if cfg.server, err = parseEndpoint(p.network + ":" + p.addr); err != nil {
		p.t.Fatal(err)
	}
	if p.ca != "" {
		if cfg.roots, err = readRoots(p.ca); err != nil {
			p.t.Fatal(err)
		}
	}
	u, err := newUserAgent(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(u.close)
	return u
}

// registered registers the user agent and returns its REGISTER, whose send reaches it.
func (p *peer) registered(u *userAgent) wire {
	p.t.Helper()
	ws := make(chan wire, 1)
	go func() {
		defer close(ws)
		w := p.next("REGISTER")
		w.answer("200 OK")
		ws <- w
	}()
	if res, _, err := u.register(p.t.Context(), time.Minute); err != nil || !res.IsSuccess() {
		p.t.Fatalf("register returns %v, %v", res, err)
	}
	return <-ws
}

// text returns a MESSAGE to bob; id is part of its branch and Call-ID.
func text(id, body string) string {
	return "MESSAGE sip:bob@127.0.0.1:9 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK" + id + ";rport\r\n" +
		"Max-Forwards: 70\r\nFrom: \"Al \\\"the\\\" Ice\" <sip:alice@example.org>;tag=a1\r\nTo: <sip:bob@example.org>\r\n" +
		"Call-ID: call-" + id + "\r\nCSeq: 7  MESSAGE\r\nContent-Type: text/plain\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}
