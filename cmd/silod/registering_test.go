package main

import (
	"fmt"
	"strings"
	"testing"

	"silod/sip"
)

// binds sends a REGISTER of an agent's user with these header fields and returns the answer.
func (u *ua) binds(fields ...string) string {
	u.t.Helper()
	return u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", fields...))
}

// contactsIn returns the Contact values of an answer.
func contactsIn(answer string) (values []string) {
	for line := range strings.SplitSeq(answer, "\r\n") {
		if v, ok := strings.CutPrefix(line, "Contact: "); ok {
			values = append(values, v)
		}
	}
	return values
}

// Contacts of phones that RFC 3261 and RFC 5626 do not foresee, in one registration each.
func TestRegistersOfPhones(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const x = `;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"`
	const flow1 = x + ";reg-id=1"
	for i, tc := range []struct {
		name     string
		requests []string // header fields of each, separated by "|"
		want     string   // status of the last answer and its contacts
	}{
		{"a contact that is named twice", []string{"Contact: <sip:a@h>|Contact: <sip:a@h>|Expires: 600"}, "200 <sip:a@h>;expires=600"},
		{
			"a refresh that names it once more, as it does with Expires (dart-sip-ua)",
			[]string{
				"Contact: <sip:a@h>" + flow1 + "|Expires: 600", "Contact: <sip:a@h>" + flow1 + "|Contact: <sip:a@h>" + flow1 + "|Expires: 600|Expires: 600",
			},
			"200 <sip:a@h>;expires=600" + flow1,
		},
		{
			"a new address of PJSIP", []string{
				"Contact: <sip:a@192.0.2.1>" + flow1, "Contact: <sip:a@192.0.2.2>" + flow1 + "|Contact: <sip:a@192.0.2.1>;expires=0" + flow1,
			}, "200 <sip:a@192.0.2.2>;expires=3600" + flow1,
		},
		{"equal contacts", []string{"Contact: <sip:eq@h>, <sip:eq@h;ob>"}, "200 <sip:eq@h;ob>;expires=3600"},
		{"a short time", []string{"Contact: <sip:a@h>;expires=30"}, "200 <sip:a@h>;expires=60"},
		{"the time that was asked for", []string{"Contact: <sip:a@h>|Expires: 180"}, "200 <sip:a@h>;expires=180"},
		{
			"a push token",
			[]string{"Contact: <sip:a@h;pn-provider=fcm;pn-prid=" + strings.Repeat("APA91b", 100) + ">"},
			"200 <sip:a@h;pn-provider=fcm;pn-prid=" + strings.Repeat("APA91b", 100) + ">;expires=3600",
		},

		{"commas without a contact", []string{"Contact: ,<sip:a@h>,, <sip:b@h> , "}, "200 <sip:a@h>;expires=3600, <sip:b@h>;expires=3600"},
		{"* with a time", []string{"Contact: <sip:a@h>", "Contact: *;expires=0|Expires: 0"}, "200"},
		{"an empty Path", []string{"Path: |Contact: <sip:a@h>"}, "200 <sip:a@h>;expires=3600"},

		{"* with a time only", []string{"Contact: *;expires=0"}, "400"},
		{"* and a contact", []string{"Contact: *, <sip:a@h>|Expires: 0"}, "400"},
		{"an empty Contact", []string{"Contact: "}, "400"},
		{"a comma only", []string{"Contact: ,"}, "400"},
		{"two flows at once", []string{"Contact: <sip:a@h>" + flow1 + ", <sip:b@h>" + x + ";reg-id=2"}, "400"},
		{"a very long contact", []string{"Contact: <sip:a@h;x=" + strings.Repeat("x", 4096) + ">"}, "400"},
		{"31,000 parameters", []string{"Contact: <sip:a@h" + strings.Repeat(";a", 31_000) + ">"}, "400"},
		{"too many contacts", []string{"Contact: <sip:a@h>" + strings.Repeat(", <sip:a@h>", 100)}, "400"},
		{"NUL", []string{"Call-Info: x|Path: <sip:\x00>|Contact: <sip:a@h>"}, "400"},
		{"a Path that is none", []string{"Path: x y z|Contact: <sip:a@h>"}, "400"},
		{"another scheme", []string{"Contact: <tel:123>"}, "400"},
		{"no host", []string{"Contact: <sip:>"}, "400"},
		{"port 0", []string{"Contact: <sip:a@h:0>"}, "400"},
		{"the address of no host", []string{"Contact: <sip:a@0.0.0.0>"}, "400"},
		{"a broadcast address", []string{"Contact: <sip:a@255.255.255.255:5060>"}, "400"},
		{"a multicast address", []string{"Contact: <sip:a@224.0.1.75>"}, "400"},
		{"our address", []string{"Contact: <sip:a@" + s.addr("udp").String() + ";x=1>"}, "400"},
		{"the address of no host that is removed", []string{"Contact: <sip:a@0.0.0.0>;expires=0"}, "200"},
	} {
		u := s.phone("udp", fmt.Sprintf("u%d", i))
		var last string
		for _, r := range tc.requests {
			last = u.binds(strings.Split(r, "|")...)
		}
		got := fmt.Sprint(status(last))
		if cs := contactsIn(last); len(cs) > 0 {
			got += " " + strings.Join(cs, ", ")
		}
		if got != tc.want {
			t.Errorf("%s: answered %s, want %s\n%.600s", tc.name, got, tc.want, last)
		}
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("a request that can never be carried out is an error of the server:\n%s", s.log)
	}
}

