package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDocumentedDefaults compares the defaults with those in the documentation of
// Kamailio's modules, and some of silod's own with literals.
func TestDocumentedDefaults(t *testing.T) {
	want := map[string]string{
		"registrar.default_expires": "3600", "registrar.min_expires": "60",
		"registrar.max_expires": "0", "registrar.max_contacts": "0",
		"registrar.nat_ping": `"25s"`, "registrar.nat_ping_method": `"crlf"`, "registrar.nat_ping_failures": "0",

		"silo.db_table": `"silo"`, "silo.from_address": `""`, "silo.contact_hdr": `""`, "silo.extra_hdrs": `""`,
		"silo.offline_message": `""`, "silo.content_type_hdr": `""`, "silo.reminder": `""`,
		"silo.outbound_proxy": `""`, "silo.expire_time": "259200", "silo.check_time": "30", "silo.send_time": "0",
		"silo.clean_period": "5", "silo.use_contact": "1", "silo.sc_mid": `""`, "silo.sc_from": `"src_addr"`,
		"silo.sc_to": `"dst_addr"`, "silo.sc_uri_user": `"username"`, "silo.sc_uri_host": `"domain"`,
		"silo.sc_body": `"body"`, "silo.sc_ctype": `"ctype"`, "silo.sc_exp_time": `"exp_time"`,
		"silo.sc_inc_time": `"inc_time"`, "silo.sc_snd_time": `"snd_time"`, "silo.snd_time_avp": `""`,
		"silo.add_date": "1", "silo.max_messages": "50000", "silo.add_contact": "0", "silo.extra_hdrs_avp": `""`,
		"silo.sc_stored_hdrs": `"extra_hdrs"`, "silo.sc_callid": `"callid"`, "silo.sc_status": `"status"`,
		"silo.skip_notification_flag": "-1", "silo.use_mode": "0",

		"imc.rooms_table": `"imc_rooms"`, "imc.members_table": `"imc_members"`, "imc.hash_size": "4",
		"imc.imc_cmd_start_char": `"#"`, "imc.outbound_proxy": `""`, "imc.extra_hdrs": `""`,
		"imc.create_on_join": "1", "imc.check_on_create": "0",

		"mi.fifo_mode": "0o660", "mi.fifo_user": `""`, "mi.fifo_group": `""`, "mi.reply_dir": `"/tmp/"`,
		"mi.reply_indent": `"\t"`, "mi.unix_socket_mode": "0o660", "mi.unix_socket_user": `""`,
		"mi.unix_socket_group": `""`, "mi.socket_timeout": "2000",

		// Defaults that differ on purpose, and silod's own keys.
		"sip.listen": `["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]`, "sip.domains": "[]", "sip.accept_timeout": `"5s"`,
		"db.url": `"sqlite:silod.db"`, "silo.db_url": `""`, "imc.db_url": `""`,
		"silo.delivery": `"any"`, "imc.room_pattern": `"^chat-[0-9]+$"`, "imc.manager": `"chat-manager"`,
		"imc.catch_up": `"7d"`, "imc.history": `"7d"`, "imc.echo": "false", "mi.control_socket": `"control.sock"`,
		"auth.mode": `"none"`, "auth.realm": `""`, "auth.trusted": "[]", "auth.relay": `"nobody"`,
		"auth.algorithms": `["MD5"]`, "auth.failures": `"20/10m"`, "http.listen": `""`, "log.format": `"text"`,
	}
	got := map[string]string{}
	for f := range defaults().fields() {
		got[f.key] = f.format()
	}
	for key, v := range want {
		if got[key] != v {
			t.Errorf("%s = %s, want %s", key, got[key], v)
		}
	}
}

