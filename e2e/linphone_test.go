package e2e_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"testing"
)

// linphone starts Linphone's console, linphonec. It answers every text with a disposition
// notification (RFC 5438), although the text does not request one.
func linphone(t *testing.T, d *daemon, transport, user string) *device {
	path := installed(t, "linphonec")
	home := t.TempDir()
	ports := fmt.Sprintf("sip_port=%d\nsip_tcp_port=-1", freePort(t))
	if transport != "udp" {
		ports = "sip_port=-1\nsip_tcp_port=-1"
	}
	// Linphone looks up the password of an address by its user without escapes.
	decoded, err := url.PathUnescape(user)
	if err != nil {
		t.Fatal(err)
	}
	rc := file(t, fmt.Sprintf(`[sip]
%[1]s
sip_tls_port=-1
root_ca=%[7]s
verify_server_certs=0
verify_server_cn=0
use_ipv6=0
default_proxy=0
[rtp]
audio_rtp_port=-1
video_rtp_port=-1
[proxy_0]
reg_proxy=<sip:%[2]s;transport=%[3]s>
reg_route=<sip:%[2]s;transport=%[3]s;lr>
reg_identity=sip:%[4]s@%[5]s
reg_expires=600
reg_sendregister=1
publish=0
[auth_info_0]
username=%[8]s
passwd=%[6]s
realm=%[5]s
domain=%[5]s
`, ports, d.addr, transport, user, domain, password, d.path("server.pem"), decoded), home, "rc")
	// Linphone needs this directory for its database, and the database for chats.
	file(t, "", home, ".local/share/linphone/made")
	cmd := exec.Command(path, "-c", rc)
	cmd.Env = append(os.Environ(), "HOME="+home)
	return &device{
		program: start(t, cmd),
		user:    user,
		send:    func(to, text string) string { return "chat " + uri(to) + " " + text },
		shows:   func(from, text string) string { return "Message received from " + uri(from) + ": " + text + "\n" },
		quit:    "quit",
	}
}
