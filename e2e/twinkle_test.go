package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// twinkle starts Twinkle's console. It also publishes its presence, which is refused.
func twinkle(t *testing.T, d *daemon, transport, user string) *device {
	path := installed(t, "twinkle-console")
	home := t.TempDir()
	file(t, fmt.Sprintf(`user_name=%[1]s
user_domain=%[2]s
auth_name=%[1]s
auth_pass=%[5]s
registrar=%[3]s
outbound_proxy=%[3]s
register_at_startup=yes
registration_time=600
sip_transport=%[4]s
`, user, domain, d.addr, transport, password), home, ".twinkle", user+".cfg")
	file(t, fmt.Sprintf("sip_port=%d\nrtp_port=%d\n", freePort(t), freePort(t)), home, ".twinkle/twinkle.sys")
	cmd := exec.Command(path, user+".cfg")
	cmd.Env = append(os.Environ(), "HOME="+home)
	return &device{
		program: start(t, cmd),
		user:    user,
		send:    func(to, text string) string { return fmt.Sprintf(`message %s "%s"`, to, text) },
		shows: func(from, text string) string {
			return fmt.Sprintf("Received message\nFrom:\t\t%s\nTo:\t\t%s\n\n%s\n", uri(from), uri(user), text)
		},
		quit: "quit",
	}
}
