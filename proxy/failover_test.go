package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// twoServers returns a resolver that knows SRV records of every domain for the service _sip
// over the transport that the domain is named after: two servers, the first of which is
// preferred.
func twoServers(t *testing.T, first, second netip.AddrPort) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	answer := func(m *dnsmessage.Message) {
		q := m.Questions[0]
		for i, server := range []netip.AddrPort{first, second} {
			name := fmt.Sprintf("server%d.test.", i)
			var body dnsmessage.ResourceBody
			switch {
			case q.Type == dnsmessage.TypeSRV && (q.Name.String() == "_sip._udp.udp.test." || q.Name.String() == "_sip._tcp.tcp.test."):
				body = &dnsmessage.SRVResource{Priority: uint16(i), Port: server.Port(), Target: dnsmessage.MustNewName(name)}
			case q.Type == dnsmessage.TypeA && q.Name.String() == name:
				body = &dnsmessage.AResource{A: server.Addr().As4()}
			default:
				continue
			}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: body})
		}
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			answer(&m)
			reply, _ := m.Pack()
			_, _ = pc.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// A scripted is a server that counts requests and answers them: with a status, 0 for none,
// after a delay.
type scripted struct {
	addr     netip.AddrPort
	received atomic.Int32
	mu       sync.Mutex
	callIDs  []string        // of the requests over UDP
	branches map[string]bool // of the same
}

// transactions returns the number of transactions over UDP.
func (s *scripted) transactions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.branches)
}

// calls returns the Call-IDs of the requests over UDP.
func (s *scripted) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.callIDs)
}

// answerTo returns the response to a request.
func answerTo(request string, status int) string {
	out := fmt.Sprintf("SIP/2.0 %d Test\r\n", status)
	for line := range strings.SplitSeq(request, "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "From", "To", "Call-ID", "CSeq":
			out += line + "\r\n"
		}
	}
	return out + "Content-Length: 0\r\n\r\n"
}

func overUDP(t *testing.T, status int, delay time.Duration) *scripted {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &scripted{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), branches: make(map[string]bool)}
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, id, _ := strings.Cut(string(buf[:n]), "\r\nCall-ID: ")
			id, _, _ = strings.Cut(id, "\r\n")
			_, branch, _ := strings.Cut(string(buf[:n]), ";branch=")
			branch, _, _ = strings.Cut(branch, ";")
			s.mu.Lock()
			s.callIDs = append(s.callIDs, id)
			s.branches[branch] = true
			s.mu.Unlock()
			if s.received.Add(1); status != 0 {
				out := answerTo(string(buf[:n]), status)
				time.AfterFunc(delay, func() { _, _ = conn.WriteToUDPAddrPort([]byte(out), from) })
			}
		}
	}()
	return s
}

func overTCP(t *testing.T, status int) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	s := &scripted{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var head strings.Builder
				for in := bufio.NewScanner(conn); in.Scan(); {
					if in.Text() != "" {
						head.WriteString(in.Text() + "\r\n")
						continue
					}
					if s.received.Add(1); status != 0 {
						_, _ = conn.Write([]byte(answerTo(head.String(), status)))
					}
					head.Reset()
				}
			}()
		}
	}()
	return s
}

// hanging returns an address at which connections are neither accepted nor refused, as
// behind a packet filter.
func hanging(t *testing.T) *scripted {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))}
	for range 3 { // they fill the queue of the listener
		if c, err := net.DialTimeout("tcp4", s.addr.String(), 100*time.Millisecond); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	return s
}

// refusing returns an address at which connections are refused.
func refusing(t *testing.T) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	return &scripted{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
}

