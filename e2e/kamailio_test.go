package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// beside is a Kamailio with the configuration of docs/kamailio.md, and a silod beside it.
type beside struct {
	t        *testing.T
	net      string // 127.A.B., in which Kamailio has .1, silod .2 and a gateway .3
	copies   bool   // silod gets copies of registrations
	kamailio *program
	silod    *daemon
}

// kamailioWith starts both: Kamailio with some #!define lines made effective, silod with one of
// the files beside Kamailio's.
func kamailioWith(t *testing.T, file string, defines ...string) *beside {
	t.Helper()
	path := installed(t, "kamailio")
	b := newBeside(t)
	b.silod.configure(t, "mi.reply_dir = '"+b.silod.path("")+"'", b.read(file))
	b.silod.start(t)
	b.runKamailio(path, b.read("kamailio.cfg"), defines...)
	return b
}

// newBeside returns both without starting them.
func newBeside(t *testing.T) *beside {
	t.Helper()
	b := &beside{t: t, net: fmt.Sprintf("127.%d.%d.", 64+rand.IntN(64), rand.IntN(256)), silod: prepare(t)}
	b.silod.addr = b.net + "2:5060"
	return b
}

// runKamailio starts Kamailio and waits until it answers.
func (b *beside) runKamailio(path, text string, defines ...string) {
	b.t.Helper()
	t, d := b.t, b.silod
	for _, def := range defines {
		b.copies = b.copies || def == "WITH_COPIES"
		text = strings.Replace(text, "##!define "+def, "#!define "+def, 1)
	}
	if err := os.WriteFile(d.path("kamailio.cfg"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.kamailio = start(t, exec.Command(path, "-DD", "-E", "-f", d.path("kamailio.cfg"), "-m", "64", "-M", "8",
		"-P", d.path("kamailio.pid"), "-Y", d.dir, "-w", d.dir))
	p := b.phone("nobody", ".1")
	eventually(t, func() error {
		if !b.kamailio.running() {
			t.Fatal("Kamailio has ended")
		}
		p.send(p.request("OPTIONS", "sip:"+b.net+"1:5060", "nobody", ""))
		select {
		case <-p.answers:
			return nil
		case <-time.After(100 * time.Millisecond):
			return fmt.Errorf("no answer of Kamailio:\n%s", tail(b.kamailio.output.String()))
		}
	})
}

// read returns a file of testdata/kamailio with the addresses and the domain of the test.
func (b *beside) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile("../testdata/kamailio/" + name)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.NewReplacer("192.0.2.10", b.net+"1", "192.0.2.20", b.net+"2", "192.0.2.30", b.net+"3", "example.org", domain).
		Replace(string(text))
}

// agent is a user agent that answers 200 to requests.
type agent struct {
	t       *testing.T
	user    string
	conn    net.Conn
	answers chan string
	silent  atomic.Bool // requests get no answer

	mu  sync.Mutex
	got []string // bodies of MESSAGEs, in order, without retransmissions
	ids []string // their branches
}

// phone returns a user agent that sends to Kamailio (".1") or silod (".2").
func (b *beside) phone(user, to string) *agent {
	b.t.Helper()
	from := &net.UDPAddr{IP: net.ParseIP("127.0.0.1")}
	if to == ".2" {
		from.IP = net.ParseIP(b.net + "3")
	}
	c, err := net.DialUDP("udp", from, &net.UDPAddr{IP: net.ParseIP(b.net + to[1:]), Port: 5060})
	if err != nil {
		b.t.Fatal(err)
	}
	a := &agent{t: b.t, user: user, conn: c, answers: make(chan string, 100)}
	b.t.Cleanup(func() { _ = c.Close() })
	go a.read()
	return a
}

func (a *agent) read() {
	buf := make([]byte, 65536)
	for {
		n, err := a.conn.Read(buf)
		if err != nil {
			if strings.Contains(err.Error(), "refused") {
				continue // Kamailio does not listen yet
			}
			return
		}
		m := string(buf[:n])
		if strings.HasPrefix(m, "SIP/2.0 ") {
			a.answers <- m
			continue
		}
		if a.silent.Load() {
			continue
		}
		head, body, _ := strings.Cut(m, "\r\n\r\n")
		answer := "SIP/2.0 200 OK\r\n"
		branch := ""
		for _, l := range strings.Split(head, "\r\n")[1:] {
			switch name, value, _ := strings.Cut(l, ":"); name {
			case "Via", "From", "To", "Call-ID", "CSeq":
				answer += l + "\r\n"
				if name == "Via" && branch == "" {
					branch = value
				}
			}
		}
		if strings.HasPrefix(m, "MESSAGE ") {
			a.mu.Lock()
			if !slices.Contains(a.ids, branch) {
				a.ids, a.got = append(a.ids, branch), append(a.got, body)
			}
			a.mu.Unlock()
		}
		a.send(answer + "Content-Length: 0\r\n\r\n")
	}
}

func (a *agent) send(m string) { _, _ = a.conn.Write([]byte(m)) }

func (a *agent) request(method, ruri, to, body string, more ...string) string {
	n := fmt.Sprint("kam", requests.Add(1))
	local := a.conn.LocalAddr().String()
	head := []string{
		method + " " + ruri + " SIP/2.0", "Via: SIP/2.0/UDP " + local + ";rport;branch=z9hG4bK" + n, "Max-Forwards: 70",
		"From: <" + uri(a.user) + ">;tag=" + n, "To: <" + uri(to) + ">", "Call-ID: " + n + "@" + local, "CSeq: 1 " + method,
	}
	return strings.Join(append(append(head, more...), fmt.Sprint("Content-Length: ", len(body))), "\r\n") + "\r\n\r\n" + body
}

// ask sends a request until it has a final response, and returns the status.
func (a *agent) ask(request string) string {
	a.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		a.send(request)
		select {
		case r := <-a.answers:
			if r[8] != '1' {
				return r[8:11]
			}
		case <-time.After(time.Second):
		}
	}
	a.t.Fatalf("no answer to\n%s", request)
	return ""
}

