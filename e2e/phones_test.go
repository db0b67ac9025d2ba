package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// device is a phone of a user's: a program that somebody else wrote, which is told
// what to do on its standard input.
type device struct {
	*program
	user string
	// send is the line that sends a text, and shows is what the screen says when
	// one has come.
	send  func(to, text string) string
	shows func(from, text string) string
	quit  string // the line that unregisters and ends the program
}

// model is a kind of phone.
type model struct {
	name       string
	transports []string
	start      func(t *testing.T, d *daemon, transport, user string) *device
	digest     string // the configuration under which it can prove who it is
}

var models = []model{
	{"linphone", []string{"udp", "tcp"}, linphone, digest},
	{"baresip", []string{"udp", "tcp"}, baresip, md5},
	{"twinkle", []string{"udp", "tcp"}, twinkle, md5},
	// Over TCP it handles one message each time that it reads, and what came with it
	// waits until there is more to read: what it shows is late, whatever a server does.
	{"libpurple", []string{"udp"}, libpurple, digest},
}

// say sends a text to a user or a room.
func (p *device) say(to, text string) {
	p.t.Helper()
	p.write(p.send(to, text))
}

// hears waits until a text from a user or a room is on the screen.
func (p *device) hears(from, text string) {
	p.t.Helper()
	p.await(p.shows(from, text))
}

// leave has a phone unregister and end.
func (p *device) leave() {
	p.t.Helper()
	p.write(p.quit)
	p.exit()
}

// file writes a file of a phone's, and the directories above it.
func file(t *testing.T, text string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A text that is hard to carry, as far as every phone's command line allows.
const hard = "Grüße, zwei  Leerzeichen: 100% + 1 = €; #5 ¡?"

// roomTexts are words of our own for what a room says: the shipped ones may change.
const roomTexts = "imc.texts = {created = '{room} is yours', joined = '{user} is in {room}'}"

// password is everybody's, where the daemon wants one.
const password = "Fidelio 3/4"

// digest has the daemon want passwords.
const digest = "auth.mode = 'digest'\nauth.realm = '" + domain + "'"

// md5 is for those who give up where they are offered a newer algorithm as well.
const md5 = digest + "\nauth.algorithms = ['MD5']"

// admit gives users their password.
func (d *daemon) admit(t *testing.T, users ...string) {
	t.Helper()
	for _, u := range users {
		if _, err := d.call("sub_add", u+"@"+domain, password); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPhones has two phones of each kind do what people do with them.
func TestPhones(t *testing.T) {
	for _, m := range models {
		for _, transport := range m.transports {
			t.Run(m.name+"/"+transport, func(t *testing.T) {
				t.Parallel()
				talk(t, m, transport, serve(t, roomTexts))
			})
			t.Run(m.name+"/"+transport+"/digest", func(t *testing.T) {
				t.Parallel()
				d := serve(t, roomTexts, m.digest)
				d.admit(t, "alice", "bob")
				talk(t, m, transport, d)
			})
		}
	}
}

// talk is what they do.
func talk(t *testing.T, m model, transport string, d *daemon) {
	t.Helper()
	alice := m.start(t, d, transport, "alice")
	d.awaitOnline(t, "alice", true)

	// bob is not there: what alice writes is kept, and is the first that he sees.
	alice.say("bob", hard)
	d.awaitStored(t, "bob", hard)
	bob := m.start(t, d, transport, "bob")
	bob.hears("alice", hard)
	d.awaitStored(t, "bob")

	bob.say("alice", "back: "+hard)
	alice.hears("bob", "back: "+hard)
	alice.say("bob", "forth: "+hard)
	bob.hears("alice", "forth: "+hard)

	alice.say("chat-1", "#create")
	alice.hears("chat-1", "chat-1 is yours")
	bob.say("chat-1", "#join")
	alice.hears("chat-1", "bob is in chat-1")
	bob.say("chat-1", hard)
	alice.hears("chat-1", "[bob]: "+hard)
	alice.say("chat-1", hard)
	bob.hears("chat-1", "[alice]: "+hard)

	bob.leave()
	d.awaitOnline(t, "bob", false)
	alice.say("bob", "are you gone?")
	d.awaitStored(t, "bob", "are you gone?")
	d.awaitStored(t, "alice") // nothing for her, who is online
}
