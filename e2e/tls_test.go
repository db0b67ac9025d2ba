package e2e_test

import (
	"fmt"
	"testing"
)

// TestPhonesOverTLS runs a conversation between two phones of each model that supports TLS.
// They authenticate with the default algorithm.
func TestPhonesOverTLS(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *daemon, string, string) *device{"linphone": linphone, "baresip": baresip} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &daemon{dir: shortDir(t), addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
			d.certificate(t)
			d.configure(t, digest, fmt.Sprintf("sip.listen = ['tls:%s']", d.addr), fmt.Sprintf("sip.domains = ['%s']", domain),
				"sip.tls_certificate = 'server.pem'", "sip.tls_private_key = 'server.pem'", fmt.Sprintf("mi.reply_dir = '%s/'", d.dir),
				"silo.add_date = 0", roomTexts)
			d.start(t)
			d.addUsers(t, "alice", "bob")
			converse(t, model{start: start}, "tls", d)
		})
	}
}
