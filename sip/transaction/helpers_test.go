package transaction

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// A handler is a Handler of functions. Those that are nil accept everything or do nothing.
type handler struct {
	handle        func(*ServerTx)
	work          func(*ServerTx) Work // called after handle
	acceptSource  func(sip.Flow) bool
	trusted       func(sip.Flow) bool // nil: none is
	acceptRequest func(*sip.Request, sip.Flow) bool
	closed        func(sip.Flow)
}

func (h handler) AcceptSource(f sip.Flow) bool { return h.acceptSource == nil || h.acceptSource(f) }

func (h handler) Trusted(f sip.Flow) bool { return h.trusted != nil && h.trusted(f) }

func (h handler) AcceptRequest(r *sip.Request, f sip.Flow) bool {
	return h.acceptRequest == nil || h.acceptRequest(r, f)
}

func (h handler) Handle(tx *ServerTx) Work {
	if h.handle != nil {
		h.handle(tx)
	}
	if h.work != nil {
		return h.work(tx)
	}
	return nil
}

func (h handler) Done(*ServerTx) {}

func (h handler) FlowClosed(f sip.Flow) {
	if h.closed != nil {
		h.closed(f)
	}
}

// serve returns a handler that serves requests in Handle.
func serve(f func(*ServerTx)) Handler { return handler{handle: f} }

// serveLater returns a handler that serves requests in Work.
func serveLater(f func(*ServerTx)) Handler {
	return handler{work: func(tx *ServerTx) Work { return func(context.Context) { f(tx) } }}
}

// A config contains the options of both layers that tests use.
type config struct {
	Listen                            []transport.Endpoint
	RootCAs, ClientCAs                *x509.CertPool
	MaxHandlers, MaxConnections       int
	Limits                            transport.Limits
	StartTimeout, WriteTimeout, Grace time.Duration
}

// layers is a transaction layer with its transport layer.
type layers struct {
	*Layer
	sockets *transport.Layer
	cas     *x509.CertPool // of the server certificate
	stop    func()         // makes Run return and waits for that
}

func newLayers(cfg config, h Handler) *layers {
	t := transport.New(transport.Options{
		Listen: cfg.Listen, RootCAs: cfg.RootCAs, ClientCAs: cfg.ClientCAs,
		MaxConnections: cfg.MaxConnections, StartTimeout: cfg.StartTimeout, WriteTimeout: cfg.WriteTimeout,
	})
	t.Configure(transport.Settings{Limits: cfg.Limits})
	s := &layers{Layer: New(Options{Transport: t, MaxHandlers: cfg.MaxHandlers, Grace: cfg.Grace}), sockets: t}
	s.SetHandler(h)
	return s
}

// readers is the number of goroutines that read a UDP socket.
var readers = max(2, runtime.NumCPU())

// echo is a handler that answers 200 with the body as the reason. All senders are known.
var echo = serve(func(tx *ServerTx) {
	tx.Vouch()
	tx.Respond(200, string(tx.Request.Body))
})

// runLayers runs layers with a UDP and a TCP socket until the test ends.
func runLayers(t *testing.T, cfg config, h Handler) (s *layers, udp, tcp netip.AddrPort) {
	t.Helper()
	anyPort := netip.MustParseAddrPort("127.0.0.1:0")
	cfg.Listen = []transport.Endpoint{{Transport: sip.UDP, Addr: anyPort}, {Transport: sip.TCP, Addr: anyPort}}
	cfg.Grace = time.Second
	s = newLayers(cfg, h)
	start(t, s)
	return s, s.sockets.Endpoints()[0].Addr, s.sockets.Endpoints()[1].Addr
}

// start opens the sockets and runs the layers until the test ends.
func start(t *testing.T, s *layers) {
	t.Helper()
	if err := s.sockets.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
}

// dial returns a connection that is closed when the test ends.
func dial(t *testing.T, network string, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads once. It returns "" if nothing is received in time, or the stream has ended.
func receive(t *testing.T, c net.Conn, wait time.Duration) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "timeout") && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return string(buf[:n])
}

const (
	timeout   = 5 * time.Second        // for expected messages
	quietTime = 150 * time.Millisecond // in which no message is expected
)

// extraHeaders makes a request so large that its answer is not larger.
const extraHeaders = "Max-Forwards: 70\r\nUser-Agent: a phone (with as many words as most have)/1.0.0\r\nSupported: replaces, outbound"

// message returns a MESSAGE for bob from the local address of c.
func message(c net.Conn, branch string, more ...string) string {
	lines := append([]string{
		"MESSAGE sip:bob@127.0.0.1 SIP/2.0",
		"Via: SIP/2.0/" + strings.ToUpper(c.LocalAddr().Network()) + " " + c.LocalAddr().String() + ";branch=" + branch + ";rport",
		"From: <sip:alice@127.0.0.1>;tag=1", "To: <sip:bob@127.0.0.1>", "Call-ID: " + branch + "@test", "CSeq: 1 MESSAGE",
	}, more...)
	return strings.Join(append(lines, "Content-Length: 2", "", "hi"), "\r\n")
}

// status returns the status code of a response.
func status(response string) string {
	_, rest, _ := strings.Cut(response, " ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

// await waits until done returns true.
func await(t *testing.T, event string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(event, ": not within a minute")
		}
	}
}
