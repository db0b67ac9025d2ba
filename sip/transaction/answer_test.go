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

// TestForwardResponse checks which responses of a device are replaced, and that a
// retransmission gets the same answer.
func TestForwardResponse(t *testing.T) {
	_, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		n, _ := strconv.Atoi(tx.Request.Target.User)
		tx.ForwardResponse(&sip.Message{Status: n, Reason: "Custom", Body: []byte("why"), Headers: []sip.Header{
			{Name: "Via", Value: "SIP/2.0/UDP ours"}, {Name: "From", Value: "x"}, {Name: "To", Value: "<sip:bob@127.0.0.1>;tag=theirs"}, {Name: "Warning", Value: "399 x y"}, {Name: "Content-Length", Value: "3"},
		}})
	}))
	for sent, want := range map[string]string{
		"200": "200 Custom", "486": "486 Custom", "603": "603 Custom",
		"408": "480 Temporarily Unavailable", "503": "500 Server Internal Error",
	} {
		c := dial(t, "udp", udp)
		m := strings.Replace(message(c, "z9hG4bK"+sent), "sip:bob@", "sip:"+sent+"@", 1)
		send(t, c, m)
		first := receive(t, c, timeout)
		if !strings.HasPrefix(first, "SIP/2.0 "+want+"\r\nVia: SIP/2.0/UDP 127.0.0.1:") || strings.Contains(first, "ours") ||
			!strings.HasSuffix(first, "To: <sip:bob@127.0.0.1>;tag=theirs\r\nCall-ID: z9hG4bK"+sent+"@test\r\nCSeq: 1 MESSAGE\r\n"+
				"Warning: 399 x y\r\nContent-Length: 3\r\n\r\nwhy") {
			t.Errorf("%s is forwarded as\n%s", sent, first)
		}
		send(t, c, m)
		if again := receive(t, c, timeout); again != first {
			t.Errorf("%s retransmitted:\n%s", sent, again)
		}
	}
}

// TestReplyOnNewConn checks that an answer is sent to the source address and the port in Via
// if the connection of the request is closed (RFC 3261 section 18.2.2).
func TestReplyOnNewConn(t *testing.T) {
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS} {
		answer := make(chan struct{})
		// The peer receives a response that matches none of its requests.
		far, at := runAllTransports(t, config{}, echo)
		s, addrs := runAllTransports(t, config{RootCAs: far.cas}, serve(func(tx *ServerTx) {
			<-answer
			tx.Respond(200, "late")
		}))
		near, err := net.Dial("tcp", addrs[tr].String())
		if err != nil {
			t.Fatal(err)
		}
		if tr == sip.TLS {
			near = tls.Client(near, insecure())
		}
		send(t, near, strings.Replace(message(near, "z9hG4bK1"), near.LocalAddr().String(), at[tr].String(), 1))
		for end := time.Now().Add(timeout); s.Handlers() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_ = near.Close()
		for end := time.Now().Add(timeout); s.sockets.Connections() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		close(answer)
		for end := time.Now().Add(timeout); far.Stats.Stray.Value() == 0; {
			if time.Now().After(end) {
				t.Fatalf("%s: no answer", tr)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
