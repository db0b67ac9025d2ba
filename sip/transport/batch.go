package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"silod/sip"

	"golang.org/x/net/ipv4"
)

// batchSize is how many datagrams one system call reads at most, and how many answers
// one sends: to enter the kernel for each costs as much as to parse a request does.
const batchSize = 16

// keptBuffer is how large a buffer may have grown to be used again, in bytes.
const keptBuffer = 64 << 10

// An Origin is the place where a message came in.
type Origin struct {
	Flow  sip.Flow
	Batch *Batch // to which a datagram belongs, valid during Receive; nil for a stream
}

// An Appender is a message that can be written.
type Appender interface{ AppendTo(b []byte) []byte }

// A Batch holds datagrams that were read from a UDP socket at once, and the answers to them,
// which leave together: before more is read, and before a Job runs. It belongs to the
// goroutine that serves it, which may give it to another (handOver).
type Batch struct {
	socket  *udpSocket
	in      [batchSize]ipv4.Message // package ipv4's calls serve sockets of IPv6 as well
	next, n int                     // of in: the first that was not taken, and how many there are
	out     [batchSize]ipv4.Message
	to      [batchSize]net.UDPAddr
	waiting int      // of out
	after   []func() // to be called when these have left
}

func newBatch(u *udpSocket) *Batch {
	b := &Batch{socket: u}
	for i := range batchSize {
		b.in[i].Buffers = [][]byte{make([]byte, maxDatagram)} // pages that are never written take no memory
		b.out[i].Buffers = [][]byte{nil}
		b.out[i].Addr = &b.to[i]
	}
	return b
}

// datagram gives the next one, and reads where there is none left. It is valid until
// the next call.
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

// read waits until there is something. An error is the socket's end.
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
		// What the kernel reports here is some peer's ICMP error; a socket that
		// gives nothing else is broken.
		if failures++; failures > 1000 {
			return fmt.Errorf("read from udp:%s: %w", b.socket.local, err)
		}
		time.Sleep(10 * time.Millisecond) // what it is short of may come back
	}
}

// Reply writes an answer to a datagram of the batch. It leaves with the others.
func (b *Batch) Reply(to netip.AddrPort, m Appender) {
	if b.waiting == batchSize {
		b.flush()
	}
	if b.waiting == 0 {
		b.socket.layer.unsent.Add(1)
	}
	i := b.waiting
	b.waiting++
	text := &b.out[i].Buffers[0]
	*text = m.AppendTo((*text)[:0])
	b.to[i] = net.UDPAddr{IP: to.Addr().AsSlice(), Port: int(to.Port()), Zone: to.Addr().Zone()}
}

// AfterReply calls f when the answers that were written have left, or at once where none
// waits. f must not wait.
func (b *Batch) AfterReply(f func()) {
	if b.waiting == 0 {
		f()
		return
	}
	b.after = append(b.after, f)
}

// flush sends the answers that wait.
func (b *Batch) flush() {
	if b.waiting == 0 {
		return
	}
	l := b.socket.layer
	for out := b.out[:b.waiting]; len(out) > 0; {
		n, err := b.socket.packets.WriteBatch(out, 0)
		if err != nil { // the first of them; what cannot be sent is the client's to ask for again
			l.Stats.DroppedSends.Inc()
			out = out[1:]
			continue
		}
		for i := range n {
			l.Stats.BytesSent.Add(len(out[i].Buffers[0]))
		}
		out = out[n:]
	}
	for i := range b.waiting {
		if text := &b.out[i].Buffers[0]; cap(*text) > keptBuffer {
			*text = nil
		}
	}
	b.waiting = 0
	l.unsent.Add(-1)
	after := b.after
	b.after = nil
	for _, f := range after {
		f()
	}
}