// fixture returns a Proxy over real sockets.
func fixture(t *testing.T, resolver *net.Resolver) *Proxy {
	t.Helper()
	sockets := transport.New(transport.Options{
		Listen: []transport.Endpoint{
			{Transport: sip.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")},
			{Transport: sip.TCP, Addr: netip.MustParseAddrPort("127.0.0.1:0")},
		},
		Resolver: resolver,
	})
	st := transaction.New(transaction.Options{Transport: sockets})
	st.SetHandler(silent{})
	if err := sockets.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	location := registrar.New(registrar.Options{}, registrar.Settings{})
	return New(Options{Transport: sockets, Transactions: st, Domains: sip.NewDomains("example.org"), Location: location}, Settings{})
}

var hello = &im.Message{From: "<sip:a@example.org>;tag=1", To: "<sip:b@example.org>", CallID: "1", CSeq: 1, Body: []byte("hello")}

// A request goes on to the next server of a domain after a transport error, a 503 and a
// server that does not answer (RFC 3263 section 4.3).
func TestNextServer(t *testing.T) {
	udp := func(status int, delay time.Duration) func(*testing.T) *scripted {
		return func(t *testing.T) *scripted { t.Helper(); return overUDP(t, status, delay) }
	}
	tcp := func(status int) func(*testing.T) *scripted {
		return func(t *testing.T) *scripted { t.Helper(); return overTCP(t, status) }
	}
	silentUDP := udp(0, 0)
	const soon = 3 * time.Second // less than targetTimeout
	var all sync.WaitGroup
	for _, tc := range []struct {
		name, uri     string
		first, second func(*testing.T) *scripted
		status        int           // of the response; 0: none in time
		took          time.Duration // at most
		copies        [2]int32      // that the servers get; 0: any number
	}{
		{"the first answers", "sip:b@udp.test", udp(200, 0), udp(200, 0), 200, soon, [2]int32{1, 0}},
		{"the first is silent", "sip:b@udp.test", silentUDP, udp(200, 0), 200, 6 * time.Second, [2]int32{4, 1}},
		{"the first answers 503", "sip:b@udp.test", udp(503, 0), udp(200, 0), 200, soon, [2]int32{1, 1}},
		{"both answer 503", "sip:b@udp.test", udp(503, 0), udp(503, 0), 503, soon, [2]int32{1, 1}},
		{"the first refuses the message", "sip:b@udp.test", udp(403, 0), udp(200, 0), 403, soon, [2]int32{1, 0}},
		{"the first answers late", "sip:b@udp.test", udp(200, 5*time.Second), silentUDP, 200, 7 * time.Second, [2]int32{4, 0}},
		{"the first refuses late", "sip:b@udp.test", udp(404, 5*time.Second), udp(200, 2*time.Second), 200, 8 * time.Second, [2]int32{4, 0}},
		{"503, then silent", "sip:b@udp.test", udp(503, 0), silentUDP, 0, 6 * time.Second, [2]int32{1, 0}},
		{"the first refuses connections", "sip:b@tcp.test", refusing, tcp(200), 200, soon, [2]int32{0, 1}},
		{"connecting to the first hangs", "sip:b@tcp.test", hanging, tcp(200), 200, 6 * time.Second, [2]int32{0, 1}},
		{"the first is silent over TCP", "sip:b@tcp.test", tcp(0), tcp(200), 200, 6 * time.Second, [2]int32{1, 1}},
		{"silent, then refused", "sip:b@tcp.test", tcp(0), refusing, 0, 6 * time.Second, [2]int32{1, 0}},
		{"503, then refused", "sip:b@tcp.test", tcp(503), refusing, 503, soon, [2]int32{1, 0}},
	} {
		first, second := tc.first(t), tc.second(t)
		p := fixture(t, twoServers(t, first.addr, second.addr))
		all.Go(func() {
			start := time.Now()
			k := p.Fork(t.Context(), hello, []Device{p.Elsewhere(tc.uri, nil)}, ForkOptions{MaxForwards: 70})
			out := k.Wait(t.Context(), tc.took)
			k.Abandon()
			status := 0
			if out.Response != nil {
				status = out.Response.Status
			}
			if status != tc.status || (tc.status == 0) != (out.Open > 0) || out.Unreached > 0 {
				t.Errorf("%s: after %v: status %d, %+v", tc.name, time.Since(start), status, out)
			}
			for i, s := range []*scripted{first, second} {
				if got := s.received.Load(); tc.copies[i] != 0 && got != tc.copies[i] {
					t.Errorf("%s: server %d got %d copies, want %d", tc.name, i, got, tc.copies[i])
				}
			}
			if n := second.received.Load(); tc.copies[1] == 0 && tc.took == soon && n != 0 {
				t.Errorf("%s: the second server got %d copies", tc.name, n)
			}
		})
	}
	all.Wait()
}
