package db

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"silod/auth"
	"silod/imc"
	"silod/sip"
)

// textConfig asks every REGISTER for a password, and has all modules that silod shares tables with
// on db_text.
const textConfig = `#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:%[1]d
loadmodule "db_text.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "auth_db.so"
loadmodule "msilo.so"
loadmodule "imc.so"
loadmodule "sqlops.so"
modparam("sqlops", "sqlcon", "ca=>text://%[3]s")
modparam("usrloc|auth_db|msilo|imc", "db_url", "text://%[3]s")
modparam("usrloc", "db_mode", 1)
modparam("auth_db", "calculate_ha1", 0)
modparam("auth_db", "password_column", "ha1")
modparam("auth_db", "use_domain", 1)
modparam("msilo", "outbound_proxy", "sip:127.0.0.1:%[2]d")
modparam("msilo", "check_time", 1)
modparam("imc", "outbound_proxy", "sip:127.0.0.1:%[2]d")
request_route {
	if (is_method("OPTIONS")) { # is answered when no message is stored
		sql_query("ca", "select id from silo", "left");
		if ($dbr(left=>rows) == 0) {
			sl_send_reply("200", "OK");
		}
		exit;
	}
	if (is_method("REGISTER")) {
		if (!www_authenticate("example.org", "subscriber")) {
			www_challenge("example.org", "0");
			exit;
		}
		save("location");
		m_dump();
		exit;
	}
	if (is_method("MESSAGE") && $rU =~ "^chat-") {
		imc_manager();
		sl_send_reply("200", "OK");
		exit;
	}
	if (is_method("MESSAGE") && m_store("$ru")) {
		sl_send_reply("202", "Accepted");
		exit;
	}
	sl_send_reply("503", "Not stored");
}
`

var nonce = regexp.MustCompile(`nonce="([^"]*)"`)

// login registers a user with a password.
func (p *phone) login(user, password string) {
	p.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:%s@127.0.0.1:%d>;expires=600\r\n", user, p.port())
	challenge := p.ask("REGISTER", user, contact, nil, "401")
	sum := func(parts ...string) string {
		h := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h[:])
	}
	n, uri := nonce.FindStringSubmatch(challenge)[1], "sip:"+user+"@example.org"
	response := sum(sum(user, "example.org", password), n, sum("REGISTER", uri))
	p.ask("REGISTER", user, contact+fmt.Sprintf("Authorization: Digest username=%q, realm=\"example.org\", nonce=%q, uri=%q, response=%q\r\n",
		user, n, uri, response), nil, "200")
}

// hashed returns the secret of a user as silod stores it: without the password.
func hashed(user, password string) auth.Secret {
	s := auth.Secret{Name: user, HA1: auth.Hashes{}, HA1B: auth.Hashes{}}
	for alg, realm := range map[string]string{user + ":example.org": "a", user + "@example.org:example.org": "b"} {
		h := md5.Sum([]byte(alg + ":" + password))
		if realm == "a" {
			s.HA1[auth.MD5] = hex.EncodeToString(h[:])
		} else {
			s.HA1B[auth.MD5] = hex.EncodeToString(h[:])
		}
	}
	return s
}

// TestTextBothSides: silod and Kamailio use Debian's directory in turn. Each delivers the messages
// of the other, the users of both log in at Kamailio, and all that one does not change stays.
func TestTextBothSides(t *testing.T) {
	t.Parallel()
	dir := debianText(t)
	carol := hashed("carol", "secret")
	users := readText(t, dir, "subscriber")
	for _, user := range []string{"carol", "dora"} { // as a script adds them
		s := hashed(user, "secret")
		users += fmt.Sprintf("0:%s:example.org:secret:%s:%s\n", user, s.HA1[auth.MD5], s.HA1B[auth.MD5])
	}
	writeText(t, dir, "subscriber", users)
	// In the file of Debian, Kamailio stores no message: msilo gives these columns no value.
	writeText(t, dir, "silo", strings.NewReplacer("callid(string)", "callid(string,null)", "status(int)", "status(int,null)").
		Replace(readText(t, dir, "silo")))
	o := Options{Domains: sip.NewDomains("example.org")}
	db := open(t, "text:"+dir, o)
	if s, err := db.Users().Lookup(t.Context(), aor("carol@example.org")); err != nil || s.HA1[auth.MD5] != carol.HA1[auth.MD5] {
		t.Errorf("carol: %+v, %v", s, err)
	}
	if err := db.Users().AddUser(t.Context(), bob, hashed("bob", "secret")); err != nil {
		t.Fatal(err)
	}
	for i, body := range []string{"first", "second: \\ ü"} {
		m := text(body)
		m.CallID = ""
		m.Stored, m.Expires = time.Now().Add(time.Duration(i)*time.Second), time.Now().Add(time.Hour)
		m.Headers = []sip.Header{{Name: "Content-Type", Value: "text/plain"}}
		add(t, db.Messages(), m)
	}
	binding := simpleBinding("silod-1")
	binding.Binding.UserAgent = ""
	save(t, db.Bindings(), binding)
	apply(t, db.Rooms(), imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: alice, Role: imc.Owner}, {User: bob, Role: imc.Plain}}})
	closeDB(t, db)
	version := states(t, dir)["version"]

	p, stop := runKamailio(t, func(server, client int) string { return fmt.Sprintf(textConfig, server, client, dir) })
	for _, user := range []string{"carol", "dora", "bob"} {
		p.login(user, "secret")
	}
	var got []string
	for range 2 {
		_, body, _ := strings.Cut(p.receive(), "\r\n\r\n")
		got = append(got, body)
	}
	if s := strings.Join(got, "|"); !strings.HasSuffix(got[0], "first") || !strings.HasSuffix(got[1], "second: \\ ü") {
		t.Errorf("Kamailio delivered %s", s)
	}
	p.send("OPTIONS", "bob", "", nil, "200") // they are deleted
	p.send("MESSAGE", "eve", "Content-Type: text/plain\r\n", []byte("from Kamailio"), "202")
	p.send("MESSAGE", "eve", "Content-Type: text/plain\r\nX-Foo: a:b\\c\r\n", []byte("again: \\"), "202")
	p.send("MESSAGE", "chat-1", "Content-Type: text/plain\r\n", []byte("hello room"), "200")
	if got := p.receive(); !strings.Contains(got, "hello room") {
		t.Errorf("the room said:\n%s", got)
	}
	stop()

	db = open(t, "text:"+dir, o)
	ms, err := db.Messages().Next(t.Context(), aor("eve@example.org"), nil, 0, 10, time.Now())
	if err != nil || bodies(ms) != "from Kamailio again: \\" || ms[1].Header("X-Foo") != `a:b\c` {
		t.Errorf("messages of Kamailio: %q, %v", bodies(ms), err)
	}
	if left := next(t, db.Messages(), 0, 10); len(left) != 0 {
		t.Errorf("delivered, but left: %s", bodies(left))
	}
	found := map[string]bool{}
	for _, c := range loadBindings(t, db.Bindings(), time.Now()) {
		found[c.AoR.User] = true
	}
	if !found["carol"] || !found["dora"] || !found["bob"] {
		t.Errorf("bindings: %v", found)
	}
	if r := loadRooms(t, db.Rooms())[room1]; len(r.Members) != 2 {
		t.Errorf("room: %+v", r)
	}
	closeDB(t, db)
	if now := states(t, dir)["version"]; now != version {
		t.Errorf("version was %+v, is %+v", version, now)
	}
}
