package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKamctl: kamctl of Kamailio 5, as Debian has it, administers silod with what its
// users type every day.
func TestKamctl(t *testing.T) {
	kamctl := installed(t, "kamctl")
	d := prepare(t)
	d.configure(t, fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%s']", d.addr, d.addr), "sip.domains = ['"+domain+"']",
		"mi.reply_dir = '"+d.path("tmp")+"/'")
	if err := os.Mkdir(d.path("tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	w := dial(t, "tcp", d.addr)
	for _, text := range []string{"#create", "hello"} {
		w.send(w.message("chat-1", text))
		w.answer()
	}
	spaces := regexp.MustCompile(`\s+`)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(kamctl, args...)
		cmd.Env = append(os.Environ(), "RPCFIFOPATH="+d.path("silod.fifo"), "CHROOT_DIR="+d.dir, "SIP_DOMAIN="+domain,
			"CTLENGINE=RPCFIFO", "TERM=dumb", "DISPLAY_UPDATE_INTERVAL=1")
		cmd.WaitDelay = time.Second
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("kamctl %q: %v", args, err)
		}
		return spaces.ReplaceAllString(string(out), " ")
	}
	for _, c := range []struct{ command, want string }{
		{"uptime", `"up_since": "`},
		{"ps", `"DSC": "silod"`},
		{"stats imc", `"imc:active_rooms = 1"`},
		{"stats core", `"core:rcv_requests = 2"`},
		{"rpc core.version", `"result": "silod `},
		{"rpc imc.list_rooms", `"room": "` + uri("chat-1") + `", "members": 1, "owner": "` + uri("mallory") + `"`},
		{"rpc imc.list_members " + uri("chat-1"), `"members": ["` + uri("mallory") + `"], "count": 1`},
		{"rpc imc.list_members " + uri("chat-2"), `"code": 500, "message": "Room not found"`},
		{"rpc silo.count", `"count": `},
		{"ul add bob@" + domain + " sip:bob@127.0.0.1:9", `"result": { }`},
		{"ul show bob@" + domain, `"Address": "sip:bob@127.0.0.1:9"`},
		{"online", "bob@" + domain},
		{"ul show", `"AoR": "bob@` + domain + `"`},
		{"ul rm bob@" + domain, `"result": { }`},
		{"ul show bob@" + domain, `"code": 404, "message": "AOR not found"`},
		{"ping sip:nobody@" + domain, `"code": 480`},
		{"monitor 1", "tmx:UAS_transactions = "},
		{"rpc no.such.thing", `"message": "Method Not Found"`},
		{"rpc core.kill", `"result": { }`},
	} {
		if got := run(strings.Fields(c.command)...); !strings.Contains(got, c.want) {
			t.Errorf("kamctl %s: no %s in %s", c.command, c.want, got)
		}
	}
	if code := d.exit(); code != 0 {
		t.Errorf("after core.kill the daemon ended with %d", code)
	}
}
