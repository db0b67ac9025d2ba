package router

import (
	"bytes"
	"fmt"
	"testing"

	"silod/silo"
)

// BenchmarkRefresh measures a REGISTER that refreshes a binding, including the part of the
// phone.
func BenchmarkRefresh(b *testing.B) {
	s := serve(b, silo.Settings{})
	c := s.client(b)
	refresh := func() {
		c.n++
		c.out = fmt.Appendf(c.out[:0], "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP %[1]v;branch=z9hG4bK%[2]d;rport\r\n"+
			"From: <sip:bob@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: 1@example.org\r\nCSeq: %[2]d REGISTER\r\n"+
			"Max-Forwards: 70\r\nContact: <sip:bob@%[1]v;ob>\r\nExpires: 3600\r\nUser-Agent: phone\r\n"+
			"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE\r\nContent-Length: 0\r\n\r\n", c.conn.LocalAddr(), c.n)
		if _, err := c.conn.Write(c.out); err != nil {
			b.Fatal(err)
		}
		n, err := c.conn.Read(c.in)
		if err != nil || !bytes.HasPrefix(c.in[:n], []byte("SIP/2.0 200 ")) {
			b.Fatalf("%v, %q", err, c.in[:n])
		}
	}
	refresh()
	b.ReportAllocs()
	for b.Loop() {
		refresh()
	}
}
