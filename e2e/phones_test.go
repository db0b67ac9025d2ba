package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// device is a user's phone: a program of another project, which reads commands from its
// standard input.
type device struct {
	*program
	user string
	// send returns the command that sends a text, and shows returns the output of the
	// phone when it has received one.
	send  func(to, text string) string
	shows func(from, text string) string
	quit  string // the command that unregisters and ends the program
}

// model is a phone program.
type model struct {
	name       string
	transports []string
	start      func(t *testing.T, d *daemon, transport, user string) *device
}

var models = []model{
	{"linphone", []string{"udp", "tcp"}, linphone},
	{"baresip", []string{"udp", "tcp"}, baresip},
	{"twinkle", []string{"udp", "tcp"}, twinkle},
	// Over TCP it handles one message for each read. Others that arrived with it wait until
	// it reads again, so that it shows them late with any server.
	{"libpurple", []string{"udp"}, libpurple},
}

// say sends a text to a user or a room.
func (p *device) say(to, text string) {
	p.t.Helper()
	p.write(p.send(to, text))
}

// awaitText waits until the phone shows a text from a user or a room.
func (p *device) awaitText(from, text string) {
	p.t.Helper()
	p.await(p.shows(from, text))
}

// unregister makes a phone unregister and end.
func (p *device) unregister() {
	p.t.Helper()
	p.write(p.quit)
	p.exit()
}

// file writes a file and creates the directories above it. It returns the path.
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

// hard is a text that is hard to transport, as far as the command lines of all phones allow.
const hard = "Grüße, zwei  Leerzeichen: 100% + 1 = €; #5 ¡?"

// roomTexts are texts of rooms, so that these tests do not depend on the default ones.
const roomTexts = "imc.texts = {created = '{room} is yours', joined = '{user} is in {room}'}"

// password is the password of all users, in tests with passwords.
const password = "Fidelio 3/4"

// digest is the configuration for digest authentication. All clients must support the default
// algorithms.
const digest = "auth.mode = 'digest'\nauth.realm = '" + domain + "'"

// addUsers adds users with the usual password.
func (d *daemon) addUsers(t *testing.T, users ...string) {
	t.Helper()
	for _, u := range users {
		if _, err := d.call("sub_add", u+"@"+domain, password); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPhones runs a conversation between two phones of each model.
func TestPhones(t *testing.T) {
	for _, m := range models {
		for _, transport := range m.transports {
			t.Run(m.name+"/"+transport, func(t *testing.T) {
				t.Parallel()
				converse(t, m, transport, serve(t, roomTexts))
			})
			t.Run(m.name+"/"+transport+"/digest", func(t *testing.T) {
				t.Parallel()
				d := serve(t, roomTexts, digest)
				d.addUsers(t, "alice", "bob")
				converse(t, m, transport, d)
			})
		}
	}
}

// converse runs a conversation: stored and relayed messages, a room, and a user who goes
// offline.
func converse(t *testing.T, m model, transport string, d *daemon) {
	t.Helper()
	alice := m.start(t, d, transport, "alice")
	d.awaitOnline(t, "alice", true)

	// bob is offline: the message is stored, and is the first that he receives.
	alice.say("bob", hard)
	d.awaitStored(t, "bob", hard)
	bob := m.start(t, d, transport, "bob")
	bob.awaitText("alice", hard)
	d.awaitStored(t, "bob")

	bob.say("alice", "back: "+hard)
	alice.awaitText("bob", "back: "+hard)
	alice.say("bob", "forth: "+hard)
	bob.awaitText("alice", "forth: "+hard)

	alice.say("chat-1", "#create")
	alice.awaitText("chat-1", "chat-1 is yours")
	bob.say("chat-1", "#join")
	alice.awaitText("chat-1", "bob is in chat-1")
	bob.say("chat-1", hard)
	alice.awaitText("chat-1", "[bob]: "+hard)
	alice.say("chat-1", hard)
	bob.awaitText("chat-1", "[alice]: "+hard)

	bob.unregister()
	d.awaitOnline(t, "bob", false)
	alice.say("bob", "are you gone?")
	d.awaitStored(t, "bob", "are you gone?")
	d.awaitStored(t, "alice") // nothing for her, who is online
}
