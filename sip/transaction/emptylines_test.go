package transaction

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"silod/sip"

	"github.com/coder/websocket"
)

var emptyLines = []string{"\r\n", "\n", "\r\n\r\n", "\n\n\n", "\r\n\r\n\r\n", "\r\n\n", strings.Repeat("\r\n", 1000)}

// TestEmptyLines checks that empty lines before the start line are skipped, also where there
// is not a stream: RFC 3261 section 7.5 requires it for streams, and Kamailio and PJSIP do it
// everywhere.
func TestEmptyLines(t *testing.T) {
	_, addrs := runAllTransports(t, config{}, echo)
	udp, tcp := dial(t, "udp", addrs[sip.UDP]), dial(t, "tcp", addrs[sip.TCP])
	ws := dialWS(t, sip.WS, addrs[sip.WS])
	for i, lines := range emptyLines {
		branch := "z9hG4bKempty" + string(rune('a'+i))
		for _, c := range []net.Conn{udp, tcp} {
			send(t, c, lines+message(c, branch))
			r := receive(t, c, timeout)
			for r == "\r\n" || strings.HasPrefix(r, "\r\n\r\n") { // the answer to a ping in the stream
				r = receive(t, c, timeout)
			}
			if status(strings.TrimLeft(r, "\r\n")) != "200" {
				t.Errorf("%s, %q...: %q", c.LocalAddr().Network(), lines[:1], r)
			}
		}
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(lines+message(udp, branch+"ws"))); err != nil {
			t.Fatal(err)
		}
		if _, r, err := ws.Read(t.Context()); err != nil || status(string(r)) != "200" {
			t.Errorf("ws, %q...: %q, %v", lines[:1], r, err)
		}
	}
}

// TestEmptyLinesBeforeResponse checks the same for a response in a datagram.
func TestEmptyLinesBeforeResponse(t *testing.T) {
	s, udp, _ := runLayers(t, config{}, echo)
	c := dial(t, "udp", udp)
	flow := sip.Flow{Transport: sip.UDP, Local: udp, Remote: netip.MustParseAddrPort(c.LocalAddr().String())}
	for _, lines := range emptyLines {
		result := make(chan int, 1)
		go func() {
			res, err := s.Do(t.Context(), newRequest(), flow)
			if err != nil {
				result <- 0
				return
			}
			result <- res.Status
		}()
		req := receive(t, c, timeout)
		_, after, _ := strings.Cut(req, "\r\n")
		send(t, c, lines+"SIP/2.0 202 Accepted\r\n"+after)
		if got := <-result; got != 202 {
			t.Errorf("%q...: %d", lines[:1], got)
		}
	}
}

// TestKeepAliveDatagrams checks that keep-alives in datagrams get no answer and are not taken
// for bad messages. RFC 5626 defines the ping for streams only.
func TestKeepAliveDatagrams(t *testing.T) {
	s, udp, _ := runLayers(t, config{}, echo)
	c := dial(t, "udp", udp)
	for _, keepAlive := range []string{
		"\r\n\r\n", "\r\n", "\n", "\x00", "\x00\x00\x00\x00", "x", strings.Repeat("\r\n", 100), strings.Repeat("\x00", 100),
		"\x00" + strings.Repeat("\r\n", 20), strings.Repeat("\r\n", 20) + "jaK",
	} {
		send(t, c, keepAlive)
	}
	send(t, c, message(c, "z9hG4bKlast"))
	if r := receive(t, c, timeout); status(r) != "200" {
		t.Errorf("the first answer is %q", r)
	}
	if n := s.Stats.NotSIP.Value(); n != 0 {
		t.Errorf("%d keep-alives were taken for messages", n)
	}
}
