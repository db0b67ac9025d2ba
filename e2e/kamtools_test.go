package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKamctl administers silod with kamctl of Debian's Kamailio 5, over the FIFO, with the
// usual commands.
func TestKamctl(t *testing.T) {
	kamctl := installed(t, "kamctl")
	d := withRoom(t)
	if err := os.Mkdir(d.path("tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "RPCFIFOPATH="+d.path("silod.fifo"), "CHROOT_DIR="+d.dir, "SIP_DOMAIN="+domain,
		"CTLENGINE=RPCFIFO", "TERM=dumb", "DISPLAY_UPDATE_INTERVAL=1")
	d.administer(t, env, []string{kamctl}, []expectation{
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
	})
}

// TestKamcli administers silod with kamcli over the datagram socket. (The kamcli of Debian 12
// cannot read replies over a FIFO, from Kamailio either.)
func TestKamcli(t *testing.T) {
	kamcli := installed(t, "kamcli")
	d := withRoom(t)
	ini := d.path("kamcli.ini")
	text := fmt.Sprintf("[main]\ndomain=%s\n[ctl]\ntype=jsonrpc\n[jsonrpc]\ntransport=socket\nsrvaddr=%s\nrcvaddr=%s\noutformat=json\n",
		domain, d.path("silod.sock"), d.path("kamcli.sock"))
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "LC_ALL=C.UTF-8")
	d.administer(t, env, []string{kamcli, "--no-default-configs", "-c", ini}, []expectation{
		{"uptime", `"up_since": "`},
		{"ps", " silod"},
		{"stats", `"core:rcv_requests = 2"`},
		{"stats imc", `"imc:active_rooms = 1"`},
		{"stats usrloc:registered_users", `"usrloc:registered_users = 0"`},
		{"moni --no-refresh", "usrloc:registered_users = 0"},
		{"rpcmethods", `"imc.list_rooms"`},
		{"srv version", `"result": "silod `},
		{"srv info", `"version": "silod `},
		{"srv sockets", `"PROTO": "udp", "NAME": "127.0.0.1"`},
		{"tcp info", `"opened_connections": 1`},
		{"tcp list", `"type": "TCP"`},
		{"rpc imc.list_rooms", `"room": "` + uri("chat-1") + `", "members": 1, "owner": "` + uri("mallory") + `"`},
		{"rpc imc.list_members " + uri("chat-2"), `"code": 500, "message": "Room not found"`},
		{"rpc silo.list s:carol", `"result": []`},
		{"ul add bob sip:bob@127.0.0.1:9", `"result": {}`},
		{"ul add --q 0.5 --expires 600 bob sip:bob@127.0.0.1:10", `"result": {}`},
		{"ul show bob", `"Address": "sip:bob@127.0.0.1:10", "Expires": `},
		{"ul show", `"AoR": "bob@` + domain + `"`},
		{"ul show --brief", `"AoRs": [ { "AoR": "bob@` + domain + `" } ]`},
		{"ul rm bob sip:bob@127.0.0.1:10", `"result": {}`}, // and no other
		{"ul show bob", `"Address": "sip:bob@127.0.0.1:9"`},
		{"ul rm bob", `"result": {}`},
		{"ul show bob", `"code": 404, "message": "AOR not found"`},
		{"rpc no.such.thing", `"message": "Method Not Found"`},
		{"rpc core.kill", `"result": {}`},
	})
}

// withRoom starts a daemon in which mallory, who is connected, has a room.
func withRoom(t *testing.T) *daemon {
	t.Helper()
	d := prepare(t)
	d.configure(t, fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%s']", d.addr, d.addr), "sip.domains = ['"+domain+"']",
		"mi.reply_dir = '"+d.path("tmp")+"/'")
	d.start(t)
	w := dial(t, "tcp", d.addr)
	for _, text := range []string{"#create", "hello"} {
		w.send(w.message("chat-1", text))
		w.answer()
	}
	return d
}

// expectation is a command of a tool with a part of its output.
type expectation struct{ command, want string }

var spaces = regexp.MustCompile(`\s+`)

// administer runs another program's commands one by one; the last one ends the daemon.
func (d *daemon) administer(t *testing.T, env, tool []string, session []expectation) {
	t.Helper()
	name := filepath.Base(tool[0])
	for _, c := range session {
		cmd := exec.Command(tool[0], append(tool[1:], strings.Fields(c.command)...)...)
		cmd.Env = env
		cmd.WaitDelay = time.Second
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		timer.Stop()
		if err != nil {
			t.Errorf("%s %s: %v", name, c.command, err)
		}
		if got := spaces.ReplaceAllString(string(out), " "); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: no %s in %s", name, c.command, c.want, got)
		}
	}
	if code := d.exit(); code != 0 {
		t.Errorf("after core.kill the daemon ended with %d", code)
	}
}
