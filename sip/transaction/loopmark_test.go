package transaction

import (
	"strings"
	"testing"

	"silod/sip"
)

var (
	bobHere   = sip.AoR{User: "bob", Domain: "example.org"}
	carolHere = sip.AoR{User: "carol", Domain: "example.org"}
	daveThere = sip.AoR{User: "dave", Domain: "example.com"}
)

// TestFixedLoopMark checks the mark of a user against the value that earlier versions of silod
// have sent: other servers of the domain, and this one before its restart, must know it.
func TestFixedLoopMark(t *testing.T) {
	for a, want := range map[sip.AoR]string{
		bobHere:                         "u2oho74n2",
		carolHere:                       "uqedbxncq",
		{Domain: "example.org"}:         "uva6jciwv",
		{User: "b@ob", Domain: "[::1]"}: "uhbdlplf4",
	} {
		if got := LoopMark(a, true); got != want {
			t.Errorf("the mark of %s is %q, want %q", a, got, want)
		}
	}
	if a, b := LoopMark(sip.AoR{User: "a", Domain: "bc"}, true), LoopMark(sip.AoR{User: "ab", Domain: "c"}, true); a == b {
		t.Error("the mark does not separate user and domain")
	}
	if LoopMark(daveThere, false) == LoopMark(daveThere, true) {
		t.Error("the mark for another domain is that of its own server")
	}
}

// TestLooped checks which requests have been sent to a recipient before, by the header fields
// that have come back.
func TestLooped(t *testing.T) {
	bob, dave := LoopMark(bobHere, true), LoopMark(daveThere, false)
	via := "Via: SIP/2.0/UDP 192.0.2.1;branch="
	for _, tt := range []struct {
		name, field             string
		bob, carol, dave, moved bool // looped for these; redirected
	}{
		{"none", via + newBranch(""), false, false, false, false},
		{"branch", via + newBranch(bob), true, false, false, true},
		{"branch for another domain", via + newBranch(dave), false, false, true, false},
		{"field", "Loop-Mark: " + bob, true, false, false, true},
		{"field in lower case", "loop-mark: " + bob, true, false, false, true},
		{"field for another domain", "Loop-Mark: " + dave, false, false, true, false},
		{"list", "Loop-Mark: xaaaaaaaa, " + bob, true, false, false, true},
		{"two fields", "Loop-Mark: xaaaaaaaa\r\nLoop-Mark: " + bob, true, false, false, true},
		{"dave's own server", "Loop-Mark: " + LoopMark(daveThere, true), false, false, false, true},
		{"text of a room", "Loop-Mark: xaaaaaaaa, room", false, false, false, true},
		{"empty", "Loop-Mark:", false, false, false, false},
		{"a client's field", "Loop-Mark: hello, world", false, false, false, false},
		{"another field", "X-Loop: " + bob, false, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan [4]bool, 1)
			_, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
				got <- [4]bool{tx.Looped(bobHere, true), tx.Looped(carolHere, true), tx.Looped(daveThere, false), tx.Redirected()}
				tx.Respond(200, "")
			}))
			c := dial(t, "udp", udp)
			send(t, c, message(c, "z9hG4bK"+strings.ReplaceAll(tt.name, " ", ""), tt.field))
			if g, want := <-got, [4]bool{tt.bob, tt.carol, tt.dave, tt.moved}; g != want {
				t.Errorf("looped for bob, carol, dave, redirected: %v, want %v", g, want)
			}
		})
	}
}
