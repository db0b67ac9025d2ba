package transport

import (
	"fmt"
	"net"

	"silod/mi"
	"silod/sip"

	"golang.org/x/net/ipv4"
)

// batchSize is the maximum number of datagrams that one system call reads or sends. A
// system call for each would cost as much as parsing a request.
const batchSize = 16

// maxKeptBuffer is the maximum size in bytes of a buffer that is used again.
const maxKeptBuffer = 64 << 10

// An Appender is a message that can be encoded.
type Appender interface{ AppendTo(b []byte) []byte }

// A Batch holds datagrams that one system call has read from a UDP socket, and the answers
// to them. The answers are sent together: before the next read, and before a Job runs. A
// batch belongs to one goroutine at a time (see handOver).
type Batch struct {
	socket  *udpSocket
	in      [batchSize]ipv4.Message // package ipv4 reads and writes IPv6 sockets as well
	next, n int                     // position in the datagrams of in, and their number
	out     [batchSize]ipv4.Message
	to      [batchSize]net.UDPAddr
	unsent  int      // number of answers in out
	after   []func() // to be called when they have been sent
}

func newBatch(u *udpSocket) *Batch {
	b := &Batch{socket: u}
	for i := range batchSize {
		b.in[i].Buffers = [][]byte{make([]byte, maxDatagram)} // pages that are never written use no memory
		if u.info != nil {
			b.in[i].OOB = make([]byte, u.info.size)
		}
		b.out[i].Buffers = [][]byte{nil}
		b.out[i].Addr = &b.to[i]
	}
	return b
}

// datagram returns the next datagram, which is valid until the next call, and its flow. If
// none is left, it sends the answers and reads the socket.
func (b *Batch) datagram() (raw []byte, f sip.Flow, err error) {
	if b.next == b.n {
		b.flush()
		if err := b.read(); err != nil {
			return nil, f, err
		}
	}
	m := &b.in[b.next]
	b.next++
	remote := unmap(m.Addr.(*net.UDPAddr).AddrPort())
	local := b.socket.localOf(m.OOB[:m.NN], remote.Addr())
	return m.Buffers[0][:m.N], sip.Flow{Transport: sip.UDP, Local: local, Remote: remote}, nil
}

// read waits for datagrams. It returns an error if the socket is closed or has failed.
func (b *Batch) read() error {
	for failures := 0; ; {
		n, err := b.socket.packets.ReadBatch(b.in[:], 0)
		if err == nil {
			b.next, b.n = 0, n
			return nil
		}
		if !b.socket.layer.retry(err, &failures) {
			return fmt.Errorf("read from udp:%s: %w", b.socket.local, err)
		}
	}
}

// Reply adds an answer to a datagram of the batch, to be sent over a flow: that of the
// datagram, or one with another remote address. It is sent with the others.
func (b *Batch) Reply(f sip.Flow, m Appender) {
	if b.unsent == batchSize {
		b.flush()
	}
	out, to := &b.out[b.unsent], f.Remote
	out.Buffers[0] = m.AppendTo(out.Buffers[0][:0])
	out.OOB = b.socket.control(f.Local.Addr())
	b.to[b.unsent] = net.UDPAddr{IP: to.Addr().AsSlice(), Port: int(to.Port()), Zone: to.Addr().Zone()}
	if b.unsent++; b.unsent == 1 {
		b.socket.layer.unsent.Add(1)
	}
}

// AfterReply calls f when the answers of the batch have been sent, or immediately if it has
// none. f must not wait.
func (b *Batch) AfterReply(f func()) {
	if b.unsent == 0 {
		f()
		return
	}
	b.after = append(b.after, f)
}

// flush sends the answers. One that cannot be sent is dropped: the client repeats its
// request.
func (b *Batch) flush() {
	if b.unsent == 0 {
		return
	}
	l := b.socket.layer
	for out := b.out[:b.unsent]; len(out) > 0; {
		n, err := b.socket.packets.WriteBatch(out, 0)
		if err != nil { // that of the first answer
			if out[0].OOB != nil && !mi.LacksResources(err) {
				out[0].OOB = nil // the kernel selects the source address: see udpSocket.send
				continue
			}
			l.Stats.DroppedSends.Inc()
			out = out[1:]
			continue
		}
		for i := range n {
			l.Stats.BytesSent.Add(len(out[i].Buffers[0]))
		}
		out = out[n:]
	}
	for i := range b.unsent {
		if buf := &b.out[i].Buffers[0]; cap(*buf) > maxKeptBuffer {
			*buf = nil
		}
	}
	b.unsent = 0
	l.unsent.Add(-1)
	for _, f := range b.after {
		f()
	}
	clear(b.after)
	b.after = b.after[:0]
}

// handOver sends the answers and passes the batch to another goroutine, which serves the
// rest of it and reads on.
func (b *Batch) handOver() {
	b.flush()
	select {
	case b.socket.batches <- b:
	default:
		b.socket.readers.Go(func() error { return b.socket.serve(b) })
	}
}
