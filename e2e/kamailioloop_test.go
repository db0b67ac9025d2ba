package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// careless is a Kamailio that sends to silod each message that it cannot look up, also those that have come
// from silod.
const careless = `#!KAMAILIO
log_stderror=yes
children=2
listen=udp:192.0.2.10:5060
alias="example.org"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
request_route {
	if (is_method("OPTIONS")) {
		sl_send_reply("200", "OK");
	} else if (is_method("REGISTER")) {
		save("location");
	} else {
		if (!lookup("location")) $du = "sip:192.0.2.20:5060";
		t_relay();
	}
}
`

// proxied starts a silod with Kamailio as its next hop.
func (b *beside) proxied(d *daemon) {
	b.t.Helper()
	d.configure(b.t, "mi.reply_dir = '"+d.path("")+"'", fmt.Sprintf("sip.listen = ['udp:%[1]s', 'tcp:%[1]s']", d.addr),
		"sip.domains = ['"+domain+"']", "silo.add_date = 0", "silo.retry = '2s'", "silo.max_retry = '4s'",
		fmt.Sprintf("silo.outbound_proxy = 'sip:%[1]s1'\nimc.outbound_proxy = 'sip:%[1]s1:5060;transport=udp'", b.net))
	d.start(b.t)
}

// TestLoopThroughOtherProcesses has Kamailio send the messages of one silod to another one for
// the same domain, and those that were sent before a restart of the first to it.
func TestLoopThroughOtherProcesses(t *testing.T) {
	t.Parallel()
	path := installed(t, "kamailio")
	b := newBeside(t)
	d, other := b.silod, prepare(t)
	other.addr = b.net + "4:5060"
	b.proxied(d)
	b.proxied(other)
	text := strings.NewReplacer("192.0.2.10", b.net+"1", "192.0.2.20", b.net+"4", "example.org", domain).Replace(careless)
	b.runKamailio(path, text)
	if got := b.phone("alice", ".2").message("bob", "hello bob"); got != "202" {
		t.Errorf("answered %s", got)
	}
	eventually(t, func() error {
		if other.counter(t, "router:messages") == 0 {
			return errors.New("the other silod got nothing")
		}
		return nil
	})
	d.stop()
	d.start(t)
	before := other.counter(t, "router:messages")
	eventually(t, func() error {
		if other.counter(t, "router:messages") == before {
			return errors.New("the other silod got nothing after the restart")
		}
		return nil
	})
	d.awaitStored(t, "bob", "hello bob")
	other.awaitStored(t, "bob")
	if n := other.counter(t, "msilo:stored_messages") + d.counter(t, "delivery:delivered"); n != 0 {
		t.Errorf("%d messages were stored by the other silod, or count as delivered", n)
	}
}

// TestLoopThroughKamailio sets silod and a careless Kamailio as the next hop of each other. A
// message for a user without a registration stays one message, and arrives by a retry when the
// user has registered at Kamailio, of which silod is not informed.
func TestLoopThroughKamailio(t *testing.T) {
	t.Parallel()
	path := installed(t, "kamailio")
	b := newBeside(t)
	d := b.silod
	b.proxied(d)
	text := strings.NewReplacer("192.0.2.10", b.net+"1", "192.0.2.20", b.net+"2", "example.org", domain).Replace(careless)
	b.runKamailio(path, text)
	alice, bob := b.phone("alice", ".1"), b.phone("bob", ".1")
	if got := alice.message("bob", "hello bob"); got != "202" {
		t.Errorf("answered %s", got)
	}
	time.Sleep(7 * time.Second)
	d.awaitStored(t, "bob", "hello bob")
	if n := d.counter(t, "msilo:stored_messages"); n != 1 {
		t.Errorf("%d messages were stored for one", n)
	}
	if n := d.counter(t, "delivery:delivered"); n != 0 {
		t.Errorf("%d messages count as delivered", n)
	}
	if n := d.counter(t, "router:messages"); n < 2 || n > 4 { // tried after 2 and 6 s
		t.Errorf("silod has handled %d MESSAGEs", n)
	}
	bob.register(600)
	bob.within(6*time.Second, "hello", "hello bob")
	d.awaitStored(t, "bob")
}
