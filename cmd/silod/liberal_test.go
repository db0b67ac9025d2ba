package main

import (
	"fmt"
	"strings"
	"testing"
)

// from returns a request with another From, which has a tag.
func from(request, value string) string {
	lines := strings.Split(request, "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "From:") {
			lines[i] = "From: " + value
		}
	}
	return strings.Join(lines, "\r\n")
}

// otherSenders are values of From without an address of ours.
var otherSenders = []string{
	"<tel:+4912345>;tag=1",
	`"A gateway" <tel:+49-123-45;isub=1>;tag=1;x="y, z"`,
	"tel:+4912345;tag=1",
	"<tel:12345;phone-context=gw.example>;tag=1",
	"<urn:service:sos>;tag=1",
	"<mailto:carol@mail.example?subject=x>;tag=1",
	`"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1`,
	"<sip:gateway.example>;tag=1",
	"<sip:gateway.example:5070;transport=tcp>;tag=1",
}

// TestFromOfAnyScheme sends messages whose From is not a SIP address, or none that can be reached
// (RFC 3261 section 20.20), to a device and to a mailbox. From arrives as it was sent.
func TestFromOfAnyScheme(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.from_address = 'sip:registrar@127.0.0.1'", "silo.offline_message = 'offline'")
	gateway, b, carol := s.phone("udp", "gateway"), s.phone("udp", "bob"), s.phone("udp", "carol")
	b.register(60)
	send := func(to, value string) int {
		t.Helper()
		return status(gateway.ask(from(gateway.request("MESSAGE", to, to, "hello", "Content-Type: text/plain"), value)))
	}
	for _, value := range otherSenders {
		if got := send(b.aor, value); got != 200 {
			t.Errorf("%s: relayed with %d", value, got)
		} else if got := header(b.next(), "From"); got != value {
			t.Errorf("%s was relayed as %s", value, got)
		}
	}
	for _, value := range otherSenders {
		if got := send(carol.aor, value); got != 202 {
			t.Errorf("%s: stored with %d", value, got)
		}
	}
	if n := s.silo.Stats.Notices.Value(); n != 0 {
		t.Errorf("%d notices for senders that cannot be reached", n)
	}
	var lines []string
	for _, n := range s.call("silo_export").Nodes {
		lines = append(lines, fmt.Sprint(n.Value))
	}
	s.call("silo_purge", carol.aor)
	if n := s.call("silo_import", strings.Join(lines, "\n")); fmt.Sprint(n.Nodes[0].Value) != fmt.Sprint(len(otherSenders)) {
		t.Errorf("imported %v of\n%s", n.Nodes[0].Value, strings.Join(lines, "\n"))
	}
	carol.register(60)
	for _, value := range otherSenders {
		if got := header(carol.next(), "From"); got != value {
			t.Errorf("%s was delivered as %s", value, got)
		}
	}
	carol.nothing()
}

// TestMailboxOfOtherSenders lists and counts messages by a sender that is not a SIP address. The
// spellings of one telephone number are one sender, as for the quota.
func TestMailboxOfOtherSenders(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.max_per_sender = 2")
	gateway := s.phone("udp", "gateway")
	for _, step := range []struct {
		from   string
		status int
	}{
		{"<tel:+4912345>;tag=1", 202},
		{"<tel:+49-123-45;isub=7>;tag=2", 202},
		{"<tel:+49(123)45;ext=1>;tag=3", 480},
		{"<tel:45;phone-context=+49123>;tag=4", 202},
		{"<mailto:c@d.example?subject=1>;tag=5", 202},
		{"<mailto:c@d.example?subject=2>;tag=5", 202},
		{"<mailto:c@d.example?subject=3>;tag=5", 480},
	} {
		if got := status(gateway.ask(from(gateway.request("MESSAGE", bob, bob, "hello", "Content-Type: text/plain"), step.from))); got != step.status {
			t.Errorf("%s: answered %d, want %d", step.from, got, step.status)
		}
	}
	for sender, want := range map[string]string{
		"tel:+4912345": "2", "<tel:+49-12345>": "2", "tel:45;phone-context=+49123": "1", "mailto:c@d.example": "2", "tel:45": "0",
	} {
		n, err := s.callNamed("silo_count", "from", sender)
		if err != nil || fmt.Sprint(n.Nodes[0].Value) != want {
			t.Errorf("from %s: %v, %v, want %s", sender, n, err, want)
		}
	}
	if got := nodeAttr(s.call("silo_list").Nodes[1], "from"); got != "tel:+4912345" {
		t.Errorf("listed from %s", got)
	}
}

