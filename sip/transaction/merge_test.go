package transaction

import (
	"strings"
	"testing"

	"silod/sip"
)

// TestMergedRequest checks the answer to a copy of a request that came by another path (RFC
// 3261 section 8.2.2.2).
func TestMergedRequest(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	_, udp, _ := runLayers(t, config{}, serveLater(func(tx *ServerTx) {
		close(begun)
		<-hold
		tx.Respond(200, "")
	}))
	c := dial(t, "udp", udp)
	m := message(c, "z9hG4bK1")
	send(t, c, m)
	<-begun
	send(t, c, strings.Replace(m, "branch=z9hG4bK1", "branch=z9hG4bK2", 1))
	if r := receive(t, c, timeout); status(r) != "482" || !strings.Contains(r, "branch=z9hG4bK2") {
		t.Errorf("the answer to the copy is %s", r)
	}
	close(hold)
	if r := receive(t, c, timeout); status(r) != "200" {
		t.Errorf("the answer to the first request is %s", r)
	}
}

// TestLoopAndSpiral checks that a request that returns is a loop only for the same recipient.
func TestLoopAndSpiral(t *testing.T) {
	type seen struct{ looped bool }
	got := make(chan seen, 1)
	s, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		got <- seen{tx.Looped(tx.Request.Target.AoR())}
		tx.Respond(200, "")
	}))
	c := dial(t, "udp", udp)
	via := s.sockets.Via(sip.Flow{Transport: sip.UDP, Local: udp}) + ";branch=" + newBranch(sip.AoR{User: "bob", Domain: "127.0.0.1"})
	for uri, want := range map[string]bool{"sip:bob@127.0.0.1": true, "sip:carol@127.0.0.1": false} {
		m := strings.Replace(message(c, "z9hG4bK"+uri[4:7], "Via: "+via), "sip:bob@127.0.0.1 ", uri+" ", 1)
		send(t, c, m)
		if g := <-got; g.looped != want {
			t.Errorf("%s: looped %v, want %v", uri, g.looped, want)
		}
	}
}
