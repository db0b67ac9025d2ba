package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// A middleman is a proxy between a daemon and anything else, over UDP. It forwards as RFC 3261
// section 16.6 says, and passes responses back.
type middleman struct {
	t    *testing.T
	conn *net.UDPConn
	hide bool // it replaces all Vias by its own, to hide the topology

	mu     sync.Mutex
	route  func(request string) (to netip.AddrPort, forwarded string) // a zero address: see answer
	answer int                                                        // to requests that are not forwarded; 0: none
	open   map[string]forwarded                                       // by its branch
	seen   []string                                                   // different requests, in order
}

// A forwarded is a request that has been forwarded.
type forwarded struct {
	from netip.AddrPort
	vias []string
}

// between returns a middleman that forwards nothing and answers 404.
func between(t *testing.T) *middleman {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &middleman{t: t, conn: c, answer: 404, open: map[string]forwarded{}}
	t.Cleanup(func() { _ = c.Close() })
	go p.run()
	return p
}

func (p *middleman) addr() string { return p.conn.LocalAddr().String() }

// returnTo has requests sent to an address, without a change.
func (p *middleman) returnTo(to netip.AddrPort) {
	p.routeBy(func(m string) (netip.AddrPort, string) { return to, m })
}

func (p *middleman) routeBy(route func(string) (netip.AddrPort, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.route = route
}

// answers has requests answered with a status; 0: not at all.
func (p *middleman) answers(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.route, p.answer = nil, status
}

// requests returns the requests with a method that have come, without repetitions.
func (p *middleman) requests(method string) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.seen {
		if strings.HasPrefix(m, method+" ") {
			list = append(list, m)
		}
	}
	return list
}

func (p *middleman) run() {
	b := make([]byte, 65536)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		p.take(string(b[:n]), from)
	}
}

func (p *middleman) take(m string, from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, vias, rest := takeVias(m)
	if strings.HasPrefix(first, "SIP/2.0 ") {
		_, branch, _ := strings.Cut(vias[0], "branch=")
		branch, _, _ = strings.Cut(strings.TrimSpace(branch), ";")
		if f, ok := p.open[branch]; ok {
			_, _ = p.conn.WriteToUDPAddrPort([]byte(join(first, f.vias, rest)), f.from)
		}
		return
	}
	repeated := false
	for _, s := range p.seen {
		_, old, _ := takeVias(s)
		repeated = repeated || old[0] == vias[0]
	}
	if !repeated {
		p.seen = append(p.seen, m)
	}
	if p.route != nil {
		if to, out := p.route(m); to.IsValid() {
			p.forward(out, vias, from, to)
			return
		}
	}
	if p.answer != 0 {
		_, _ = p.conn.WriteToUDPAddrPort([]byte(join(fmt.Sprintf("SIP/2.0 %d Middleman\r\n", p.answer), vias, answerOnly(rest))), from)
	}
}

// forward sends a request on. Its branch is a hash of the Via that came, so that a
// retransmission is one and nothing else of the Via is left.
func (p *middleman) forward(m string, vias []string, from, to netip.AddrPort) {
	branch := fmt.Sprintf("z9hG4bK%x", sha256.Sum256([]byte(vias[0])))
	p.open[branch] = forwarded{from, vias}
	first, _, rest := takeVias(m)
	own := []string{fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=%s\r\n", p.addr(), branch)}
	if !p.hide {
		own = append(own, vias...)
	}
	for n := 1; n <= 70; n++ {
		rest = strings.Replace(rest, fmt.Sprintf("Max-Forwards: %d\r\n", n), fmt.Sprintf("Max-Forwards: %d\r\n", n-1), 1)
	}
	_, _ = p.conn.WriteToUDPAddrPort([]byte(join(first, own, rest)), to)
}

// takeVias splits a message into its first line, its Vias and the rest.
func takeVias(m string) (first string, vias []string, rest string) {
	head, body, _ := strings.Cut(m, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	var others strings.Builder
	for _, l := range lines[1:] {
		if strings.HasPrefix(l, "Via:") {
			vias = append(vias, l+"\r\n")
		} else {
			others.WriteString(l + "\r\n")
		}
	}
	return lines[0] + "\r\n", vias, others.String() + "\r\n" + body
}

func join(first string, vias []string, rest string) string {
	return first + strings.Join(vias, "") + rest
}

// answerOnly returns the fields of a request that its answer has.
func answerOnly(rest string) string {
	head, _, _ := strings.Cut(rest, "\r\n\r\n")
	var b strings.Builder
	for l := range strings.SplitSeq(head, "\r\n") {
		switch name, _, _ := strings.Cut(l, ":"); name {
		case "From", "To", "Call-ID", "CSeq":
			b.WriteString(l + "\r\n")
		}
	}
	return b.String() + "Content-Length: 0\r\n\r\n"
}

// awaitRequests waits until a number of requests with a method have come.
func (p *middleman) awaitRequests(method string, n int) []string {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if list := p.requests(method); len(list) >= n {
			return list
		}
		if time.Now().After(end) {
			p.t.Fatalf("%d of %d %s requests came", len(p.requests(method)), n, method)
		}
	}
}
