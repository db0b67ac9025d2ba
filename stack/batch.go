package stack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
)

// batchSize is how many datagrams one system call reads at most, and how many answers
// one sends: to enter the kernel for each costs as much as to parse a request does.
const batchSize = 16

// batch is what was read from a UDP socket at once, and the answers to it, which leave
// together: before more is read, and before anybody waits. It belongs to the goroutine
// that handles it, and may be given to another (handOver).
type batch struct {
	socket  *udpSocket
	in      [batchSize]ipv4.Message // package ipv4's calls serve sockets of IPv6 as well
	next, n int                     // of in: the first that was not taken, and how many there are
	out     [batchSize]ipv4.Message
	to      [batchSize]net.UDPAddr
	waiting int      // of out
	after   []func() // to be called when these have left
}

func newBatch(u *udpSocket) *batch {
	b := &batch{socket: u}
	for i := range batchSize {
		b.in[i].Buffers = [][]byte{make([]byte, maxDatagram)} // pages that are never written take no memory
		b.out[i].Buffers = [][]byte{nil}
		b.out[i].Addr = &b.to[i]
	}
	return b
}

// datagram gives the next one, and reads where there is none left. It is valid until
// the next call.
func (b *batch) datagram() (raw []byte, source netip.AddrPort, err error) {
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
func (b *batch) read() error {
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

// reply writes the answer to a request; it leaves with the others.
func (b *batch) reply(r *ServerTx, a *answer) {
	if b.waiting == batchSize {
		b.flush()
	}
	if b.waiting == 0 {
		b.socket.stack.unsent.Add(1)
	}
	i := b.waiting
	b.waiting++
	text := &b.out[i].Buffers[0]
	*text = a.appendTo((*text)[:0], r)
	to := r.replyTo()
	b.to[i] = net.UDPAddr{IP: to.Addr().AsSlice(), Port: int(to.Port()), Zone: to.Addr().Zone()}
}

// flush sends the answers that wait.
func (b *batch) flush() {
	if b.waiting == 0 {
		return
	}
	s := b.socket.stack
	for out := b.out[:b.waiting]; len(out) > 0; {
		n, err := b.socket.packets.WriteBatch(out, 0)
		if err != nil { // the first of them; what cannot be sent is the client's to ask for again
			s.Stats.DroppedSends.Inc()
			out = out[1:]
			continue
		}
		for i := range n {
			s.Stats.BytesSent.Add(len(out[i].Buffers[0]))
		}
		out = out[n:]
	}
	for i := range b.waiting {
		if text := &b.out[i].Buffers[0]; cap(*text) > keptBuffer {
			*text = nil
		}
	}
	b.waiting = 0
	s.unsent.Add(-1)
	after := b.after
	b.after = nil
	for _, f := range after {
		f()
	}
}
