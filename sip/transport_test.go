package sip

import "testing"

// TestTransport checks the properties of each transport.
func TestTransport(t *testing.T) {
	for _, tc := range []struct {
		name                         string
		reliable, byteStream, secure bool
		port                         uint16
	}{
		{"udp", false, false, false, 5060},
		{"tcp", true, true, false, 5060},
		{"tls", true, true, true, 5061},
		{"ws", true, false, false, 5060},
		{"wss", true, false, true, 5060},
	} {
		tr, ok := ParseTransport(tc.name)
		if !ok || tr.String() != tc.name {
			t.Errorf("%s: parsed as %q, %t", tc.name, tr, ok)
		}
		if tr.Reliable() != tc.reliable || tr.IsByteStream() != tc.byteStream || tr.Secure() != tc.secure || tr.DefaultPort() != tc.port {
			t.Errorf("%s: reliable %t, byte stream %t, secure %t, port %d", tc.name, tr.Reliable(), tr.IsByteStream(), tr.Secure(), tr.DefaultPort())
		}
	}
	if Transport(0).Secure() {
		t.Error("the zero Transport is secure")
	}
}