// A value that the database can never hold is refused for good. With 503 the phone would try for ever.
func TestRegistrationThatCannotBeStored(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, user := range []string{strings.Repeat("u", 65), strings.Repeat("\xff", 22)} {
		u := s.phone("udp", user)
		if a := u.binds("Contact: <sip:a@h>"); status(a) != 400 || header(a, "Retry-After") != "" {
			t.Errorf("answered\n%s", a)
		}
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("an error is logged:\n%s", s.log)
	}
}

// A client that asks for the time that it was granted is granted it again.
func TestGrantedTimeDoesNotShrink(t *testing.T) {
	t.Parallel()
	s := serve(t)
	u, other := s.phone("udp", "bob"), s.phone("tcp", "bob")
	other.binds("Contact: <sip:other@192.0.2.1>", "Expires: 60")
	asked := "60"
	for range 7 {
		a := u.binds("Contact: <sip:bob@192.0.2.2>", "Expires: "+asked)
		c, err := sip.ParseNameAddr(contactsIn(a)[0])
		if err != nil || c.URI.User != "bob" {
			t.Fatalf("the first contact is not that of the client: %v\n%s", err, a)
		}
		if asked, _ = c.Params.Get("expires"); asked != "60" {
			t.Fatalf("granted %s\n%s", asked, a)
		}
	}
}

// The contacts of one device are no reason why another cannot read the answer, or gets none: a
// client finds its own contact first, in an answer that fits a datagram.
func TestAnswerWithManyContacts(t *testing.T) {
	t.Parallel()
	s := serve(t, "registrar.max_contacts = 1000")
	many, u := s.phone("tcp", "bob"), s.phone("udp", "bob")
	for i := range 10 {
		var contacts []string
		for k := range 100 {
			contacts = append(contacts, fmt.Sprintf("<sip:%d@192.0.2.1;x=%s>", i*100+k, strings.Repeat("x", 570)))
		}
		if a := many.binds("Contact: " + strings.Join(contacts, ",")); status(a) != 200 || len(a) > 65_507 {
			t.Fatalf("%d bytes\n%.300s", len(a), a)
		}
	}
	if a := u.binds("Contact: <sip:bob@192.0.2.2>"); status(a) != 403 {
		t.Errorf("a contact above the limit\n%.300s", a)
	}
	many.binds("Contact: <sip:0@192.0.2.1>;expires=0")
	a := u.binds("Contact: <sip:bob@192.0.2.2>")
	if cs := contactsIn(a); status(a) != 200 || len(cs) < 50 || cs[0] != "<sip:bob@192.0.2.2>;expires=3600" {
		t.Errorf("%d bytes, %d contacts\n%.300s", len(a), len(cs), a)
	}
}

// Contacts of devices and of administrators are the same after a restart.
func TestContactsSurviveARestart(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	u := s.phone("udp", "bob")
	long := fmt.Sprintf("sip:bob@%s;pn-prid=%s", u.conn.LocalAddr(), strings.Repeat("APA91b", 600))
	if a := u.binds("Contact: <"+long+">", "Expires: 600"); status(a) != 200 {
		t.Fatalf("answered\n%.300s", a)
	}
	s.call("ul_add", "location", "gw@127.0.0.1", "sip:gw@"+u.conn.LocalAddr().String(), "0", "1", ".", "0", "0", "0")
	for _, bad := range []struct{ contact, path string }{
		{"sip:gw@0.0.0.0", "0"},
		{"sip:gw@255.255.255.255", "0"},
		{"sip:gw@x.invalid", "0"},
		{"sip:gw@192.0.2.1", "x y"},
		{"sip:gw@192.0.2.1", "<tel:1>"},
		{"sip:gw@192.0.2.1;x=" + strings.Repeat("x", 4096), "0"},
		{"sip:gw@h:0", "0"},
	} {
		if _, err := s.tryCall("ul_add", "location", "bad@127.0.0.1", bad.contact, "0", "1", bad.path, "0", "0", "0"); err == nil {
			t.Errorf("%.60s, Path %s is added", bad.contact, bad.path)
		}
	}
	for range 2 {
		s = s.restart()
		for _, user := range []string{"bob", "gw"} {
			if n := s.call("ul_show_contact", "location", user+"@127.0.0.1"); len(n.Nodes) != 1 {
				t.Fatalf("%s has %d contacts", user, len(n.Nodes))
			}
		}
	}
	caller := s.phone("tcp", "caller")
	for user, uri := range map[string]string{"bob": long, "gw": "sip:gw@" + u.conn.LocalAddr().String()} {
		if code := caller.message("sip:"+user+"@127.0.0.1", "hi"); code != 200 {
			t.Errorf("MESSAGE to %s: %d", user, code)
			continue
		}
		if m := u.next(); !strings.HasPrefix(m, "MESSAGE "+uri+" SIP/2.0\r\n") || header(m, "Route") != "" {
			t.Errorf("%.300s", m)
		}
	}
	s.call("ul_rm", "location", "gw@127.0.0.1")
	if a := u.binds("Contact: *", "Expires: 0"); status(a) != 200 || len(contactsIn(a)) != 0 {
		t.Errorf("answered\n%.300s", a)
	}
}
