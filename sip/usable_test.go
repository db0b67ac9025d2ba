package sip

import (
	"net/netip"
	"testing"
)

func TestUnusable(t *testing.T) {
	own := OwnAddresses{Broadcast: []netip.Addr{netip.MustParseAddr("192.0.2.255")}}
	const (
		noHost, group, all = "names no host", "names a group of hosts", "names all hosts of a network"
		never              = "names a host that cannot exist"
	)
	for uri, want := range map[string]string{
		"sip:a@192.0.2.2": "", "sip:a@192.0.2.254:5060": "", "sip:a@phone.example.com": "", "sip:a@[2001:db8::2]": "",
		"sip:a@0.0.0.0": noHost, "sip:a@0.0.0.0:9;transport=tcp": noHost, "sip:a@0.1.2.3": noHost, "sip:a@[::]": noHost, "sip:a@[::ffff:0.0.0.0]": noHost,
		"sip:a@224.0.1.75": group, "sip:239.255.255.255:9": group, "sip:a@[ff02::1]": group, "sip:a@[::ffff:224.0.0.1]": group,
		"sip:a@255.255.255.255": all, "sip:a@192.0.2.255:5062": all, "sip:a@[::ffff:255.255.255.255]": all,
		"sip:a@192.0.2.1:5062": "", "sip:a@127.0.0.1:5062": "", "sip:a@[2001:db8::1]": "", "sip:a@example.org:5062": "",
		"sip:a@x.invalid": never, "sip:a@invalid.": never, "sip:a@invalid.example.com": "",
	} {
		if got := own.Unusable(parse(t, uri)); got != want {
			t.Errorf("%s %q, want %q", uri, got, want)
		}
	}
}
