package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"

	"silod/mi"
	"silod/sip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

// udpReaders is the number of goroutines that read one socket. Sockets with SO_REUSEPORT,
// one for each core, would not spread the load of a proxy, which has one source address.
var udpReaders = max(2, runtime.NumCPU())

// receiveBuffer is the size in bytes of the kernel's buffers of a UDP socket: large enough
// for a burst during a garbage collection.
const receiveBuffer = 4 << 20

const maxDatagram = 65536

// A udpSocket is one UDP listener. The goroutine that has read a datagram also serves it,
// because waking another goroutine costs more than most requests. Before it runs a Job, it
// passes the rest of its batch to another goroutine, which reads on.
type udpSocket struct {
	layer   *Layer
	conn    *net.UDPConn
	local   netip.AddrPort
	packets packetConn  // conn, for batches
	info    *packetInfo // nil unless local is unspecified
	readers *errgroup.Group
	batches chan *Batch   // to a goroutine in waitForBatch
	reading atomic.Int32  // goroutines that wait for a datagram
	reads   atomic.Uint64 // datagrams read
	check   struct {      // state of checkReaders
		reads uint64 // at the previous call
		added int    // readers
	}
}

// A packetConn reads and sends several datagrams in one system call.
type packetConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func (l *Layer) listenUDP(ctx context.Context, addr netip.AddrPort) error {
	var lc net.ListenConfig // without SO_REUSEADDR: two daemons on one port would take each other's packets
	pc, err := lc.ListenPacket(ctx, network("udp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		l.opt.Log.Debug("receive buffer not granted", "error", err)
	}
	_ = conn.SetWriteBuffer(receiveBuffer)
	local := unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	u := &udpSocket{layer: l, conn: conn, packets: ipv4.NewPacketConn(conn), local: local, batches: make(chan *Batch)}
	if local.Addr().IsUnspecified() {
		if u.info, err = newPacketInfo(conn, local.Addr()); err != nil {
			_ = conn.Close()
			return fmt.Errorf("get destination addresses: %w", err)
		}
	}
	l.udp = append(l.udp, u)
	return nil
}

// serve reads and serves datagrams until the socket is closed or enough other goroutines
// do.
func (u *udpSocket) serve(b *Batch) error {
	for b != nil {
		job, err := u.readJob(b)
		if err != nil {
			return ignoreClosed(err)
		}
		b.handOver()
		job.Run()
		b = u.waitForBatch()
	}
	return nil
}

// readJob reads and serves datagrams until the Receiver returns a Job.
func (u *udpSocket) readJob(b *Batch) (Job, error) {
	for {
		u.reading.Add(1)
		raw, flow, err := b.datagram()
		u.reading.Add(-1)
		if err != nil {
			return nil, err
		}
		u.reads.Add(1)
		if raw = sip.SkipLineEnds(raw); len(raw) < 16 { // a keep-alive: CRLF, NULs, a single byte
			continue
		}
		if raw[0] == 0 && (u.answerSTUN(raw, flow) || len(bytes.Trim(raw, "\x00\r\n")) == 0) {
			continue
		}
		// A datagram that is cut here no longer fits its Content-Length: it is answered 513.
		raw = raw[:min(len(raw), u.layer.opt.MaxMessageSize)]
		if !u.layer.accepts(raw, flow) {
			continue
		}
		if job, _ := u.layer.receiver.Receive(raw, Origin{Flow: flow, Batch: b}); job != nil {
			return job, nil
		}
	}
}

// waitForBatch waits until another goroutine hands a batch over. It returns nil if enough
// goroutines wait already, or when the layer stops.
func (u *udpSocket) waitForBatch() *Batch {
	defer u.layer.idle.Add(-1)
	if u.layer.idle.Add(1) > maxIdle {
		return nil
	}
	select {
	case b := <-u.batches:
		return b
	case <-u.layer.running.Done():
		return nil
	}
}

// checkReaders starts another reader if all of them have been blocked in Receive since the
// previous call. A Receiver must not wait, but if it does, later datagrams are still served.
func (u *udpSocket) checkReaders() {
	c, reads := &u.check, u.reads.Load()
	blocked := u.reading.Load() == 0 && reads == c.reads
	c.reads = reads
	if blocked && c.added < maxAddedReaders {
		c.added++
		u.layer.opt.Log.Error("handlers block UDP readers", "socket", u.local)
		u.readers.Go(func() error { return u.serve(newBatch(u)) })
	}
}

const maxAddedReaders = 16

func (l *Layer) sendUDP(f sip.Flow, b []byte) error {
	u := l.socketFor(f)
	if u == nil {
		return errors.New("no UDP socket for " + f.Remote.String())
	}
	return u.send(f, b)
}

// send sends a datagram from the local address of a flow. If that has been removed from this
// machine, the kernel selects another.
func (u *udpSocket) send(f sip.Flow, b []byte) error {
	if control := u.control(f.Local.Addr()); control != nil {
		_, _, err := u.conn.WriteMsgUDPAddrPort(b, control, f.Remote)
		if err == nil || mi.LacksResources(err) {
			return err
		}
		u.info.forget(f.Local.Addr())
	}
	_, err := u.conn.WriteToUDPAddrPort(b, f.Remote)
	return err
}

// socketFor returns the socket of a flow: the one that is bound to its local address, or to
// its port and all addresses. If there is none, as after a restart with other listeners, it
// returns a socket of the same IP version, or nil.
func (l *Layer) socketFor(f sip.Flow) *udpSocket {
	var wildcard, other *udpSocket
	for _, u := range l.udp {
		if u.local == f.Local {
			return u
		}
		if u.local.Addr().Is4() != f.Remote.Addr().Is4() {
			continue
		}
		if u.info != nil && u.local.Port() == f.Local.Port() {
			wildcard = u
		}
		if other == nil {
			other = u
		}
	}
	if wildcard != nil {
		return wildcard
	}
	return other
}

// localAddr returns the local address of datagrams that are sent over a flow. Its IP address
// is unspecified if the kernel selects it.
func (l *Layer) localAddr(f sip.Flow) netip.AddrPort {
	u := l.socketFor(f)
	switch {
	case u == nil:
		return f.Local
	case u.control(f.Local.Addr()) != nil && l.localIPs.exists(f.Local.Addr()):
		return netip.AddrPortFrom(f.Local.Addr(), u.local.Port())
	default:
		return u.local
	}
}
