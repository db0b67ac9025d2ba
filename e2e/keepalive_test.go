package e2e_test

import (
	"net"
	"testing"
	"time"
)

// A relay passes datagrams between a phone and a daemon, as a NAT does. It sends the times
// of the phone's STUN requests to stun.
type relay struct {
	addr string
	stun chan time.Time
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	outside, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = outside.Close(), inside.Close() })
	r := &relay{addr: inside.LocalAddr().String(), stun: make(chan time.Time, 100)}
	go func() {
		var back chan<- net.Addr
		buf := make([]byte, 65536)
		for {
			n, from, err := inside.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 7 && buf[0] == 0 && buf[4] == 0x21 && buf[5] == 0x12 { // RFC 5389 section 6
				r.stun <- time.Now()
			}
			if back == nil {
				back = answer(outside, inside)
			}
			back <- from
			_, _ = outside.Write(buf[:n])
		}
	}()
	return r
}

// answer passes datagrams from one socket to the address that was last sent to the channel,
// from another.
func answer(outside net.Conn, inside *net.UDPConn) chan<- net.Addr {
	addrs := make(chan net.Addr)
	packets := make(chan []byte)
	go func() {
		defer close(packets)
		for {
			buf := make([]byte, 65536)
			n, err := outside.Read(buf)
			if err != nil {
				return
			}
			packets <- buf[:n]
		}
	}()
	go func() {
		var to net.Addr
		for {
			select {
			case to = <-addrs:
			case p, ok := <-packets:
				if !ok {
					return
				}
				_, _ = inside.WriteTo(p, to)
			}
		}
	}()
	return addrs
}

// A phone that uses RFC 5626 over UDP keeps its NAT open: it sends a STUN request every 24 to
// 29 seconds (section 4.4.2), and not as seldom as over TCP.
func TestKeepAliveOverUDP(t *testing.T) {
	t.Parallel()
	d := serve(t)
	r := newRelay(t, d.addr)
	baresipWith(t, &daemon{addr: r.addr}, "udp", "bob", ";sipnat=outbound")
	var first time.Time
	for n := range 2 {
		select {
		case at := <-r.stun:
			if n == 0 {
				first = at
			} else if pause := at.Sub(first); pause > 35*time.Second {
				t.Errorf("%v between two keep-alives", pause)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d keep-alives have come", n)
		}
	}
}
