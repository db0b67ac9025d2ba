package transaction

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// Which answers of a device are given on, and that a retransmission gets the same.
func TestForward(t *testing.T) {
	_, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		n, _ := strconv.Atoi(r.Request.Target.User)
		r.ForwardResponse(&sip.Message{Status: n, Reason: "As I say", Body: []byte("why"), Headers: []sip.Header{
			{Name: "Via", Value: "SIP/2.0/UDP ours"}, {Name: "From", Value: "x"}, {Name: "To", Value: "<sip:bob@127.0.0.1>;tag=theirs"}, {Name: "Warning", Value: "399 x y"}, {Name: "Content-Length", Value: "3"},
		}})
	}))
	for asked, want := range map[string]string{
		"200": "200 As I say", "486": "486 As I say", "603": "603 As I say",
		"408": "480 Temporarily Unavailable", "503": "500 Server Internal Error",
	} {
		c := dial(t, "udp", udp)
		m := strings.Replace(message(c, "z9hG4bK"+asked), "sip:bob@", "sip:"+asked+"@", 1)
		send(t, c, m)
		first := hear(t, c, patience)
		if !strings.HasPrefix(first, "SIP/2.0 "+want+"\r\nVia: SIP/2.0/UDP 127.0.0.1:") || strings.Contains(first, "ours") ||
			!strings.HasSuffix(first, "To: <sip:bob@127.0.0.1>;tag=theirs\r\nCall-ID: z9hG4bK"+asked+"@test\r\nCSeq: 1 MESSAGE\r\n"+
				"Warning: 399 x y\r\nContent-Length: 3\r\n\r\nwhy") {
			t.Errorf("%s is passed on as\n%s", asked, first)
		}
		send(t, c, m)
		if again := hear(t, c, patience); again != first {
			t.Errorf("%s again:\n%s", asked, again)
		}
	}
}

// RFC 3261 section 18.2.2: where the connection of a request has closed, its answer
// goes to the source's address, at the port in Via.
func TestAnswerOverANewConnection(t *testing.T) {
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS} {
		answer := make(chan struct{})
		// The peer is a stack as well: it receives a response to no request of its own.
		far, at := runningAll(t, Config{}, echo)
		s, addrs := runningAll(t, Config{RootCAs: far.cas}, serve(func(r *ServerTx) {
			<-answer
			r.Respond(200, "late")
		}))
		near, err := net.Dial("tcp", addrs[tr].String())
		if err != nil {
			t.Fatal(err)
		}
		if tr == sip.TLS {
			near = tls.Client(near, insecure())
		}
		send(t, near, strings.Replace(message(near, "z9hG4bK1"), near.LocalAddr().String(), at[tr].String(), 1))
		for end := time.Now().Add(patience); s.Handlers() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_ = near.Close()
		for end := time.Now().Add(patience); s.sockets.Connections() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		close(answer)
		for end := time.Now().Add(patience); far.Stats.Stray.Value() == 0; {
			if time.Now().After(end) {
				t.Fatalf("%s: no answer came", tr)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
