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

// certificate writes a self-signed certificate for 127.0.0.1 and its key to PEM files.
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

// keyPair loads a certificate and its key.
func keyPair(t *testing.T, certFile, keyFile string) []tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{c}
}

// runAllTransports runs layers with a socket for each transport until the test ends.
func runAllTransports(t *testing.T, cfg config, h Handler) (*layers, map[sip.Transport]netip.AddrPort) {
	t.Helper()
	cert, key, pool := certificate(t, 1)
	if cfg.RootCAs == nil {
		cfg.RootCAs = pool
	}
	cfg.Grace = time.Second
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		cfg.Listen = append(cfg.Listen, transport.Endpoint{Transport: tr, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	}
	s := newLayers(cfg, h)
	s.cas = pool
	s.sockets.Configure(transport.Settings{Certificates: keyPair(t, cert, key)})
	start(t, s)
	addrs := map[sip.Transport]netip.AddrPort{}
	for _, e := range s.sockets.Endpoints() {
		addrs[e.Transport] = e.Addr
	}
	return s, addrs
}

// insecure returns a TLS configuration without verification of the server.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// dialWS opens a WebSocket over WS or WSS.
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
	s, addrs := runAllTransports(t, config{}, serve(func(tx *ServerTx) {
		flows <- tx.Flow
		tx.Respond(200, string(tx.Request.Body))
	}))
	// Connections without a message do not block others.
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
			if _, err := s.Send(&sip.Message{Method: "MESSAGE", URI: "sip:x@x7.invalid", Body: []byte("\xff\x00")}, "", flow, results); err != nil {
				t.Fatal(err)
			}
			kind, got, err := c.Read(t.Context())
			if err != nil || kind != websocket.MessageBinary || !strings.Contains(string(got), "Via: SIP/2.0/"+tr.ViaName()+" ") {
				t.Errorf("%v %q, %v", kind, got, err)
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
			if r := <-results; r.Err == nil {
				t.Error("a transaction did not end with its connection")
			}
		}
	}
}

func TestWebSocketSubprotocol(t *testing.T) {
	_, addrs := runAllTransports(t, config{}, serve(func(*ServerTx) {}))
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
		t.Errorf("a browser got %d %s", plain.StatusCode, text)
	}
}

func TestTLSAndCertificateReload(t *testing.T) {
	s, addrs := runAllTransports(t, config{}, serve(func(tx *ServerTx) { tx.Respond(200, "") }))
	serial := func(c *tls.Conn) int64 { return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	connect := func() *tls.Conn {
		c, err := tls.Dial("tcp", addrs[sip.TLS].String(), insecure())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	exchange := func(c *tls.Conn, branch string) {
		send(t, c, strings.ReplaceAll(message(c, branch), "/TCP ", "/TLS "))
		if r := receive(t, c, timeout); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
	}
	first := connect()
	exchange(first, "z9hG4bK1")
	cert, key, _ := certificate(t, 2)
	s.sockets.Configure(transport.Settings{Certificates: keyPair(t, cert, key)})
	if n := serial(connect()); n != 2 {
		t.Errorf("a new connection sees certificate %d", n)
	}
	exchange(first, "z9hG4bK2")                                                                                                              // the open connection is not affected
	if c, err := tls.Dial("tcp", addrs[sip.TLS].String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // the point of the test
		_ = c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// TestConnectOut checks that Connect opens one connection to a peer, and checks its
// certificate.
func TestConnectOut(t *testing.T) {
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS} {
		far, addrs := runAllTransports(t, config{}, serve(func(tx *ServerTx) { tx.Respond(200, tx.Flow.Transport.String()) }))
		near, _ := runAllTransports(t, config{RootCAs: far.cas}, serve(func(*ServerTx) {}))
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
