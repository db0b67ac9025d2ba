package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// udpReaders read one socket: as many as there are cores, because one upstream
// proxy is one source address, which no SO_REUSEPORT would spread.
var udpReaders = max(2, runtime.NumCPU())

// receiveBuffer is asked of the kernel for each UDP socket, so that a burst waits
// there and is not lost while the collector runs.
const receiveBuffer = 4 << 20

// udpSocket is one UDP listener. Whoever reads a request handles it, because to wake
// another goroutine costs more than most requests do; where its handler has to wait, it
// gives the buffer to another goroutine, which reads on (see Detach).
type udpSocket struct {
	stack   *Stack
	conn    *net.UDPConn
	local   netip.AddrPort
	readers *errgroup.Group
	lead    chan []byte   // the buffer, to a goroutine that waits to read on
	reading atomic.Int32  // goroutines that do
	reads   atomic.Uint64 // messages read
	watch   struct {
		reads uint64
		more  int // readers that were started
	}
}

const maxDatagram = 65536

// network is "udp4" or "udp6" and so on, so that an address means what it says.
func network(base string, a netip.Addr) string {
	if a.Is4() {
		return base + "4"
	}
	return base + "6"
}

func (s *Stack) listenUDP(ctx context.Context, addr netip.AddrPort) error {
	var lc net.ListenConfig // without SO_REUSEADDR: two daemons on one port steal each other's packets
	pc, err := lc.ListenPacket(ctx, network("udp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		s.cfg.Log.Debug("receive buffer not granted", "error", err)
	}
	_ = conn.SetWriteBuffer(receiveBuffer)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.udp = append(s.udp, &udpSocket{stack: s, conn: conn, local: unmap(local), lead: make(chan []byte)})
	return nil
}

// serve reads and handles requests, until the socket is closed or this goroutine is one
// too many.
func (u *udpSocket) serve(buf []byte) error {
	for buf != nil {
		req, err := u.read(buf)
		if err != nil {
			return ignoreClosed(err)
		}
		req.socket, req.buf = u, buf
		u.stack.handle(req)
		if req.socket == nil { // detached
			buf = u.follow()
		}
	}
	return nil
}

// follow waits for a buffer to read on with; nil where none is wanted any more.
func (u *udpSocket) follow() []byte {
	defer u.stack.idle.Add(-1)
	if u.stack.idle.Add(1) > idleWorkers {
		return nil
	}
	select {
	case buf := <-u.lead:
		return buf
	case <-u.stack.work.Done():
		return nil
	}
}

// Detach must be called by a handler before it waits for anything: somebody else then
// reads the socket that the request came from. More calls do nothing.
func (r *Request) Detach() {
	u, buf := r.socket, r.buf
	if u == nil {
		return
	}
	r.socket, r.buf = nil, nil
	select {
	case u.lead <- buf:
	default:
		u.readers.Go(func() error { return u.serve(buf) })
	}
}

// check starts another reader where nobody has read for a second, because all handlers
// wait and have not called Detach. That is a fault of theirs, which must not stop the
// rest. It is called once a second.
func (u *udpSocket) check() {
	w, reads := &u.watch, u.reads.Load()
	stuck := u.reading.Load() == 0 && reads == w.reads
	w.reads = reads
	if stuck && w.more < mostStuck {
		w.more++
		u.stack.cfg.Log.Error("handlers wait on the goroutines that read", "socket", u.local)
		u.readers.Go(func() error { return u.serve(make([]byte, maxDatagram)) })
	}
}

const mostStuck = 16

// read reads until there is a request to be handled.
func (u *udpSocket) read(buf []byte) (*Request, error) {
	u.reading.Add(1)
	defer u.reading.Add(-1)
	failures := 0
	for {
		n, src, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			// What the kernel reports here is some peer's ICMP error; a socket that
			// gives nothing else is broken.
			if failures++; failures > 1000 {
				return nil, fmt.Errorf("read from udp:%s: %w", u.local, err)
			}
			time.Sleep(10 * time.Millisecond) // what it is short of may come back
			continue
		}
		failures = 0
		u.reads.Add(1)
		if n < 16 { // keep-alives: CRLF, four NULs, one byte
			continue
		}
		if buf[0] == 0 && u.stun(buf[:n], src) {
			continue
		}
		if n > u.stack.cfg.MaxMessageSize {
			n = u.stack.cfg.MaxMessageSize // its Content-Length will not fit any more: 513
		}
		req, _ := u.stack.receive(buf[:n], Flow{Transport: UDP, Local: u.local, Remote: unmap(src)})
		if req != nil {
			return req, nil
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (s *Stack) writeUDP(f Flow, b []byte) error {
	u := s.socketFor(f)
	if u == nil {
		return errors.New("no such socket")
	}
	_, err := u.conn.WriteToUDPAddrPort(b, f.Remote)
	return err
}

// socketFor is the socket of a flow; or, for a flow of an address that is no
// longer listened on, any that can reach the same remote.
func (s *Stack) socketFor(f Flow) *udpSocket {
	var other *udpSocket
	for _, u := range s.udp {
		if u.local == f.Local {
			return u
		}
		if other == nil && u.local.Addr().Is4() == f.Remote.Addr().Is4() {
			other = u
		}
	}
	return other
}