// TestOtherSendersWithDigest checks that a From of another scheme is a stranger's, and that an
// address of ours in such a URI is not.
func TestOtherSendersWithDigest(t *testing.T) {
	t.Parallel()
	for policy, stranger := range map[string]int{"nobody": 403, "users": 202, "all": 202} {
		s := serveUsers(t, "auth.strangers = '"+policy+"'", "auth.trusted = ['127.0.0.7 identity']")
		a, gateway := s.phone("tcp", "alice"), s.phoneFrom("tcp", "127.0.0.7", "gateway")
		for _, value := range otherSenders {
			if got := status(a.ask(from(a.text(bob, "hello"), value))); got != stranger {
				t.Errorf("strangers %s: %s is answered %d", policy, value, got)
			}
			if got := status(gateway.ask(from(gateway.text(bob, "hello"), value))); got != 202 {
				t.Errorf("strangers %s: %s of a trusted peer is answered %d", policy, value, got)
			}
		}
		for _, value := range []string{
			"<im:alice@127.0.0.1>;tag=1", "<mailto:alice@127.0.0.1>;tag=1", "im:%61lice@127.0.0.1;tag=1", "<XMPP:alice@127.0.0.1/home>;tag=1",
			"<pres://alice@localhost>;tag=1", "<sips:alice@127.0.0.1>;tag=1", "<tel:12;phone-context=127.0.0.1>;tag=1", "<im:%zz@127.0.0.1>;tag=1",
			"<im:alice@127.0.0.1?x=y@z>;tag=1", "<alice@127.0.0.1>;tag=1", "alice@127.0.0.1;tag=1", "<sip:alice@127.0.0.1:0>;tag=1", "< sip:alice@127.0.0.1 >;tag=1",
			"sip:alice@127.0.0.1?x=y;tag=1", "A, B <sip:alice@127.0.0.1>;tag=1", "<sip:@127.0.0.1>;tag=1", "<sip:alice@127.0.0.1:>;tag=1",
		} {
			if got := status(a.ask(from(a.text(bob, "hello"), value))); got != 407 {
				t.Errorf("strangers %s: %s is answered %d", policy, value, got)
			}
		}
		if got := status(a.proven(asAlice, from(a.text(bob, "hello"), "<im:alice@127.0.0.1>;tag=1"))); got != 202 {
			t.Errorf("alice with her address under another scheme: %d", got)
		}
		if got := status(a.proven(asAlice, from(a.text(bob, "hello"), "<im:bob@127.0.0.1>;tag=1"))); got != 403 {
			t.Errorf("alice with another address under another scheme: %d", got)
		}
	}
}

// TestRoomsNeedAnAddress checks that a sender which no message can reach is told so, and that
// the address which a trusted peer asserts counts.
func TestRoomsNeedAnAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, "auth.trusted = ['127.0.0.7 identity']")
	gateway, trusted := s.phone("tcp", "gateway"), s.phoneFrom("tcp", "127.0.0.7", "gateway")
	for _, value := range otherSenders {
		got := gateway.ask(from(gateway.text(room1, "#create"), value))
		if status(got) != 403 || !strings.Contains(got, "only for senders with an address sip:user@domain") {
			t.Errorf("%s: answered\n%s", value, got)
		}
	}
	for i, id := range []string{"<tel:+4912345>", "tel:+4912345", `"Carol" <tel:+4912345>, <sip:carol@127.0.0.1>`} {
		got := trusted.ask(from(trusted.text(room1, "#create"), "<tel:+4912345>;tag=1"+"\r\nP-Asserted-Identity: "+id))
		if want := []int{403, 403, 200}[i]; status(got) != want {
			t.Errorf("asserted %s: answered\n%s", id, got)
		}
	}
}

