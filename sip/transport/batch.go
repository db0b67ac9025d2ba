package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

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
		b.out[i].Buffers = [][]byte{nil}
		b.out[i].Addr = &b.to[i]
	}
	return b
}

// datagram returns the next datagram, which is valid until the next call. If none is left,
// it sends the answers and reads the socket.
func (b *Batch) datagram() (raw []byte, source netip.AddrPort, err error) {
	if b.next == b.n {
		b.flush()
		if err := b.read(); err != nil {
			return nil, netip.AddrPort{}, err
		}
	}
	m := &b.in[b.next]
	b.next++
	return m.Buffers[0][:m.N], unmap(m.Addr.(*net.UDPAddr).AddrPort()), nil
}

// read waits for datagrams. It returns an error if the socket is closed or has failed.
func (b *Batch) read() error {
	for failures := 0; ; {
		n, err := b.socket.packets.ReadBatch(b.in[:], 0)
		if err == nil {
			b.next, b.n = 0, n
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// The kernel reports ICMP errors of single peers here. Only a socket that
		// returns nothing but errors has failed.
		if failures++; failures > 1000 {
			return fmt.Errorf("read from udp:%s: %w", b.socket.local, err)
		}
		time.Sleep(10 * time.Millisecond) // for memory that is short
	}
}

// Reply adds an answer to a datagram of the batch. It is sent with the others.
func (b *Batch) Reply(to netip.AddrPort, m Appender) {
	if b.unsent == batchSize {
		b.flush()
	}
	buf := &b.out[b.unsent].Buffers[0]
	*buf = m.AppendTo((*buf)[:0])
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

// flush sends the answers.
func (b *Batch) flush() {
	if b.unsent == 0 {
		return
	}
	l := b.socket.layer
	for out := b.out[:b.unsent]; len(out) > 0; {
		n, err := b.socket.packets.WriteBatch(out, 0)
		if err != nil { // that of the first answer; the client repeats its request
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
