package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

var udpFlow = sip.Flow{
	Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5062"),
}

// flowOfDevice returns a binding of a device that supports RFC 5626.
func flowOfDevice(contact, instance string, regID uint32, registered int) registrar.Binding {
	return registrar.Binding{
		Contact: contact, Instance: instance, RegID: regID, Flow: udpFlow,
		Modified: time.Unix(int64(registered), 0), RUID: "ruid-" + contact,
	}
}

func TestDevices(t *testing.T) {
	silent := flowOfDevice("sip:silent@h", "", 0, 1)
	silent.Methods = "INVITE, OPTIONS"
	silentFlow := flowOfDevice("sip:2@h", "A", 2, 9)
	silentFlow.Methods = "INVITE"
	for _, tc := range []struct {
		name     string
		bindings []registrar.Binding
		want     string // devices, each with its name and the URIs of its routes
	}{
		{"no binding", nil, ""},
		{"contacts without an instance", []registrar.Binding{
			flowOfDevice("sip:1@h", "", 0, 1), flowOfDevice("sip:2@h", "", 0, 2),
		}, "sip:1@h: sip:1@h | sip:2@h: sip:2@h"},
		{"a reg-id needs an instance", []registrar.Binding{
			flowOfDevice("sip:1@h", "", 1, 1), flowOfDevice("sip:2@h", "", 1, 2),
		}, "sip:1@h: sip:1@h | sip:2@h: sip:2@h"},
		{"an instance without a reg-id has one flow a device", []registrar.Binding{
			flowOfDevice("sip:1@h", "A", 0, 1), flowOfDevice("sip:2@h", "A", 0, 2),
		}, "A: sip:1@h | A: sip:2@h"},
		{"the newest flow is first", []registrar.Binding{
			flowOfDevice("sip:1@h", "A", 1, 2), flowOfDevice("sip:2@h", "A", 2, 3), flowOfDevice("sip:3@h", "A", 3, 1),
		}, "A: sip:2@h sip:1@h sip:3@h"},
		{"flows of the same time keep their order", []registrar.Binding{
			flowOfDevice("sip:1@h", "A", 1, 1), flowOfDevice("sip:2@h", "A", 2, 1),
		}, "A: sip:1@h sip:2@h"},
		{"devices are in the order of their first binding", []registrar.Binding{
			flowOfDevice("sip:1@h", "B", 1, 1), flowOfDevice("sip:2@h", "A", 1, 2),
			flowOfDevice("sip:3@h", "B", 2, 3), flowOfDevice("sip:4@h", "", 0, 4), flowOfDevice("sip:5@h", "A", 2, 1),
		}, "B: sip:3@h sip:1@h | A: sip:2@h sip:5@h | sip:4@h: sip:4@h"},
		{"only flows with a reg-id are grouped", []registrar.Binding{
			flowOfDevice("sip:1@h", "A", 0, 1), flowOfDevice("sip:2@h", "A", 1, 2), flowOfDevice("sip:3@h", "A", 2, 3),
		}, "A: sip:1@h | A: sip:3@h sip:2@h"},
		{"a contact that does not allow MESSAGE", []registrar.Binding{silent, flowOfDevice("sip:1@h", "", 0, 1)}, "sip:1@h: sip:1@h"},
		{"a flow that does not allow MESSAGE", []registrar.Binding{
			flowOfDevice("sip:1@h", "A", 1, 1), silentFlow, flowOfDevice("sip:3@h", "A", 3, 2),
		}, "A: sip:3@h sip:1@h"},
		{"a first flow that does not allow MESSAGE", []registrar.Binding{silentFlow, flowOfDevice("sip:3@h", "A", 3, 2)}, "A: sip:3@h"},
	} {
		var got []string
		for _, d := range devices(tc.bindings) {
			s := d.Name + ":"
			for _, r := range d.Routes {
				s += " " + r.URI
				if r.ruid() != "ruid-"+r.URI || r.Flow.IsZero() {
					t.Errorf("%s: route %+v", tc.name, r)
				}
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " | "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, s, tc.want)
		}
	}
}
