package sip

import "testing"

func TestSenders(t *testing.T) {
	d := NewDomains("example.org")
	alice := AoR{User: "alice", Domain: "example.org"}
	gateway := AoR{User: "+4917", Domain: "gateway.example"}
	for _, tc := range []struct {
		list []string
		from Sender
		want bool
	}{
		{nil, Sender{AoR: alice, Authenticated: true, Local: true}, false},
		{[]string{"nobody"}, Sender{AoR: alice, Authenticated: true, Local: true}, false},
		{[]string{"all"}, Sender{}, true},
		{[]string{"authenticated"}, Sender{AoR: gateway, Authenticated: true}, true},
		{[]string{"authenticated"}, Sender{AoR: gateway}, false},
		{[]string{"local"}, Sender{AoR: alice, Authenticated: true, Local: true}, true},
		{[]string{"local"}, Sender{AoR: alice, Local: true}, false},
		{[]string{"local"}, Sender{AoR: gateway, Authenticated: true}, false},
		{[]string{"sip:%41lice@EXAMPLE.org"}, Sender{AoR: alice, Authenticated: true, Local: true}, true},
		{[]string{"alice@example.org"}, Sender{AoR: alice, Local: true}, false},
		{[]string{"bob@example.org", "@Gateway.example"}, Sender{AoR: gateway, Authenticated: true}, true},
		{[]string{"@example.org"}, Sender{AoR: gateway, Authenticated: true}, false},
	} {
		s, err := ParseSenders(tc.list)
		if err != nil {
			t.Errorf("%q: %v", tc.list, err)
		}
		if got := s.Allows(d, tc.from); got != tc.want {
			t.Errorf("%q allows %+v: %v, want %v", tc.list, tc.from, got, tc.want)
		}
	}
	for _, bad := range []string{"", "@", "alice", "@a b", "tel:+4917"} {
		if _, err := ParseSenders([]string{bad}); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}
