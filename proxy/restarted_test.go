package proxy

import (
	"testing"

	"silod/registrar"
)

// A device has restarted if its REGISTER has another Call-ID. Nothing is known of the devices
// behind a proxy.
func TestRestarted(t *testing.T) {
	t.Parallel()
	route := func(callID string) Route {
		return Route{URI: "sip:bob@192.0.2.1", Binding: &registrar.Binding{RUID: "1", CallID: callID}}
	}
	toProxy := Route{URI: "sip:bob@example.org"}
	for _, tt := range []struct {
		name        string
		before, now Route
		want        bool
	}{
		{"another Call-ID", route("a"), route("b"), true},
		{"a refresh", route("a"), route("a"), false},
		{"a proxy", toProxy, toProxy, false},
		{"a device, then a proxy", route("a"), toProxy, false},
		{"a proxy, then a device", toProxy, route("a"), false},
	} {
		if got := tt.before.restarted(tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
