package e2e_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// imcConfig is a Kamailio with the module imc on the tables of silod.
const imcConfig = `
log_stderror=yes
children=1
enable_sctp=0
listen=udp:NET1:5060
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "db_sqlite.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "imc.so"
modparam("imc", "db_url", "sqlite:///DATABASE")
modparam("imc", "outbound_proxy", "sip:NET3:5060")
request_route {
	sl_send_reply("200", "OK");
	exit;
}
`

// TestRoomsAfterKamailio starts Kamailio's imc on the tables of a silod that has ended: it empties
// them. "db check" says so, and the next silod restores the rooms with their members and roles.
func TestRoomsAfterKamailio(t *testing.T) {
	t.Parallel()
	path := installed(t, "kamailio")
	b := newBeside(t)
	d := b.silod
	d.configure(t, "mi.reply_dir = '"+d.path("")+"'", "db.url = 'sqlite:"+d.path("rooms.db")+"'", "sip.listen = ['udp:"+d.addr+"']", "sip.domains = ['"+domain+"']")
	d.start(t)
	call := func(command string, args ...string) {
		t.Helper()
		if _, err := d.call(command, args...); err != nil {
			t.Fatal(command, err)
		}
	}
	for _, room := range []string{"chat-1", "chat-2"} {
		call("imc_create_room", uri(room), uri("alice"), "private")
		call("imc_add_member", uri(room), uri("bob"), "admin")
		call("imc_add_member", uri(room), uri("carol"))
	}
	show := func() string {
		t.Helper()
		out, err := d.command("siloctl", "imc_show_room", uri("chat-2")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	before := show()
	d.stop()

	b.runKamailio(path, strings.NewReplacer("NET", b.net, "DATABASE", d.path("rooms.db")).Replace(imcConfig))
	_ = b.kamailio.cmd.Process.Signal(os.Interrupt)
	b.kamailio.exit()
	out, _ := exec.Command(built("siloctl"), "db", "check", "sqlite:"+d.path("rooms.db")).CombinedOutput()
	if !strings.Contains(string(out), "2 rooms of silod with 6 members are missing") {
		t.Errorf("db check says\n%s", out)
	}
	d.start(t)
	if after := show(); after != before {
		t.Errorf("the room was\n%s\nand is\n%s", before, after)
	}
	if log := d.logs.String(); strings.Count(log, "rooms were missing in the tables of Kamailio's imc and are restored") != 1 {
		t.Errorf("the log is\n%s", log)
	}
}
