package config

import (
	"net/netip"
	"testing"
)

func TestBroadcastOf(t *testing.T) {
	for prefix, want := range map[string]string{
		"192.0.2.1/24": "192.0.2.255", "10.1.2.3/8": "10.255.255.255", "192.0.2.77/28": "192.0.2.79", "127.0.0.1/8": "127.255.255.255",
		"192.0.2.1/30": "192.0.2.3", "192.0.2.1/31": "", "192.0.2.1/32": "", "2001:db8::1/64": "",
	} {
		got, ok := broadcastOf(netip.MustParsePrefix(prefix))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, want %s", prefix, got, want)
		}
	}
}
