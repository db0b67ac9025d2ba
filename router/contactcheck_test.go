package router

import (
	"net/netip"
	"testing"

	"silod/sip"
)

// TestCheckContact lists how a REGISTER came, and why its contact is refused, if it is.
func TestCheckContact(t *testing.T) {
	const (
		udp = "udp:192.0.2.1:5060>203.0.113.1:40000"
		tcp = "tcp:192.0.2.1:5060>203.0.113.1:40000#1"
		ws  = "ws:192.0.2.1:80>203.0.113.1:40000#1"
		own = "udp:192.0.2.1:5060>192.0.2.1:40000" // on the same machine

		ours, noHost = "Contact names this server", "Contact names no host"
		group, all   = "Contact names a group of hosts", "Contact names all hosts of a network"
	)
	const client, viaNAT = "203.0.113.1:40000", "192.168.0.5:5060"
	addresses := sip.OwnAddresses{
		Listen: []sip.Listener{{Transport: sip.UDP, Addr: netip.MustParseAddrPort("192.0.2.1:5060")}}, Domains: sip.NewDomains("example.org"),
		Broadcast: []netip.Addr{netip.MustParseAddr("192.0.2.255")},
	}
	for _, tc := range []struct {
		name    string
		flow    string
		via     string
		vias    int
		trusted bool
		path    string
		contact string
		want    string
	}{
		{"a phone", udp, client, 1, false, "", "sip:a@203.0.113.1:5070", ""},
		{"a domain", udp, client, 1, false, "", "sip:a@example.org", ""},
		{"a name", udp, client, 1, false, "", "sip:a@phone.local", ""},
		{"WebSocket over UDP", udp, client, 1, false, "", "sip:a@x.invalid;transport=ws", ""},
		{"no host", udp, client, 1, false, "", "sip:a@0.0.0.0:5060", noHost},
		{"no host, IPv6", udp, client, 1, false, "", "sip:a@[::]", noHost},
		{"broadcast", udp, client, 1, false, "", "sip:a@255.255.255.255", all},
		{"broadcast of our network", udp, client, 1, false, "", "sip:a@192.0.2.255:5062", all},
		{"multicast", udp, client, 1, false, "", "sip:a@224.0.1.75", group},
		{"us", udp, client, 1, false, "", "sip:a@192.0.2.1:5060;x=1", ours},
		{"us without a port", udp, client, 1, false, "", "sip:a@192.0.2.1", ours},
		{"us over TCP", udp, client, 1, false, "", "sip:a@192.0.2.1;transport=tcp", ours},
		{"us from the same machine", own, "192.0.2.1:40000", 1, false, "", "sip:a@192.0.2.1", ours},
		{"another program there", own, "192.0.2.1:40000", 1, false, "", "sip:a@192.0.2.1:40000", ""},

		{"NAT", udp, viaNAT, 1, false, "", "sip:a@192.168.0.5", ""},
		{"NAT, no host", udp, viaNAT, 1, false, "", "sip:a@0.0.0.0", ""},
		{"NAT, our address on the other side", udp, viaNAT, 1, false, "", "sip:a@192.0.2.1:5060", ""},
		{"a proxy, no host", udp, client, 2, false, "", "sip:a@0.0.0.0", ""},
		{"TCP, no host", tcp, client, 1, false, "", "sip:a@0.0.0.0;transport=tcp", ""},
		{"TCP, us", tcp, client, 1, false, "", "sip:a@192.0.2.1;transport=tcp", ""},
		{"WebSocket", ws, "x.invalid", 1, false, "", "sip:a@x.invalid;transport=ws", ""},

		{"a trusted proxy", udp, client, 2, true, "", "sip:a@198.51.100.9", ""},
		{"a trusted proxy, us", udp, client, 2, true, "", "sip:a@192.0.2.1", ours},
		{"a trusted proxy, our domain", udp, client, 2, true, "", "sip:a@example.org", ours},
		{"a trusted proxy, multicast", udp, client, 2, true, "", "sip:a@224.0.1.75", group},

		{"Path", udp, client, 2, false, "sip:203.0.113.1;lr", "sip:a@0.0.0.0", ""},
		{"Path of a trusted proxy", udp, client, 2, true, "sip:198.51.100.9;lr", "sip:a@192.0.2.1", ""},
		{"Path, us", udp, client, 2, true, "sip:192.0.2.1;lr", "sip:a@198.51.100.9", "Path names this server"},
		{"Path, no host", udp, client, 2, true, "sip:0.0.0.0;lr", "sip:a@198.51.100.9", "Path names no host"},
		{"Path over TCP, us", tcp, client, 2, true, "sip:192.0.2.1;lr", "sip:a@198.51.100.9", "Path names this server"},
	} {
		f, err := sip.ParseFlow(tc.flow)
		if err != nil {
			t.Fatal(err)
		}
		via, err := sip.ParseVia("SIP/2.0/UDP " + tc.via)
		if err != nil {
			t.Fatal(err)
		}
		contact, err := sip.ParseURI(tc.contact)
		if err != nil {
			t.Fatal(err)
		}
		g := registration{own: &addresses, flow: f, via: &via, vias: tc.vias, trusted: tc.trusted, nat: via.BehindNAT(f.Remote)}
		if tc.path != "" {
			if refusal := g.readPath([]string{"<" + tc.path + ">"}); refusal != nil {
				t.Fatalf("%s: %v", tc.name, refusal)
			}
		}
		got := ""
		if refusal := g.checkContact(contact, g.flowTo(contact)); refusal != nil {
			if got = refusal.Reason; refusal.Status != 400 {
				t.Errorf("%s: status %d", tc.name, refusal.Status)
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
