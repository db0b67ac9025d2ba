package e2e_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// libpurple starts the library of Pidgin and Finch, with BitlBee, a gateway from IRC, over UDP.
// Its Via and Contact have an address from which it does not send, and its Call-IDs, tags and
// branches are the same for all users.
func libpurple(t *testing.T, d *daemon, _, user string) *device {
	path := installed(t, "bitlbee")
	if out, _ := exec.Command(path, "-V").CombinedOutput(); !strings.Contains(string(out), "--purple=1") {
		missing(t, "bitlbee-libpurple")
	}
	home := t.TempDir()
	conf := file(t, "[settings]\nRunMode = Inetd\n", home, "bitlbee.conf")
	// By default it uses port 5060 on all interfaces.
	port := freePort(t)
	file(t, fmt.Sprintf(`<?xml version='1.0' encoding='UTF-8' ?>
<pref version='1' name='/'><pref name='purple'><pref name='network'>
<pref name='ports_range_use' type='bool' value='1'/>
<pref name='ports_range_start' type='int' value='%d'/>
<pref name='ports_range_end' type='int' value='%d'/>
</pref></pref></pref>
`, port, port+1), home, "purple", user, "prefs.xml")
	cmd := exec.Command(path, "-I", "-c", conf, "-d", home)
	p := &device{
		program: irc(t, cmd),
		user:    user,
		send:    func(to, text string) string { return "PRIVMSG " + to + " :" + text },
		shows: func(from, text string) string {
			return "!" + uri(from) + " PRIVMSG " + user + " :" + text + "\r\n"
		},
		quit: "QUIT",
	}
	p.write("NICK " + user)
	p.write("USER " + user + " host server :" + user)
	host, serverPort, _ := strings.Cut(d.addr, ":")
	p.root("register secret", "Account successfully created")
	p.root("account add simple "+user+"@"+domain+" \""+password+"\"", "Account successfully added")
	for _, set := range []string{
		"useproxy true", "proxy " + host, "port " + serverPort, "udp true", "authuser " + user, "authdomain " + domain,
		"handle_unknown add_private", "nick_format %handle", "dopublish true",
	} {
		p.write("PRIVMSG &bitlbee :account 0 set " + set)
	}
	p.root("account 0 on", "Logging in: Logged in")
	for _, buddy := range []string{"alice", "bob", "chat-1"} {
		if buddy != user {
			p.root("add -tmp 0 "+buddy+"@"+domain+" "+buddy, "Temporarily assigned nickname `"+buddy+"'")
		}
	}
	return p
}

// root sends a command to BitlBee itself and waits for its answer.
func (p *device) root(command, answer string) {
	p.t.Helper()
	p.write("PRIVMSG &bitlbee :" + command)
	p.await(answer)
}

// irc runs a server as inetd does: its standard input is a socket for both directions.
func irc(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	cmd.Stdin, cmd.Stdout = theirs, theirs
	p := start(t, cmd)
	_ = theirs.Close()
	p.input = ours
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&p.output, ours)
	}()
	t.Cleanup(func() {
		p.kill()
		<-done
		_ = ours.Close()
	})
	return p
}
