package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"silod/sip"
)

// jobReceiver is a Receiver that returns a Job for each message.
type jobReceiver struct {
	job    func()
	closed atomic.Int32 // calls of FlowClosed
}

func (*jobReceiver) AcceptSource(sip.Flow) bool { return true }

func (*jobReceiver) Trusted(sip.Flow) bool { return false }

func (*jobReceiver) Expects([]byte, sip.Flow) bool { return false }

func (r *jobReceiver) Receive([]byte, Origin) (Job, error) { return jobFunc(r.job), nil }

func (r *jobReceiver) FlowClosed(sip.Flow) { r.closed.Add(1) }

type jobFunc func()

func (f jobFunc) Run() { f() }

// failingListener is a listener whose Accept fails when fail is closed.
type failingListener struct {
	net.Listener
	fail chan struct{}
}

var errAccept = errors.New("accept failed")

func (l failingListener) Accept() (net.Conn, error) {
	<-l.fail
	return nil, errAccept
}

func (failingListener) Close() error { return nil }

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// TestRunWaitsForJobs checks that Run returns after the jobs of streams and of datagrams, and
// after the last FlowClosed, also when it ends because a socket has failed.
func TestRunWaitsForJobs(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			l := New(Options{Listen: []Endpoint{{sip.TCP, anyPort}, {sip.UDP, anyPort}}})
			if err := l.Listen(t.Context()); err != nil {
				t.Fatal(err)
			}
			addr := l.Endpoints()[0].Addr // the one of UDP comes first
			if network == "tcp" {
				addr = l.Endpoints()[1].Addr
			}
			fail := make(chan struct{})
			l.listeners = append(l.listeners, &streamListener{layer: l, transport: sip.TCP, ln: failingListener{fail: fail}})
			started, ended := make(chan struct{}), false
			r := &jobReceiver{job: func() {
				close(started)
				<-l.Stopping()
				time.Sleep(50 * time.Millisecond)
				ended = true
			}}
			result := make(chan error, 1)
			go func() { result <- l.Run(context.Background(), r) }()
			c, err := net.Dial(network, addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write([]byte("MESSAGE sip:b@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"))
			<-started
			close(fail)
			if err := <-result; !errors.Is(err, errAccept) {
				t.Errorf("Run returned %v", err)
			}
			if !ended {
				t.Error("Run returned before the job")
			}
			if n := r.closed.Load(); network == "tcp" && n != 1 {
				t.Errorf("FlowClosed was called %d times before Run returned", n)
			}
		})
	}
}

// TestConnectBeforeRun checks that a connection is not opened while there is no Receiver for
// its messages.
func TestConnectBeforeRun(t *testing.T) {
	ln, err := net.Listen("tcp", anyPort.String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := New(Options{})
	target := Target{Transport: sip.TCP, Addr: netip.MustParseAddrPort(ln.Addr().String())}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if f, err := l.Connect(short, target); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before Run: %s, %v", f, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx, &jobReceiver{}) }()
	if _, err := l.Connect(t.Context(), target); err != nil {
		t.Errorf("during Run: %v", err)
	}
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if _, err := l.Connect(t.Context(), target); err == nil {
		t.Error("a connection was opened after Run")
	}
}

type appendFunc func([]byte) []byte

func (f appendFunc) AppendTo(b []byte) []byte { return f(b) }

// TestReplyPanics checks that a panic while an answer is encoded adds nothing to the batch.
func TestReplyPanics(t *testing.T) {
	l := New(Options{Listen: []Endpoint{{sip.UDP, anyPort}}})
	if err := l.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer l.closeSockets()
	peer, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	to := netip.MustParseAddrPort(peer.LocalAddr().String())
	b := newBatch(l.udp[0])
	reply := func(m appendFunc) {
		defer func() { _ = recover() }()
		b.Reply(sip.Flow{Transport: sip.UDP, Local: l.udp[0].local, Remote: to}, m)
	}
	reply(func(b []byte) []byte { return append(b, "first"...) })
	b.flush()
	reply(func([]byte) []byte { panic("test") })
	if n := l.Unsent(); n != 0 {
		t.Errorf("%d batches wait to be sent", n)
	}
	reply(func(b []byte) []byte { return append(b, "second"...) })
	b.flush()
	_ = peer.SetReadDeadline(time.Now().Add(timeout))
	for _, want := range []string{"first", "second"} {
		buf := make([]byte, 100)
		n, err := peer.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("received %q, %v, want %q", buf[:n], err, want)
		}
	}
}