// TestSample uncomments all keys of the sample: it must be the default configuration.
func TestSample(t *testing.T) {
	if _, err := Parse("silod.toml", []byte(Sample()), testDirs); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for line := range strings.Lines(Sample()) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && rest[0] != ' ' && rest[0] != '\n' {
			line = rest
		}
		all.WriteString(line)
	}
	c, err := Parse("silod.toml", []byte(all.String()), testDirs)
	if err != nil {
		t.Fatalf("%v\n%s", err, all.String())
	}
	if changes := Diff(Default(testDirs), c); len(changes) > 0 {
		t.Errorf("the sample's values are not the defaults: %v", changes)
	}
	for f := range c.fields() {
		if !c.IsSet(f.key) && f.key != "imc.texts" && !f.isTables() {
			t.Errorf("%s is not in the sample", f.key)
		}
	}
}

func TestParse(t *testing.T) {
	text, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("full.toml", text, testDirs)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	check("listeners", len(c.SIP.Listen), 5)
	check("listen[1]", c.SIP.Listen[1].String(), "tcp:[2001:db8::1]:5070")
	check("listen[4]", c.SIP.Listen[4].String(), "wss:192.0.2.1:443")
	check("domains", strings.Join(c.SIP.Domains, " "), "example.org example.net")
	check("accept_timeout", c.SIP.AcceptTimeout, 1500*time.Millisecond)
	check("large_over_udp", c.SIP.LargeOverUDP, false)
	check("db", c.DB.URL.String(), "postgres://silod:xxxxx@db1:5432,db2:5433/kamailio?sslmode=disable")
	check("silo.db", c.SiloDB().String(), "text:/srv/dbtext")
	check("imc.db", c.IMCDB().String(), c.DB.URL.String())
	check("add_date", c.Silo.AddDate, false)
	check("use_contact", c.Silo.UseContact, true)
	check("sc_from", c.Silo.SCFrom, "source")
	check("store_on 480", c.Silo.StoreOn.Matches(480), true)
	check("store_on 486", c.Silo.StoreOn.Matches(486), false)
	check("room", c.IMC.RoomPattern.MatchString("room-a"), true)
	check("history", c.IMC.History, 14*24*time.Hour)
	check("echo", c.IMC.Echo, true)
	check("texts", maps.Equal(c.IMC.Texts, map[string]string{"joined": "{user} ist da", "left": "{user}\nist weg\n"}), true)
	check("fifo_mode", c.MI.FIFOMode, fs.FileMode(0o600))
	check("unix_socket_mode", c.MI.UnixSocketMode, fs.FileMode(0o660))
	check("fifo_user", c.MI.FIFOUser, "1000")
	check("log.level", c.Log.Level, "debug")
	check("IsSet(auth.mode)", c.IsSet("auth.mode"), true)
	check("IsSet(auth.realm)", c.IsSet("auth.realm"), false)
	check("line of a text", c.Problem("imc.texts.left", "x").Line, 52)
}

// TestLoad checks from which directories relative paths are resolved.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "silod.toml")
	text := "sip.tls_certificate = 'cert.pem'\nsip.tls_private_key = '/etc/key.pem'\n[mi]\nsocket_name = 'a/b.sock'\nfifo_name = ''\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, testDirs)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.SIP.TLSCertificate: filepath.Join(filepath.Dir(file), "cert.pem"),
		c.SIP.TLSPrivateKey:  "/etc/key.pem",
		c.DB.URL.URL():       "sqlite:/var/lib/silod/silod.db",
		c.MI.SocketName:      "/run/silod/a/b.sock",
		c.MI.ControlSocket:   "/run/silod/control.sock",
		c.MI.FIFOName:        "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := Load(file+".missing", testDirs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestDiff(t *testing.T) {
	a, b := mustParse(t, ""), mustParse(t, `
		sip.listen = ["udp:127.0.0.1:5062"]
		silo.add_date = 0
		silo.use_contact = true
		silo.time_zone = "UTC"
		imc.room_pattern = "^room-"
		imc.texts = {a = "b"}
		db.url = "postgres://u:p@h/d"
		mi.fifo_mode = 0o600
	`)
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.String())
	}
	want := []string{
		"sip.listen (needs a restart)", "db.url (needs a restart)", "silo.add_date", "silo.time_zone",
		"imc.room_pattern (needs a restart)", "imc.texts", "mi.fifo_mode (needs a restart)",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	other := mustParse(t, `db.url = "postgres://u:other@h/d"`)
	if len(Diff(mustParse(t, `db.url = "postgres://u:p@h/d"`), other)) != 1 {
		t.Error("a new password is a change")
	}
	if d := Diff(b, b); len(d) > 0 {
		t.Errorf("no change, but %v", d)
	}
}

