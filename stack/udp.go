package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"

	"silod/sip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

// udpReaders read one socket: as many as there are cores, because one upstream
// proxy is one source address, which no SO_REUSEPORT would spread.
var udpReaders = max(2, runtime.NumCPU())

// receiveBuffer is asked of the kernel for each UDP socket, so that a burst waits
// there and is not lost while the collector runs.
const receiveBuffer = 4 << 20

// udpSocket is one UDP listener. Whoever reads a request handles it, because to wake
// another goroutine costs more than most requests do; where its handler returns Work, it
// gives the rest of its batch to another goroutine, which reads on.
type udpSocket struct {
	stack   *Stack
	conn    *net.UDPConn
	local   netip.AddrPort
	packets *ipv4.PacketConn // conn, to read and write many at once
	readers *errgroup.Group
	lead    chan *batch   // to a goroutine that waits to read on
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
	s.udp = append(s.udp, &udpSocket{
		stack: s, conn: conn, packets: ipv4.NewPacketConn(conn), local: unmap(local), lead: make(chan *batch),
	})
	return nil
}

// serve reads and handles requests, until the socket is closed or this goroutine is one
// too many.
func (u *udpSocket) serve(b *batch) error {
	for b != nil {
		req, err := u.read(b)
		if err != nil {
			return ignoreClosed(err)
		}
		if work := u.stack.handle(req); work != nil {
			req.batch = nil // answers of the work leave by themselves
			b.handOver()
			u.stack.runWork(req, work)
			b = u.follow()
		}
	}
	return nil
}

// follow waits for a batch to go on with; nil where nobody is wanted any more.
func (u *udpSocket) follow() *batch {
	defer u.stack.idle.Add(-1)
	if u.stack.idle.Add(1) > idleWorkers {
		return nil
	}
	select {
	case b := <-u.lead:
		return b
	case <-u.stack.workCtx.Done():
		return nil
	}
}

// handOver sends the answers that wait and gives the batch to another goroutine, which
// reads on.
func (b *batch) handOver() {
	b.flush()
	select {
	case b.socket.lead <- b:
	default:
		b.socket.readers.Go(func() error { return b.socket.serve(b) })
	}
}

// check starts another reader where none has read for a second, because Handle waits
// on all of them. That is a fault of the handler, which must not stop other requests than
// those of the same batches. It is called once a second.
func (u *udpSocket) check() {
	w, reads := &u.watch, u.reads.Load()
	stuck := u.reading.Load() == 0 && reads == w.reads
	w.reads = reads
	if stuck && w.more < mostStuck {
		w.more++
		u.stack.cfg.Log.Error("handlers block UDP readers", "socket", u.local)
		u.readers.Go(func() error { return u.serve(newBatch(u)) })
	}
}

const mostStuck = 16

// read reads until there is a request to be handled.
func (u *udpSocket) read(b *batch) (*ServerTx, error) {
	u.reading.Add(1)
	defer u.reading.Add(-1)
	for {
		raw, source, err := b.datagram()
		if err != nil {
			return nil, err
		}
		u.reads.Add(1)
		if len(raw) < 16 { // keep-alives: CRLF, four NULs, one byte
			continue
		}
		if raw[0] == 0 && u.stun(raw, source) {
			continue
		}
		// What is cut here does not fit its Content-Length any more: 513.
		raw = raw[:min(len(raw), u.stack.cfg.MaxMessageSize)]
		req, _ := u.stack.receive(raw, sip.Flow{Transport: sip.UDP, Local: u.local, Remote: source}, b)
		if req != nil {
			return req, nil
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (s *Stack) writeUDP(f sip.Flow, b []byte) error {
	u := s.socketFor(f)
	if u == nil {
		return errors.New("no such socket")
	}
	_, err := u.conn.WriteToUDPAddrPort(b, f.Remote)
	return err
}

// socketFor is the socket of a flow; or, for a flow of an address that is no
// longer listened on, any that can reach the same remote.
func (s *Stack) socketFor(f sip.Flow) *udpSocket {
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
