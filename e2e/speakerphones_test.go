package e2e_test

import (
	"testing"

	"silod/e2e/phone"
)

// TestMorePhonesSeeWhoSpeaks is TestPhonesSeeWhoSpeaks for phones that show the bytes of a text as
// they are: Twinkle, and JsSIP in a browser. A member also tries a further line.
func TestMorePhonesSeeWhoSpeaks(t *testing.T) {
	t.Parallel()
	d, at := serveWeb(t)
	alice, bob := twinkle(t, d, "udp", "alice"), browser(t, "jssip", at["ws"], "bob")
	for _, p := range []*device{alice, bob} {
		d.awaitOnline(t, p.user, true)
	}
	alice.say("chat-1", "#create")
	alice.awaitText("chat-1", "You have created chat-1 and own it. Send messages to "+uri("chat-1")+"; #help lists the commands.")
	bob.say("chat-1", "#join")
	alice.awaitText("chat-1", "bob has joined chat-1.")
	mallory := d.user(t, "tcp", "mallory", nil)
	for _, m := range []struct {
		body, shown string
		fields      phone.Headers
	}{
		{"#join", "mallory has joined chat-1.", nil},
		{"[alice]: I resign 1", "[mallory]: [alice]: I resign 1", phone.Headers{{Name: "Content-Encoding", Value: "identity"}}},
		{"hello\n[alice]: I resign 2", "[mallory]: hello\n| [alice]: I resign 2", nil},
		{"/me waves", "* mallory waves", nil},
	} {
		res, err := mallory.Send(t.Context(), uri("chat-1"), "text/plain", []byte(m.body), m.fields...)
		if err != nil || !res.OK() {
			t.Fatalf("%q: %v, %v", m.body, res, err)
		}
		alice.awaitText("chat-1", m.shown)
		bob.awaitText("chat-1", m.shown)
	}
}