func TestNotes(t *testing.T) {
	c := mustParse(t, "[imc]\nhash_size = 8\n[silo]\nfrom_address = 'sip:a@b'\nreminder = 'sip:r@b'\nuse_mode = 1\n"+
		"[auth]\ntrusted_ca = '/ca.pem'\ntrusted = ['10.0.0.1 relay']\n")
	err := c.Fail(c.Notes()...)
	want := `t.toml: silo.offline_message: no notices are sent: they need both from_address and offline_message
t.toml:2: imc.hash_size: accepted, but has no effect: the table of rooms grows by itself
t.toml:5: silo.reminder: no reminders are sent while send_time is 0
t.toml:6: silo.use_mode: accepted, but has no effect: a stored message always keeps its Call-ID
t.toml:8: auth.trusted_ca: no trusted peer has a name ("tls:NAME")
t.toml:9: auth.trusted: the right to relay has no effect while relay is "nobody"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := c.Fail(); err != nil {
		t.Errorf("no problems, but %v", err)
	}
}

// TestOwnProxies checks that a next hop that is silod itself has a note with its key and line.
func TestOwnProxies(t *testing.T) {
	c := mustParse(t, "[sip]\nlisten = ['udp:127.0.0.1:5070', 'tcp:192.0.2.1:5070']\ndomains = ['example.org']\nadvertise = '203.0.113.5'\n"+
		"outbound_proxy = 'sip:203.0.113.5:5070'\n[auth]\nmode = 'digest'\n"+
		"[silo]\noutbound_proxy = 'sip:localhost:5070;transport=tcp'\n[imc]\noutbound_proxy = 'sip:example.org'\n")
	err := c.Fail(c.Notes()...)
	want := `t.toml:5: sip.outbound_proxy: "sip:203.0.113.5:5070" is an address of silod itself: it counts as not set, and DNS is used
t.toml:9: silo.outbound_proxy: "sip:localhost:5070;transport=tcp" is an address of silod itself: it counts as not set, and messages go to the registered devices
t.toml:11: imc.outbound_proxy: "sip:example.org" is an address of silod itself: it counts as not set, and messages go to the registered devices`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	c = mustParse(t, "sip.listen = ['udp:127.0.0.1:5070']\nsip.outbound_proxy = 'sip:127.0.0.1'\nsilo.outbound_proxy = 'sip:127.0.0.1:5060'\n"+
		"imc.outbound_proxy = 'sip:kamailio.example.org'\n")
	if notes := c.Notes(); len(notes) != 0 {
		t.Errorf("notes about other servers: %v", notes)
	}
}

// TestNoPassword logs a configuration in several ways, none of which shows the password.
func TestNoPassword(t *testing.T) {
	c := mustParse(t, `db.url = "mysql://silod:topsecret@db.example.org/kamailio?password=topsecret"`)
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("start", "url", c.DB.URL, "db", c.DB, "config", c, "pointer", &c.DB.URL)
	}
	if strings.Contains(log.String(), "topsecret") || !strings.Contains(log.String(), "xxxxx") {
		t.Error(log.String())
	}
	if c.DB.URL.Password() != "topsecret" || !strings.Contains(c.DB.URL.URL(), "topsecret") {
		t.Error("the driver needs the password")
	}
}

// testDirs are the directories from which tests resolve relative paths.
var testDirs = Dirs{State: "/var/lib/silod", Runtime: "/run/silod"}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("t.toml", []byte(text), testDirs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
