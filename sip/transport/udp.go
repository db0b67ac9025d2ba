package transport

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

// udpSocket is one UDP listener. The goroutine that reads a message also serves it, because
// waking another one costs more than most requests do. Where a Job is left, it gives the
// rest of its batch to another goroutine, which reads on.
type udpSocket struct {
	layer   *Layer
	conn    *net.UDPConn
	local   netip.AddrPort
	packets *ipv4.PacketConn // conn, to read and write many at once
	readers *errgroup.Group
	lead    chan *Batch   // to a goroutine that waits to read on
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

func (l *Layer) listenUDP(ctx context.Context, addr netip.AddrPort) error {
	var lc net.ListenConfig // without SO_REUSEADDR: two daemons on one port steal each other's packets
	pc, err := lc.ListenPacket(ctx, network("udp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		l.opt.Log.Debug("receive buffer not granted", "error", err)
	}
	_ = conn.SetWriteBuffer(receiveBuffer)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	l.udp = append(l.udp, &udpSocket{
		layer: l, conn: conn, packets: ipv4.NewPacketConn(conn), local: unmap(local), lead: make(chan *Batch),
	})
	return nil
}

// serve reads and serves messages, until the socket is closed or this goroutine is one too
// many.
func (u *udpSocket) serve(b *Batch) error {
	for b != nil {
		job, err := u.read(b)
		if err != nil {
			return ignoreClosed(err)
		}
		b.handOver()
		job.Run()
		b = u.waitForBatch()
	}
	return nil
}

// waitForBatch waits for a batch to go on with. It returns nil where enough others wait.
func (u *udpSocket) waitForBatch() *Batch {
	defer u.layer.idle.Add(-1)
	if u.layer.idle.Add(1) > idleWorkers {
		return nil
	}
	select {
	case b := <-u.lead:
		return b
	case <-u.layer.running.Done():
		return nil
	}
}

// handOver sends the answers that wait and gives the batch to another goroutine, which
// reads on.
func (b *Batch) handOver() {
	b.flush()
	select {
	case b.socket.lead <- b:
	default:
		b.socket.readers.Go(func() error { return b.socket.serve(b) })
	}
}

// check starts another reader where none has read for a second, because Receive waits on
// all of them. That is a fault of the receiver, which must not stop other messages than
// those of the same batches. It is called once a second.
func (u *udpSocket) check() {
	w, reads := &u.watch, u.reads.Load()
	stuck := u.reading.Load() == 0 && reads == w.reads
	w.reads = reads
	if stuck && w.more < mostStuck {
		w.more++
		u.layer.opt.Log.Error("handlers block UDP readers", "socket", u.local)
		u.readers.Go(func() error { return u.serve(newBatch(u)) })
	}
}

const mostStuck = 16

// read reads and serves messages until a Job is left of one.
func (u *udpSocket) read(b *Batch) (Job, error) {
	for {
		u.reading.Add(1)
		raw, source, err := b.datagram()
		u.reading.Add(-1)
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
		// A datagram that is cut here does not fit its Content-Length any more: 513.
		raw = raw[:min(len(raw), u.layer.opt.MaxMessageSize)]
		flow := sip.Flow{Transport: sip.UDP, Local: u.local, Remote: source}
		if !u.layer.accepts(raw, flow) {
			continue
		}
		if job, _ := u.layer.receiver.Receive(raw, Origin{Flow: flow, Batch: b}); job != nil {
			return job, nil
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (l *Layer) writeUDP(f sip.Flow, b []byte) error {
	u := l.socketFor(f)
	if u == nil {
		return errors.New("no such socket")
	}
	_, err := u.conn.WriteToUDPAddrPort(b, f.Remote)
	return err
}

// socketFor is the socket of a flow; or, for a flow of an address that is no
// longer listened on, any that can reach the same remote.
func (l *Layer) socketFor(f sip.Flow) *udpSocket {
	var other *udpSocket
	for _, u := range l.udp {
		if u.local == f.Local {
			return u
		}
		if other == nil && u.local.Addr().Is4() == f.Remote.Addr().Is4() {
			other = u
		}
	}
	return other
}