// TestCredentialsBeforeAChallenge sends credentials as clients do that have not seen a
// challenge, or one of another server. They count as none: the answer is a challenge, which the
// client can then answer, and no failed login.
func TestCredentialsBeforeAChallenge(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.failures = '2/10m'")
	a := s.phone("tcp", "alice")
	for _, value := range []string{
		`Digest username="alice",realm="127.0.0.1",nonce="",uri="sip:127.0.0.1",response=""`,                        // 3GPP TS 24.229
		`Digest username="alice", realm="127.0.0.1", nonce="", uri="sip:127.0.0.1", response="", algorithm=MD5`,     // PJSIP
		`Digest username="alice", realm="127.0.0.1", uri="sip:127.0.0.1"`,                                           // sipml5
		`Digest username="alice",realm="127.0.0.1",nonce="",uri="sip:127.0.0.1",response="",integrity-protected=no`, // an edge proxy
		`Digest username="alice@ims.example", realm="ims.example", nonce="", uri="sip:ims.example", response="", algorithm=AKAv1-MD5`,
		`Digest username="alice", realm="127.0.0.1", nonce="bm9uY2U=", uri="sip:127.0.0.1", response="0123", algorithm=AKAv1-MD5`,
		`Digest username="alice", realm="127.0.0.1", nonce="of another server", uri="sip:127.0.0.1", response="0123"`,
		`Digest username="alice", realm="127.0.0.1", nonce="of another server", uri="sip:eve@127.0.0.1", response="0123"`,
		`Digest username="alice", realm="127.0.0.1", nonce="n", uri="sip:127.0.0.1", response="0123", qop=auth`,
		`Digest username="alice", realm="127.0.0.1", nonce="n", uri="sip:127.0.0.1", response=""`,
		`Digest username="", realm="", nonce="", uri="", response=""`,
		`Digest username=alice, realm=127.0.0.1, nonce=, uri=sip:127.0.0.1, response=`,
		`Digest username="alice", realm="elsewhere.example", nonce="n", uri="sip:127.0.0.1", response="0123"`,
		`Digest username="alice`,
		`Digest username="alice" realm="127.0.0.1"`,
		"Digest", "Digest ", "", "Basic YWxpY2U6eA==", "NTLM TlRMTVNTUAAB", "Bearer abc.def.ghi", "Negotiate",
		`NTLM qop="auth", realm="SIP Communications Service", opaque="", targetname="x", response=""`,
	} {
		contact := "Contact: <sip:alice@127.0.0.66:9>"
		for want, request := range map[int]string{
			401: with(a.request("REGISTER", "sip:127.0.0.1", alice, "", contact), "Authorization", value),
			407: with(a.text(bob, "hello"), "Proxy-Authorization", value),
		} {
			got := a.ask(request)
			if status(got) != want || len(challenges(got)) == 0 {
				t.Errorf("%q: answered\n%s", value, got)
				continue
			}
			method, _, _ := strings.Cut(request, " ")
			uri := strings.Fields(request)[1]
			if answer := a.ask(with(again(request), credentialsFor[want], asAlice.answer(t, challenges(got), method, uri, 1))); status(answer) >= 300 {
				t.Errorf("%q, then right ones beside them: answered\n%s", value, answer)
			}
		}
	}
	if n := s.guard.Bans.Stats.Failures.Value(); n != 0 {
		t.Errorf("%d failed logins were counted", n)
	}
}

// TestNoticeToAnAssertedSender checks that the sender which a trusted peer asserts gets the
// notice about its message, although From is a telephone number.
func TestNoticeToAnAssertedSender(t *testing.T) {
	t.Parallel()
	s := serve(t, "auth.trusted = ['127.0.0.7 identity']", "silo.from_address = 'sip:registrar@127.0.0.1'", "silo.offline_message = '$fU: offline'")
	trusted, carol := s.phoneFrom("tcp", "127.0.0.7", "gateway"), s.phone("tcp", "carol")
	carol.register(60)
	request := from(trusted.text(bob, "hello"), "<tel:+49-123>;tag=1\r\nP-Asserted-Identity: <tel:+49123>, <sip:carol@127.0.0.1>")
	if got := trusted.ask(request); status(got) != 202 {
		t.Fatalf("answered\n%s", got)
	}
	if notice := carol.next(); header(notice, "To") != "<tel:+49-123>" || body(notice) != "+49123: offline" {
		t.Errorf("notice\n%s", notice)
	}
}
