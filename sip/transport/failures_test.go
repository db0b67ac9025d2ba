package transport

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"

	"golang.org/x/net/ipv4"
)

// A failing socket returns an error until a time.
type failing struct {
	net.Listener // not used
	err          error
	until        time.Time
	written      []string
}

func failingFor(d time.Duration, errno syscall.Errno) *failing {
	err := &net.OpError{Op: "test", Err: os.NewSyscallError("test", errno)}
	return &failing{err: err, until: time.Now().Add(d)}
}

func (f *failing) Accept() (net.Conn, error) {
	if time.Now().Before(f.until) {
		return nil, f.err
	}
	near, far := net.Pipe()
	_ = near.Close()
	return far, nil
}

func (f *failing) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	if time.Now().Before(f.until) {
		return 0, f.err
	}
	ms[0].N, ms[0].Addr = copy(ms[0].Buffers[0], "datagram"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5070}
	return 1, nil
}

func (f *failing) WriteBatch(ms []ipv4.Message, _ int) (int, error) {
	if ms[0].OOB != nil || string(ms[0].Buffers[0]) == "lost" {
		return 0, f.err
	}
	f.written = append(f.written, string(ms[0].Buffers[0]))
	return 1, nil
}

// TestSocketErrors checks that errors that pass never end the use of a socket, others after
// a while, and that the log stays short.
func TestSocketErrors(t *testing.T) {
	for _, tc := range []struct {
		errno syscall.Errno
		ends  bool
	}{
		{syscall.ENOBUFS, false},
		{syscall.ENOMEM, false},
		{syscall.EMFILE, false},
		{syscall.ENFILE, false},
		{syscall.EAGAIN, false},
		{syscall.ENETDOWN, false},
		{syscall.ECONNREFUSED, false},
		{syscall.ECONNABORTED, false},
		{syscall.EPERM, false},
		{syscall.EBADF, true},
		{syscall.EIO, true},
	} {
		for _, op := range []string{"accept", "read"} {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				l, f := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))}), failingFor(time.Hour, tc.errno)
				l.receiver = &jobReceiver{}
				var err error
				if op == "accept" {
					var c net.Conn
					if c, err = (&boundedListener{Listener: f, layer: l}).Accept(); err == nil {
						_ = c.Close()
					}
				} else {
					b := newBatch(&udpSocket{layer: l, packets: f, local: anyPort})
					var raw []byte
					if raw, _, err = b.datagram(); err == nil && string(raw) != "datagram" {
						t.Errorf("read %q", raw)
					}
				}
				if (err != nil) != tc.ends {
					t.Errorf("%s, %v for an hour: returned %v", op, tc.errno, err)
				}
				if n := strings.Count(log.String(), "\n"); n == 0 || n > 100 {
					t.Errorf("%s, %v for an hour: %d lines of log", op, tc.errno, n)
				}
			})
		}
	}
}

// TestUnsentAnswers checks that an answer that cannot be sent is counted and does not keep
// back the others, and that one is sent from another address if its own is gone.
func TestUnsentAnswers(t *testing.T) {
	l := New(Options{})
	f := failingFor(0, syscall.ENOBUFS)
	u := &udpSocket{layer: l, packets: f, local: netip.MustParseAddrPort("0.0.0.0:5060"), info: &packetInfo{}}
	flow := sip.Flow{Transport: sip.UDP, Local: u.local, Remote: netip.MustParseAddrPort("192.0.2.1:5060")}
	b := newBatch(u)
	reply := func(f sip.Flow, text string) {
		b.Reply(f, appendFunc(func(b []byte) []byte { return append(b, text...) }))
	}
	reply(flow, "lost")
	reply(flow, "first")
	reply(flow, "lost")
	reply(flow, "second")
	b.flush()
	if got := strings.Join(f.written, " "); got != "first second" || l.Stats.DroppedSends.Value() != 2 {
		t.Errorf("sent %q, %d dropped", got, l.Stats.DroppedSends.Value())
	}
	f.err = os.NewSyscallError("sendmmsg", syscall.EINVAL)
	flow.Local = netip.MustParseAddrPort("192.0.2.9:5060")
	reply(flow, "third")
	b.flush()
	if got := strings.Join(f.written, " "); got != "first second third" || l.Stats.DroppedSends.Value() != 2 {
		t.Errorf("sent %q, %d dropped", got, l.Stats.DroppedSends.Value())
	}
}
