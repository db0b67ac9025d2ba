package e2e_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"
)

// shapes are the set-ups of docs/kamailio.md in which phones send to Kamailio.
var shapes = []struct {
	name, file string
	defines    []string
}{
	{"registrations are copied to silod", "copies.toml", []string{"WITH_COPIES"}},
	{"registrations stay at Kamailio", "behind.toml", nil},
}

// TestPhonesBesideKamailio sends through Kamailio what real phones send and suffer: a Route with
// the name of the proxy, no answer, and a connection that is gone.
func TestPhonesBesideKamailio(t *testing.T) {
	t.Parallel()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := kamailioWith(t, tt.file, tt.defines...)
			alice, bob := b.phone("alice", ".1"), b.phone("bob", ".1")
			alice.register(600)

			route := "Route: <sip:" + b.net + "1;lr>"
			if got := alice.ask(alice.request("MESSAGE", uri("bob"), "bob", "by a Route", "Content-Type: text/plain", route)); got != "202" {
				t.Errorf("a message with the Route of an outbound proxy is answered %s", got)
			}
			bob.register(600)
			bob.within(5*time.Second, "by a Route", "by a Route")

			// The answer waits for the phone, at Kamailio and at silod, and is the truth.
			bob.silent.Store(true)
			if got := alice.message("bob", "to a silent phone"); got != "202" {
				t.Errorf("a message for a phone that does not answer is answered %s", got)
			}
			b.silod.awaitStored(t, "bob", "to a silent phone")
			bob.silent.Store(false)
			bob.register(600)
			b.silod.awaitStored(t, "bob")

			b.registerAndVanish("carol")
			if got := alice.message("carol", "to a closed connection"); got != "202" {
				t.Errorf("a message for a phone whose connection is closed is answered %s", got)
			}
			b.silod.awaitStored(t, "carol", "to a closed connection")
		})
	}
}

// registerAndVanish registers a phone at Kamailio over TCP and closes the connection.
func (b *beside) registerAndVanish(user string) {
	b.t.Helper()
	w := dial(b.t, "tcp", b.net+"1:5060")
	a := b.phone(user, ".1")
	w.send(strings.Replace(a.request("REGISTER", "sip:"+domain, user, "", "Contact: <sip:"+user+"@"+w.conn.LocalAddr().String()+
		";transport=tcp>;expires=600"), "SIP/2.0/UDP", "SIP/2.0/TCP", 1))
	if res := w.answer(); res.status != 200 {
		b.t.Fatalf("REGISTER over TCP is answered %d", res.status)
	}
	if b.copies {
		b.silod.awaitOnline(b.t, user, true)
	}
	_ = w.conn.Close()
}

// TestForgedBesideKamailio has a phone claim to be another user: by P-Asserted-Identity, by the
// Route and To tag of a dialog, by From, and by To in a REGISTER.
func TestForgedBesideKamailio(t *testing.T) {
	t.Parallel()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := installed(t, "kamailio")
			b := newBeside(t)
			d := b.silod
			d.configure(t, "mi.reply_dir = '"+d.path("")+"'", b.read(tt.file))
			d.start(t)
			b.passwords("alice", "bob")
			text := strings.NewReplacer("db_mysql.so", "db_sqlite.so", "mysql://kamailio:password@localhost/kamailio", "sqlite:///"+d.path("kamailio.db")).
				Replace(b.read("kamailio.cfg"))
			b.runKamailio(path, text, append(tt.defines, "WITH_AUTH")...)

			server := b.net + "1:5060"
			expect := func(want string, args ...string) {
				t.Helper()
				if out, _ := d.siloctlWith(t, password, append(args, "--server", server)...); !strings.Contains(out, want) {
					t.Errorf("%v: no %s in %s", args, want, out)
				}
			}
			asserted := "P-Asserted-Identity: <" + uri("bob") + ">"
			expect("202", "send", "alice@"+domain, "bob@"+domain, "hello")
			expect("200", "send", "alice@"+domain, "chat-1@"+domain, "#create")
			expect("200", "send", "bob@"+domain, "chat-1@"+domain, "#join")
			expect("200", "send", "alice@"+domain, "chat-1@"+domain, "do you know me?", "--header", asserted)
			expect("403", "send", "bob@"+domain, "dave@"+domain, "forged", "--user", "alice")
			expect("403", "send", "eve@other.test", "dave@"+domain, "forged")
			expect("403", "listen", "bob@"+domain, "--count", "1", "--user", "alice")

			p := b.phone("bob", ".1")
			for _, route := range []string{"Route: <sip:" + b.net + "1;lr>", "Route: <sip:" + b.net + "1;lr>, <sip:" + b.net + "2;lr>"} {
				to := "To: <" + uri("dave") + ">"
				request := p.request("MESSAGE", uri("dave"), "dave", "forged", route, asserted)
				if got := p.ask(strings.Replace(request, to, to+";tag=1", 1)); got != "407" {
					t.Errorf("a MESSAGE with a To tag and %s is answered %s", route, got)
				}
			}
			d.awaitStored(t, "dave")
			out, _, _ := d.siloctl(t, "rooms", "history", "chat-1")
			if said := uri("alice") + " do you know me?"; !strings.Contains(strings.Join(strings.Fields(out), " "), said) {
				t.Errorf("no %q in\n%s", said, out)
			}
		})
	}
}

// passwords makes a database for Kamailio with the passwords of users.
func (b *beside) passwords(users ...string) {
	b.t.Helper()
	file := b.silod.path("kamailio.db")
	if _, errs, code := b.silod.siloctl(b.t, "db", "init", "sqlite:"+file); code != 0 {
		b.t.Fatal(errs)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	for _, u := range users {
		if _, err := db.Exec("INSERT INTO subscriber (username, domain, password) VALUES (?, ?, ?)", u, domain, password); err != nil {
			b.t.Fatal(err)
		}
	}
}
