package transaction

import (
	"strings"
	"testing"
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
