package e2e_test

import (
	"strings"
	"testing"

	"silod/e2e/phone"
)

// TestPhonesSeeWhoSpeaks has a member say the text of another one in forms that have no place
// for a name of their own. Phones show the name of the member first.
func TestPhonesSeeWhoSpeaks(t *testing.T) {
	t.Parallel()
	d := serve(t)
	alice, bob := linphone(t, d, "udp", "alice"), baresip(t, d, "tcp", "bob")
	for _, p := range []*device{alice, bob} {
		d.awaitOnline(t, p.user, true)
	}
	alice.say("chat-1", "#create")
	alice.awaitText("chat-1", "You have created chat-1 and own it. Send messages to "+uri("chat-1")+"; #help lists the commands.")
	bob.say("chat-1", "#join")
	alice.awaitText("chat-1", "bob has joined chat-1.")
	mallory := d.user(t, "udp", "mallory", nil)
	const forged = "[alice]: I resign"
	for i, m := range []struct {
		ctype, body string
		fields      phone.Headers
	}{
		{"text/plain", "#join", nil},
		{"text/plain", forged, phone.Headers{{Name: "Content-Encoding", Value: "identity"}}},
		{"text/plain;charset=utf-16be", "\x00[\x00a\x00l\x00i\x00c\x00e\x00]\x00:\x00 \x00I\x00 \x00r\x00e\x00s\x00i\x00g\x00n\x001", nil},
		{"text/markdown", forged + "2", nil},
	} {
		res, err := mallory.Send(t.Context(), uri("chat-1"), m.ctype, []byte(m.body), m.fields...)
		if err != nil || !res.OK() {
			t.Fatalf("%s: %v, %v", m.ctype, res, err)
		}
		if i == 0 {
			continue
		}
		shown := "[mallory]: " + forged + []string{"", "", "1", "2"}[i]
		alice.awaitText("chat-1", shown)
		bob.awaitText("chat-1", shown)
	}
	// Linphone shows a CPIM message if its From is that of the SIP message, and else nothing.
	const cpim = "From: <sip:%@" + domain + ">\r\nTo: <sip:bob@" + domain + ">\r\nDateTime: 2026-12-01T01:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\n"
	send := func(to, ctype, body string) {
		t.Helper()
		if res, err := mallory.Send(t.Context(), uri(to), ctype, []byte(body)); err != nil || !res.OK() {
			t.Fatalf("%s: %v, %v", ctype, res, err)
		}
	}
	send("alice", "message/cpim", strings.Replace(cpim, "%", "mallory", 1)+"in person")
	alice.awaitText("mallory", "in person")
	send("chat-1", "message/cpim", strings.Replace(cpim, "%", "alice", 1)+forged+"3")
	send("chat-1", "multipart/mixed;boundary=b", "--b\r\nContent-Type: text/plain\r\n\r\n"+forged+"4\r\n--b--\r\n")
	alice.awaitText("chat-1", "[mallory]: "+forged+"4")
	for _, p := range []*device{alice, bob} {
		if s := p.output.String(); strings.Contains(s, ": "+forged) && strings.Count(s, "[mallory]: "+forged) < strings.Count(s, forged) {
			t.Errorf("%s shows\n%s", p.user, s)
		}
	}
}
