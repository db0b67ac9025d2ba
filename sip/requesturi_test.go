package sip

import "testing"

func TestRequestURI(t *testing.T) {
	for _, tc := range []struct{ contact, want string }{
		{"sip:a@192.0.2.1:5062;transport=tcp;ob", "sip:a@192.0.2.1:5062;transport=tcp;ob"},
		{"sip:a@192.0.2.1?Subject=x&Route=%3Csip:b%3E", "sip:a@192.0.2.1"},
		{"sip:a@192.0.2.1;method=REGISTER", "sip:a@192.0.2.1"},
		{"sip:a@192.0.2.1;ob;Method=INVITE;transport=udp;lr?X=y", "sip:a@192.0.2.1;ob;transport=udp;lr"},
		{"sip:a@192.0.2.1;method", "sip:a@192.0.2.1"},
		{"sip:a@192.0.2.1;methods=x", "sip:a@192.0.2.1;methods=x"},
		{"sip:a@192.0.2.1;x=method", "sip:a@192.0.2.1;x=method"},
		{"sip:a?b;method=c@192.0.2.1", "sip:a?b;method=c@192.0.2.1"}, // in the user part
		{"sip:192.0.2.1;", "sip:192.0.2.1;"},
		{"tel:+1?x", "tel:+1?x"},
	} {
		if got := RequestURI(tc.contact); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.contact, got, tc.want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { RequestURI("sip:a@192.0.2.1:5062;transport=tcp;ob") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