func (a *agent) register(expires int) {
	a.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:%s@%s>;expires=%d", a.user, a.conn.LocalAddr(), expires)
	if got := a.ask(a.request("REGISTER", "sip:"+domain, a.user, "", contact)); got != "200" {
		a.t.Fatalf("REGISTER is answered %s", got)
	}
}

func (a *agent) message(to, body string) string {
	a.t.Helper()
	return a.ask(a.request("MESSAGE", uri(to), to, body, "Content-Type: text/plain"))
}

// received returns the bodies of the MESSAGEs that contain text.
func (a *agent) received(text string) (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.got {
		if strings.Contains(b, text) {
			list = append(list, b)
		}
	}
	return list
}

// within waits until exactly these MESSAGEs with text in them have come, and checks that
// they came in time and once.
func (a *agent) within(limit time.Duration, text string, want ...string) {
	a.t.Helper()
	begun := time.Now()
	for len(a.received(text)) < len(want) && time.Since(begun) < patience {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(begun); took > limit {
		a.t.Errorf("%q came after %v", want, took)
	}
	time.Sleep(silence)
	got := a.received(text)
	for i := range got { // without the date of add_date and the name of the room's member
		got[i] = got[i][strings.Index(got[i], text):]
	}
	if !slices.Equal(got, want) {
		a.t.Errorf("%s has got %q, want %q", a.user, got, want)
	}
}

// TestBesideKamailio runs the three set-ups of docs/kamailio.md with Debian's Kamailio.
func TestBesideKamailio(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, sender string
		defines            []string
	}{
		{"registrations are copied to silod", "copies.toml", ".1", []string{"WITH_COPIES"}},
		{"registrations stay at Kamailio", "behind.toml", ".1", nil},
		{"silod is in front", "front.toml", ".2", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := kamailioWith(t, tt.file, tt.defines...)
			alice, bob := b.phone("alice", ".1"), b.phone("bob", ".1")
			sender := alice
			if tt.sender == ".2" {
				sender = b.phone("alice", ".2")
			}
			alice.register(600)
			bob.register(600)
			b.online(sender, bob)
			b.offline(sender, bob)
			b.room(sender, alice, bob)
		})
	}
}

// online checks that messages for a user with a registration at Kamailio arrive at once.
func (b *beside) online(from, to *agent) {
	b.t.Helper()
	tries := 0
	eventually(b.t, func() error { // silod has the registration a moment after the phone, and a message that meets it waits
		tries++
		if got := from.message(to.user, fmt.Sprint("online ", tries)); got != "200" {
			return fmt.Errorf("a message for a registered user is answered %s", got)
		}
		return nil
	})
	last := fmt.Sprint("online ", tries)
	to.within(time.Second, last, last)
}

// offline checks that messages for a user without a registration are stored once, however often
// they are tried, and arrive when the user registers.
func (b *beside) offline(from, to *agent) {
	b.t.Helper()
	to.register(0)
	b.gone(to)
	want := []string{"stored 1", "stored 2", "stored 3"}
	for _, text := range want {
		if got := from.message(to.user, text); got != "202" {
			b.t.Errorf("a message for a user without a registration is answered %s", got)
		}
	}
	before := b.silod.counter(b.t, "router:messages")
	time.Sleep(7 * time.Second) // one retry
	b.silod.awaitStored(b.t, to.user, want...)
	if n := b.silod.counter(b.t, "router:messages") - before; n > 3 {
		b.t.Errorf("silod has handled %d MESSAGEs while nothing happened", n)
	}
	if n := b.silod.counter(b.t, "msilo:stored_messages"); n < 3 || n > 4 { // with the one that asked
		b.t.Errorf("%d messages were stored", n)
	}
	to.register(600)
	to.within(5*time.Second, "stored", want...)
	b.silod.awaitStored(b.t, to.user)
}

// gone waits until silod knows too that a user has left, if it gets copies of registrations.
// Otherwise it knows only that the user was there a minute ago.
func (b *beside) gone(user *agent) {
	b.t.Helper()
	if b.copies {
		b.silod.awaitOnline(b.t, user.user, false)
	}
}

// room checks that members with a registration at Kamailio get texts and answers, and those that
// come later the texts that they have missed.
func (b *beside) room(from, alice, bob *agent) {
	b.t.Helper()
	for _, step := range []struct {
		from *agent
		text string
	}{{from, "#create"}, {bob, "#join chat-7"}, {from, "#help"}, {from, "to all"}} {
		if got := step.from.message("chat-7", step.text); got != "200" {
			b.t.Errorf("%s: answered %s", step.text, got)
		}
	}
	bob.within(5*time.Second, "to all", "to all")
	eventually(b.t, func() error {
		if len(alice.received("#join")) == 0 {
			return fmt.Errorf("no answer to #help")
		}
		return nil
	})
	bob.register(0)
	b.gone(bob)
	if got := from.message("chat-7", "to the absent"); got != "200" {
		b.t.Errorf("answered %s", got)
	}
	time.Sleep(time.Second)
	bob.register(600)
	bob.within(8*time.Second, "to the absent", "to the absent")
	if n := b.silod.counter(b.t, "imc:messages"); n != 2 {
		b.t.Errorf("the room has accepted %d texts", n)
	}
}
