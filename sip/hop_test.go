package sip

import "testing"

func TestHop(t *testing.T) {
	for _, tc := range []struct {
		uri       string
		transport Transport
		named     bool
		addr      string // "": a name
		invalid   bool
	}{
		{"sip:a@192.0.2.1", UDP, false, "192.0.2.1:5060", false},
		{"sip:a@192.0.2.1:5070;Transport=TCP", TCP, true, "192.0.2.1:5070", false},
		{"sip:192.0.2.1;transport=tls", TLS, true, "192.0.2.1:5061", false},
		{"sips:a@[2001:db8::1]", TLS, false, "[2001:db8::1]:5061", false},
		{"sips:a@[::ffff:192.0.2.1];transport=tcp", TLS, true, "192.0.2.1:5061", false},
		{"sips:a@192.0.2.1;transport=ws", WSS, true, "192.0.2.1:5060", false},
		{"sip:a@192.0.2.1;transport=sctp", 0, true, "192.0.2.1:5060", false},
		{"sips:a@192.0.2.1;transport=sctp", 0, true, "192.0.2.1:5060", false},
		{"sip:a@example.org", UDP, false, "", false},
		{"sip:a@x.invalid;transport=ws", WS, true, "", true},
		{"sip:a@Invalid.", UDP, false, "", true},
		{"sip:a@notinvalid", UDP, false, "", false},
	} {
		u, err := ParseURI(tc.uri)
		if err != nil {
			t.Fatal(err)
		}
		transport, named := u.Transport()
		addr, literal := u.AddrPort()
		got := ""
		if literal {
			got = addr.String()
		}
		if transport != tc.transport || named != tc.named || got != tc.addr || u.IsInvalid() != tc.invalid {
			t.Errorf("%s: %v, %t, %q, %t", tc.uri, transport, named, got, u.IsInvalid())
		}
	}
}
