package transaction

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"

	"github.com/coder/websocket"
)

// certificate makes a self-signed one for 127.0.0.1 and writes it as PEM files.
func certificate(t *testing.T, serial int64) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "silod test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	c, _ := x509.ParseCertificate(der)
	pool.AddCert(c)
	return certFile, keyFile, pool
}

func keyPair(t *testing.T, certFile, keyFile string) *tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// runningAll starts a stack on every stream transport.
func runningAll(t *testing.T, cfg Config, h Handler) (*stack, map[sip.Transport]netip.AddrPort) {
	t.Helper()
	cert, key, pool := certificate(t, 1)
	if cfg.RootCAs == nil {
		cfg.RootCAs = pool
	}
	cfg.Grace = time.Second
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		cfg.Listen = append(cfg.Listen, transport.Endpoint{Transport: tr, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	}
	s := newStack(cfg, h)
	s.cas = pool
	s.sockets.Configure(transport.Settings{Certificate: keyPair(t, cert, key)})
	start(t, s)
	addrs := map[sip.Transport]netip.AddrPort{}
	for _, e := range s.sockets.Endpoints() {
		addrs[e.Transport] = e.Addr
	}
	return s, addrs
}

func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func dialWS(t *testing.T, tr sip.Transport, to netip.AddrPort) *websocket.Conn {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure()}}
	c, _, err := websocket.Dial(t.Context(), tr.String()+"://"+to.String()+"/", &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestWebSocket(t *testing.T) {
	flows := make(chan sip.Flow, 10)
	s, addrs := runningAll(t, Config{}, serve(func(r *ServerTx) {
		flows <- r.Flow
		r.Respond(200, string(r.Request.Body))
	}))
	// Clients that connect and say nothing stop nobody else.
	for _, tr := range []sip.Transport{sip.WS, sip.WSS, sip.TLS} {
		for range 20 {
			dial(t, "tcp", addrs[tr])
		}
	}
	for _, tr := range []sip.Transport{sip.WS, sip.WSS} {
		for kind, name := range map[websocket.MessageType]string{websocket.MessageText: "text", websocket.MessageBinary: "binary"} {
			c := dialWS(t, tr, addrs[tr])
			m := "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/WS x7.invalid;branch=z9hG4bK" + name + "\r\n" +
				"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\r\nno length"
			if err := c.Write(t.Context(), kind, []byte(m)); err != nil {
				t.Fatal(err)
			}
			_, got, err := c.Read(t.Context())
			if err != nil || !strings.HasPrefix(string(got), "SIP/2.0 200 no length\r\n") {
				t.Errorf("%s, %s: %q, %v", tr, name, got, err)
			}
			flow := <-flows
			if flow.Transport != tr || !s.sockets.Alive(flow) {
				t.Errorf("flow %s", flow)
			}
			results := make(chan Result, 1)
			if _, err := s.Send(&sip.Message{Method: "MESSAGE", URI: "sip:x@x7.invalid", Body: []byte("\xff\x00")}, sip.AoR{}, flow, results); err != nil {
				t.Fatal(err)
			}
			kind, got, err := c.Read(t.Context())
			if err != nil || kind != websocket.MessageBinary || !strings.Contains(string(got), "Via: SIP/2.0/"+tr.ViaName()+" ") {
				t.Errorf("%v %q, %v", kind, got, err)
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
			if r := <-results; r.Err == nil {
				t.Error("a call outlived its connection")
			}
		}
	}
}

func TestWebSocketNeedsTheSubprotocol(t *testing.T) {
	_, addrs := runningAll(t, Config{}, serve(func(*ServerTx) {}))
	_, res, err := websocket.Dial(t.Context(), "ws://"+addrs[sip.WS].String()+"/", nil)
	if err == nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", res, err)
	}
	plain, err := http.Get("http://" + addrs[sip.WS].String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if text, _ := io.ReadAll(plain.Body); plain.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "RFC 7118") {
		t.Errorf("a browser is told %d %s", plain.StatusCode, text)
	}
}

func TestTLSAndCertificateReload(t *testing.T) {
	s, addrs := runningAll(t, Config{}, serve(func(r *ServerTx) { r.Respond(200, "") }))
	serial := func(c *tls.Conn) int64 { return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	secure := func() *tls.Conn {
		c, err := tls.Dial("tcp", addrs[sip.TLS].String(), insecure())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ask := func(c *tls.Conn, branch string) {
		send(t, c, strings.ReplaceAll(message(c, branch), "/TCP ", "/TLS "))
		if r := hear(t, c, patience); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
	}
	old := secure()
	ask(old, "z9hG4bK1")
	cert, key, _ := certificate(t, 2)
	s.sockets.Configure(transport.Settings{Certificate: keyPair(t, cert, key)})
	if n := serial(secure()); n != 2 {
		t.Errorf("a new connection sees certificate %d", n)
	}
	ask(old, "z9hG4bK2")                                                                                                                     // the open connection has not noticed
	if c, err := tls.Dial("tcp", addrs[sip.TLS].String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // the point of the test
		_ = c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// We open connections ourselves too, once a peer, and check its certificate.
func TestConnectOut(t *testing.T) {
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS} {
		far, addrs := runningAll(t, Config{}, serve(func(r *ServerTx) { r.Respond(200, r.Flow.Transport.String()) }))
		near, _ := runningAll(t, Config{RootCAs: far.cas}, serve(func(*ServerTx) {}))
		for range 2 {
			flow, err := near.sockets.Connect(t.Context(), transport.Target{Transport: tr, Addr: addrs[tr], Name: "127.0.0.1"})
			if err != nil {
				t.Fatal(err)
			}
			res, err := near.Do(t.Context(), &sip.Message{Method: "MESSAGE", URI: "sip:b@127.0.0.1", Headers: []sip.Header{
				{Name: "From", Value: "<sip:a@a>;tag=1"}, {Name: "To", Value: "<sip:b@b>"}, {Name: "Call-ID", Value: "1"}, {Name: "CSeq", Value: "1 MESSAGE"},
			}}, flow)
			if err != nil || res.Status != 200 || res.Reason != tr.String() {
				t.Errorf("%s: %+v, %v", tr, res, err)
			}
		}
		if n := far.sockets.Connections(); n != 1 {
			t.Errorf("%s: %d connections were opened", tr, n)
		}
		if _, err := near.sockets.Connect(t.Context(), transport.Target{Transport: sip.TLS, Addr: addrs[sip.TLS], Name: "elsewhere.example"}); err == nil {
			t.Error("a certificate for another host was accepted")
		}
	}
}
