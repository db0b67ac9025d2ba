package registrar

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"silod/sip"
)

// The memory of a binding of a phone with all usual headers, on its own connection.
func TestBindingMemory(t *testing.T) {
	const n = 100_000
	l, k, _ := newTable(Settings{})
	k.rows = nil // the rows of the store do not count
	before := heap()
	for i := range n {
		if _, err := l.Update(t.Context(), device(i)); err != nil {
			t.Fatal(err)
		}
	}
	per := (heap() - before) / n
	t.Logf("%d bytes a binding", per)
	if per > 1000 {
		t.Errorf("%d bytes a binding", per)
	}
	for i := range n {
		l.FlowClosed(t.Context(), connection(i))
	}
	if aors, bindings := l.Counts(); aors+bindings+len(l.flows.owners) != 0 {
		t.Errorf("%d AoRs, %d bindings and %d flows are left", aors, bindings, len(l.flows.owners))
	}
}

func connection(i int) sip.Flow {
	return sip.Flow{
		Transport: sip.TLS, Local: netip.MustParseAddrPort("192.0.2.1:5061"), Conn: uint64(10_000_000 + i),
		Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i % 250)}), uint16(30000+i%30000)),
	}
}

// device returns the REGISTER of phone i. Its strings are substrings of the message, like
// those of a parsed message.
func device(i int) *Register {
	text := fmt.Sprintf("REGISTER sip:example.org SIP/2.0\r\n"+
		"Via: SIP/2.0/TLS 10.%[2]d.%[3]d.%[4]d:49152;branch=z9hG4bK.%08[1]d;rport;alias\r\n"+
		"From: <sip:user%06[1]d@example.org>;tag=%08[1]d\r\nTo: sip:user%06[1]d@example.org\r\nCSeq: 20 REGISTER\r\n"+
		"Call-ID: %016[1]x%016[1]x@10.0.0.1\r\nMax-Forwards: 70\r\nSupported: replaces, outbound, gruu, path\r\n"+
		"Contact: <sip:user%06[1]d@10.%[2]d.%[3]d.%[4]d:49152;transport=tls>"+
		";+sip.instance=\"<urn:uuid:c3dd6013-3000-40e3-8ea2-%012[1]d>\";reg-id=1;q=0.5;+sip.ice\r\nExpires: 3600\r\n"+
		"User-Agent: Linphonec/5.1.65 (belle-sip/5.1.65)\r\n"+
		"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, PRACK, UPDATE\r\n"+
		"Content-Length: 0\r\n\r\n", i, i>>16, i>>8&255, i&255)
	header := func(name string) string {
		_, value, _ := strings.Cut(text, "\r\n"+name+": ")
		value, _, _ = strings.Cut(value, "\r\n")
		return value
	}
	to, err := sip.ParseNameAddr(header("To"))
	contacts, err2 := sip.ParseList(header("Contact"))
	if err != nil || err2 != nil {
		panic(errors.Join(err, err2))
	}
	return &Register{
		AoR: to.URI.AoR(), Contacts: contacts, Expires: 3600, CallID: header("Call-ID"), CSeq: 20,
		Flow:      func(sip.URI) (sip.Flow, *Error) { return connection(i), nil },
		UserAgent: header("User-Agent"), Methods: header("Allow"),
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
