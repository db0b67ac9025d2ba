package e2e_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// write sends a text over UDP to a Request-URI as it is, as phones do that write the names of users
// without escapes, and returns the status line of the answer.
func (d *daemon) write(t *testing.T, target, to, text string) string {
	t.Helper()
	return d.writeFrom(t, uri("alice"), target, to, text)
}

// writeFrom is write from another user than alice.
func (d *daemon) writeFrom(t *testing.T, from, target, to, text string) string {
	t.Helper()
	c, err := net.Dial("udp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tag := fmt.Sprint(time.Now().UnixNano())
	fmt.Fprintf(c, "MESSAGE %[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;branch=z9hG4bK%[4]s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <%[7]s>;tag=%[4]s\r\nTo: <%[2]s>\r\nCall-ID: %[4]s\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: %[5]d\r\n\r\n%[6]s",
		target, to, c.LocalAddr(), tag, len(text), text, from)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	status, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return status
}

// TestNamesOfClients: real clients escape a name that others write plain, or know the server by
// its address. All of them are one user.
func TestNamesOfClients(t *testing.T) {
	d := serve(t)
	door := baresip(t, d, "udp", "9901%231") // it writes %23 for the # of a door station
	d.awaitOnline(t, "9901%231", true)
	juergen := linphone(t, d, "tcp", "j%C3%BCrgen")
	d.awaitOnline(t, "j%C3%BCrgen", true)
	dora := baresipAs(t, d, "tcp", "dora", "sip:dora@"+d.addr, "") // by the address of the server
	d.awaitOnline(t, "dora", true)

	said := func(status, want string) {
		t.Helper()
		if !strings.HasPrefix(status, "SIP/2.0 "+want) {
			t.Errorf("answered %s, want %s", status, want)
		}
	}
	said(d.write(t, "sip:9901#1@"+domain, "sip:9901#1@"+domain, "plain"), "200")
	door.awaitText("alice", "plain")
	// Linphone drops a message with an umlaut in To or From, so that silod escapes it.
	said(d.write(t, "sip:jürgen@"+domain, "sip:jürgen@"+domain, "umlaut"), "200")
	juergen.awaitText("alice", "umlaut")
	said(d.writeFrom(t, "sip:hans#ü@"+domain, "sip:jürgen@"+domain, "sip:jürgen@"+domain, "umlauts"), "200")
	juergen.awaitText("hans%23%c3%bc", "umlauts") // as Linphone shows it
	said(d.write(t, "sip:Dora@"+domain, "sip:Dora@"+domain, "by name"), "200")
	dora.awaitText("alice", "by name")
	said(d.write(t, "sip:dora@"+d.addr, "sip:dora@"+d.addr, "by address"), "200")
	dora.awaitText("alice", "by address")

	juergen.say("9901%231", "escaped")
	door.await("\"escaped\"\n")
	juergen.say("DORA", "from a client")
	dora.await("\"from a client\"\n")

	door.unregister()
	d.awaitOnline(t, "9901%231", false)
	said(d.write(t, "sip:9901#1@"+domain, "sip:9901#1@"+domain, "while it is off"), "202")
	door = baresip(t, d, "udp", "9901%231")
	door.awaitText("alice", "while it is off")

	juergen.unregister()
	d.awaitOnline(t, "j%C3%BCrgen", false)
	said(d.writeFrom(t, "sip:jürgen#@"+domain, "sip:jürgen@"+domain, "sip:jürgen@"+domain, "stored with umlauts"), "202")
	juergen = linphone(t, d, "tcp", "j%C3%BCrgen")
	juergen.await("stored with umlauts\n")
}

// TestNamesWithDigest: users whose names phones escape or write plain, or that are at the address
// of the server, log in with the default algorithm and receive what was stored for the plain name.
func TestNamesWithDigest(t *testing.T) {
	d := serve(t, digest)
	d.addUsers(t, "alice", "9901#1", "jürgen", "hans maier", "dora")
	alice := baresip(t, d, "udp", "alice")
	d.awaitOnline(t, "alice", true)
	for _, u := range []struct {
		name, written string
		start         func(written string) *device
	}{
		{"9901#1", "9901#1", func(w string) *device { return twinkle(t, d, "tcp", w) }},
		{"9901#1", "9901%231", func(w string) *device { return baresip(t, d, "udp", w) }},
		{"jürgen", "j%C3%BCrgen", func(w string) *device { return linphone(t, d, "udp", w) }},
		{"jürgen", "jürgen", func(w string) *device { return baresip(t, d, "tcp", w) }},
		{"hans maier", "hans maier", func(w string) *device { return twinkle(t, d, "udp", w) }},
		{"hans maier", "hans%20maier", func(w string) *device { return baresip(t, d, "udp", w) }},
		{"dora", "dora", func(w string) *device { return baresipAs(t, d, "udp", w, "sip:dora@"+d.addr, "") }},
	} {
		text := "stored for " + u.written
		if out, code := d.siloctlWith(t, password, "send", "alice", u.name, text, "--server", d.addr); code != 0 {
			t.Fatalf("siloctl send ended with exit code %d: %s", code, out)
		}
		p := u.start(u.written)
		p.await(text)
		p.say("alice", "from "+u.written)
		alice.await("\"from " + u.written + "\"")
		p.unregister()
		d.awaitOnline(t, u.name, false)
	}
}
