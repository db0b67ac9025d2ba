package router

import (
	"testing"

	"silod/sip"
)

// TestContactFlow lists how a REGISTER came and where its contact is reached. "" is the zero
// Flow: the Path or the Contact is dialed. A number is a refusal.
func TestContactFlow(t *testing.T) {
	const (
		udp  = "udp:192.0.2.1:5060>203.0.113.1:40000"
		udp6 = "udp:[::]:5060>[2001:db8::1]:40000"
		link = "udp:[::]:5060>[fe80::1%eth0]:40000"
		tcp  = "tcp:192.0.2.1:5060>203.0.113.1:40000#1"
		tls  = "tls:192.0.2.1:5061>203.0.113.1:40000#1"
		ws   = "ws:192.0.2.1:80>203.0.113.1:40000#1"
		to   = "udp:192.0.2.1:5060>" // the remote address follows
	)
	const direct, proxied = 1, 2
	for _, tc := range []struct {
		name    string
		flow    string
		via     string // sent-by of the topmost
		vias    int
		trusted bool
		path    string
		contact string
		want    string
	}{
		// Over UDP, from a stranger.
		{"no NAT", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1:40000", udp},
		{"listens on another port, as its Via says", udp, "203.0.113.1:5070", direct, false, "", "sip:a@203.0.113.1:5070", to + "203.0.113.1:5070"},
		{"listens on another port", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1:5070", to + "203.0.113.1:5070"},
		{"the default port", udp, "203.0.113.1", direct, false, "", "sip:a@203.0.113.1", to + "203.0.113.1:5060"},
		{"a name in Via", udp, "phone.example.org", direct, false, "", "sip:a@203.0.113.1:5070", to + "203.0.113.1:5070"},
		{"NAT", udp, "192.168.0.5:5060", direct, false, "", "sip:a@192.168.0.5:5060", udp},
		{"NAT, Contact with an old mapping", udp, "192.168.0.5:5060", direct, false, "", "sip:a@203.0.113.1:39999", udp},
		{"an ALG has changed the Via only", udp, "203.0.113.1:40000", direct, false, "", "sip:a@192.168.0.5:5060", udp},
		{"an address of another", udp, "203.0.113.1:40000", direct, false, "", "sip:a@198.51.100.9:5060", udp},
		{"through a proxy", udp, "203.0.113.1:5060", proxied, false, "", "sip:a@198.51.100.9:5060", udp},
		{"a name", udp, "203.0.113.1:40000", direct, false, "", "sip:a@victim.example.org", udp},
		{"an address that is a name", udp, "203.0.113.1:40000", direct, false, "", "sip:a@3405803777", udp},
		{"broadcast", udp, "203.0.113.1:40000", direct, false, "", "sip:a@255.255.255.255", udp},
		{"maddr", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1:40000;maddr=198.51.100.9", udp},
		{"the other IP version", udp, "203.0.113.1:40000", direct, false, "", "sip:a@[2001:db8::9]", udp},
		{"a mapped address", udp, "203.0.113.1:40000", direct, false, "", "sip:a@[::ffff:203.0.113.1]:5070", to + "203.0.113.1:5070"},
		{"IPv6", udp6, "[2001:db8::1]:5070", direct, false, "", "sip:a@[2001:db8:0::1]:5070", "udp:[::]:5060>[2001:db8::1]:5070"},
		{"a link-local address", link, "[fe80::1]:5070", direct, false, "", "sip:a@[fe80::1]:5070", "udp:[::]:5060>[fe80::1%eth0]:5070"},

		// The transport of the Contact counts.
		{"TCP", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1:5070;transport=tcp", ""},
		{"TLS", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1:5070;transport=TLS", ""},
		{"sips", udp, "203.0.113.1:40000", direct, false, "", "sips:a@203.0.113.1", ""},
		{"TCP behind a NAT", udp, "192.168.0.5", direct, false, "", "sip:a@192.168.0.5;transport=tcp", udp},
		{"TCP of another", udp, "203.0.113.1:40000", direct, false, "", "sip:a@198.51.100.9;transport=tcp", udp},
		{"a transport that cannot be dialed", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1;transport=ws", udp},
		{"an unknown transport", udp, "203.0.113.1:40000", direct, false, "", "sip:a@203.0.113.1;transport=sctp", udp},

		// A connection is used while it is open.
		{"TCP connection", tcp, "203.0.113.1:5070", direct, false, "", "sip:a@203.0.113.1:5070;transport=tcp", tcp},
		{"TCP connection, other Contact", tcp, "203.0.113.1:5070", direct, false, "", "sip:a@198.51.100.9", tcp},
		{"TCP connection of a trusted client", tcp, "203.0.113.1:5070", direct, true, "", "sip:a@pbx.example.org", tcp},
		{"TLS connection", tls, "203.0.113.1", direct, false, "", "sips:a@203.0.113.1", tls},
		{"WebSocket", ws, "x.invalid", direct, false, "", "sip:a@x.invalid;transport=ws", ws},
		{"WebSocket through a proxy", ws, "edge.example.org", proxied, true, "", "sip:a@198.51.100.9", ws},
		{"TCP connection of a proxy", tcp, "203.0.113.1", proxied, false, "", "sip:a@198.51.100.9", tcp},

		// A trusted peer registers others.
		{"a proxy without Path", udp, "203.0.113.1", proxied, true, "", "sip:a@198.51.100.9:5070", to + "198.51.100.9:5070"},
		{"its client listens on TCP", udp, "203.0.113.1", proxied, true, "", "sip:a@198.51.100.9;transport=tcp", ""},
		{"its client has a name", udp, "203.0.113.1", proxied, true, "", "sip:a@pbx.example.org", ""},
		{"its client is on the same host", tcp, "203.0.113.1", proxied, true, "", "sip:a@203.0.113.1:5070", ""},
		{"its client has a WebSocket", tcp, "203.0.113.1", proxied, true, "", "sip:a@x.invalid", tcp},
		{"it knows the address of its client", udp, "203.0.113.1", proxied, true, "", "sip:a@192.168.0.5;alias=198.51.100.9~40000~1", udp},
		{"a gateway", udp, "203.0.113.1:40000", direct, true, "", "sip:a@198.51.100.9", to + "198.51.100.9:5060"},
		{"a trusted network behind a NAT", udp, "192.168.0.5", direct, true, "", "sip:a@192.168.0.5", udp},

		// Path.
		{"Path of the sender", udp, "203.0.113.1", proxied, false, "<sip:203.0.113.1:5080;lr>", "sip:a@192.168.0.5", to + "203.0.113.1:5080"},
		{"over TCP", tcp, "203.0.113.1", proxied, false, "<sip:203.0.113.1:5080;transport=tcp;lr>", "sip:a@192.168.0.5", tcp},
		{"over TCP, without a transport", tcp, "203.0.113.1", proxied, false, "<sip:203.0.113.1;lr>", "sip:a@192.168.0.5", tcp},
		{"over TCP, for UDP", tcp, "203.0.113.1", proxied, false, "<sip:203.0.113.1;transport=udp;lr>", "sip:a@192.168.0.5", ""},
		{"over UDP, for TCP", udp, "203.0.113.1", proxied, false, "<sip:203.0.113.1;transport=tcp;lr>", "sip:a@192.168.0.5", ""},
		{"of another", udp, "203.0.113.1", proxied, false, "<sip:198.51.100.9;lr>", "sip:a@203.0.113.1", "403"},
		{"a name of a stranger", udp, "edge.example.org", proxied, false, "<sip:edge.example.org;lr>", "sip:a@203.0.113.1", "403"},
		{"of another, trusted", udp, "203.0.113.1", proxied, true, "<sip:198.51.100.9:5080;lr>", "sip:a@192.168.0.5", to + "198.51.100.9:5080"},
		{"of another, trusted, over TCP", tcp, "203.0.113.1", proxied, true, "<sip:198.51.100.9;transport=tcp;lr>", "sip:a@192.168.0.5", ""},
		{"a name, trusted", udp, "203.0.113.1", proxied, true, "<sip:edge.example.org;lr>", "sip:a@192.168.0.5", ""},
		{"the name of the sender", tcp, "Edge.example.org", proxied, true, "<sip:edge.example.org;transport=tcp;lr>", "sip:a@192.168.0.5", tcp},
		{"no Path at all", udp, "203.0.113.1", proxied, true, ".", "sip:a@192.168.0.5", "400"},
		{"a Path that is not a SIP URI", udp, "203.0.113.1", proxied, true, "<tel:+1>", "sip:a@192.168.0.5", "400"},
	} {
		flow, err := sip.ParseFlow(tc.flow)
		if err != nil {
			t.Fatal(err)
		}
		via, err := sip.ParseVia("SIP/2.0/UDP " + tc.via + ";branch=z9hG4bK1;rport")
		if err != nil {
			t.Fatal(err)
		}
		contact, err := sip.ParseURI(tc.contact)
		if err != nil {
			t.Fatal(err)
		}
		g := registration{flow: flow, via: &via, vias: tc.vias, trusted: tc.trusted, nat: via.BehindNAT(flow.Remote)}
		var path []string
		if tc.path != "" {
			path = []string{tc.path, "<sip:first.example.org;lr>"}
		}
		var got string
		if refusal := g.readPath(path); refusal != nil {
			got = refusal.Error()[:3]
		} else {
			got = g.flowTo(contact).String()
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
