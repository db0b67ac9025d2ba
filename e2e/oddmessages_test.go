package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// plainKamailio is a registrar and proxy without any rule of its own.
const plainKamailio = `debug=0
log_stderror=yes
children=1
listen=udp:%[1]s
alias="sip.test"
auto_aliases=no
dns=no
rev_dns=no
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
request_route {
	if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("REGISTER")) { save("location"); exit; }
	loose_route();
	if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
	t_relay();
}
`

// TestKamailioAndDevices sends messages as devices write them, well-formed or not, to Kamailio
// and to silod. Each message that Kamailio delivers, silod delivers too, with the same body, except where
// the table says why not.
func TestKamailioAndDevices(t *testing.T) {
	program := installed(t, "kamailio")
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	dir := shortDir(t)
	cfg := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(cfg, fmt.Appendf(nil, plainKamailio, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command(program, "-f", cfg, "-DD", "-E", "-Y", dir, "-m", "16", "-M", "4"))
	theirs, ours := newRelayPair(t, addr), newRelayPair(t, serve(t).addr)
	compared := 0
	for i, c := range oddMessages {
		accepted, delivered := theirs.deliver(c.message(i), 600*time.Millisecond)
		if !accepted {
			continue
		}
		compared++
		ok, got := ours.deliver(c.message(i), patience)
		switch {
		case c.stricter != "" && ok:
			t.Errorf("%s: delivered, although %s", c.name, c.stricter)
		case c.stricter == "" && !ok:
			t.Errorf("%s: Kamailio delivers it, silod answers\n%s", c.name, got)
		case c.stricter == "" && bodyOf(got) != bodyOf(delivered):
			t.Errorf("%s: Kamailio delivers the body %q, silod %q", c.name, bodyOf(delivered), bodyOf(got))
		}
	}
	if compared < len(oddMessages)*3/4 {
		t.Errorf("Kamailio has delivered only %d of %d", compared, len(oddMessages))
	}
}

// A relayPair is a sender, and the device of a user, of one server.
type relayPair struct {
	t              *testing.T
	sender, device *net.UDPConn
}

func newRelayPair(t *testing.T, server string) *relayPair {
	t.Helper()
	p := &relayPair{t: t}
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []**net.UDPConn{&p.sender, &p.device} {
		if *c, err = net.DialUDP("udp", nil, to); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*c).Close() })
	}
	at := p.device.LocalAddr()
	register := fmt.Sprintf("REGISTER sip:sip.test SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;branch=z9hG4bKr;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:bob@sip.test>;tag=1\r\nTo: <sip:bob@sip.test>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\nContact: <sip:bob@%[1]s>\r\n"+
		"Expires: 3600\r\nContent-Length: 0\r\n\r\n", at)
	for end := time.Now().Add(patience); ; {
		_, _ = p.device.Write([]byte(register))
		if answer := datagram(p.device, time.Second); strings.HasPrefix(answer, "SIP/2.0 200") {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not register a device", server)
		}
	}
}

// datagram returns the next datagram, "" if none arrives in a time.
func datagram(c *net.UDPConn, wait time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(wait))
	b := make([]byte, 65536)
	n, _ := c.Read(b)
	return string(b[:n])
}

// repeated finds the header fields that an answer repeats.
var repeated = regexp.MustCompile(`(?im)^(via|v|from|f|to|t|call-id|i|cseq)\s*:.*\r?\n([ \t].*\r?\n)*`)

// deliver sends a message and answers it as the device. It reports whether the sender has got
// the answer of the device within a time, and returns the delivered message, else the answer.
func (p *relayPair) deliver(raw string, wait time.Duration) (accepted bool, message string) {
	for datagram(p.device, time.Millisecond) != "" || datagram(p.sender, time.Millisecond) != "" {
	}
	_, _ = p.sender.Write([]byte(raw))
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if m := datagram(p.device, 10*time.Millisecond); strings.HasPrefix(m, "MESSAGE ") {
			head, _, _ := strings.Cut(m, "\r\n\r\n")
			fields := strings.Join(repeated.FindAllString(head+"\r\n", -1), "")
			_, _ = p.device.Write([]byte("SIP/2.0 200 OK\r\n" + fields + "Content-Length: 0\r\n\r\n"))
			message = m
		}
		switch a := datagram(p.sender, 10*time.Millisecond); {
		case a == "" || strings.HasPrefix(a, "SIP/2.0 1"):
		case strings.HasPrefix(a, "SIP/2.0 200") && message != "":
			return true, message
		default:
			return false, a
		}
	}
	return false, ""
}

// bodyOf returns the body of a message as its recipient reads it. Kamailio also forwards line
// feeds, and bytes behind the body.
func bodyOf(message string) string {
	parts := headEnd.Split(message, 2)
	if len(parts) < 2 {
		return ""
	}
	n := len(parts[1])
	if found := lengthField.FindStringSubmatch(parts[0]); found != nil {
		length, _ := strconv.Atoi(found[1])
		n = min(n, length)
	}
	return parts[1][:n]
}

var (
	headEnd     = regexp.MustCompile(`\r?\n\r?\n`)
	lengthField = regexp.MustCompile(`(?im)^(?:content-length|l)\s*:\s*(\d+)`)
)

// An oddMessage is a MESSAGE of a device.
type oddMessage struct {
	name     string
	stricter string   // why silod does not deliver it
	edits    []string // pairs of old and new text
}

// message returns the message with a number. In edits, \n stands for CRLF.
func (m *oddMessage) message(n int) string {
	raw := "MESSAGE sip:bob@sip.test SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx{N};rport\nMax-Forwards: 70\n" +
		"From: <sip:alice@sip.test>;tag=1\nTo: <sip:bob@sip.test>\nCall-ID: x{N}@t\nCSeq: 1 MESSAGE\n" +
		"Content-Type: text/plain\nContent-Length: 7\n\nhe\x00\xff\tlo"
	for i := 0; i < len(m.edits); i += 2 {
		raw = strings.Replace(raw, m.edits[i], m.edits[i+1], 1)
	}
	raw = strings.ReplaceAll(raw, "{N}", fmt.Sprintf("%d-%d", n, os.Getpid()))
	if lineFeeds, ok := strings.CutPrefix(raw, "{LF}"); ok {
		return lineFeeds
	}
	return strings.ReplaceAll(raw, "\n", "\r\n")
}
