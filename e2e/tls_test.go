package e2e_test

import (
	"fmt"
	"testing"
)

// TestPhonesOverTLS: phones authenticate over TLS with the default algorithm. linphonec does not
// accept the test's certificate.
func TestPhonesOverTLS(t *testing.T) {
	d := &daemon{dir: shortDir(t), addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	d.certificate(t)
	d.configure(t, digest, fmt.Sprintf("sip.listen = ['tls:%s']", d.addr), fmt.Sprintf("sip.domains = ['%s']", domain),
		"sip.tls_certificate = 'server.pem'", "sip.tls_private_key = 'server.pem'", fmt.Sprintf("mi.reply_dir = '%s/'", d.dir), "silo.add_date = 0")
	d.start(t)
	d.addUsers(t, "alice", "bob")
	alice := baresip(t, d, "tls", "alice")
	d.awaitOnline(t, "alice", true)
	bob := baresip(t, d, "tls", "bob")
	d.awaitOnline(t, "bob", true)
	alice.say("bob", hard)
	bob.awaitText("alice", hard)
}
