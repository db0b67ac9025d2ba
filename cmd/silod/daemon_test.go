package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/config"
	"silod/mi"
	"silod/mi/client"
)

// A served is a daemon that runs in this process with its own ports and directory.
type served struct {
	*daemon
	t    *testing.T
	dir  string
	log  *syncBuffer
	stop func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts a daemon; more is added to its configuration.
func serve(t *testing.T, more ...string) *served {
	t.Helper()
	return serveIn(t, t.TempDir(), anyPort, more...)
}

// restart stops a daemon, which listens on a fixedPort, and starts it again.
func (s *served) restart(more ...string) *served {
	s.t.Helper()
	listen := fmt.Sprintf("'udp:%s', 'tcp:%s'", s.addr("udp"), s.addr("tcp"))
	s.stop()
	return serveIn(s.t, s.dir, listen, more...)
}

// serveIn starts a daemon with the state in dir.
func serveIn(t *testing.T, dir, listen string, more ...string) *served {
	t.Helper()
	cfg := testConfig(t, dir, listen, more...)
	return (&served{t: t, dir: dir, log: new(syncBuffer)}).begin(cfg, "")
}

// begin starts the daemon with the configuration of file.
func (s *served) begin(cfg *config.Config, file string) *served {
	s.t.Helper()
	t := s.t
	var err error
	if s.daemon, err = start(t.Context(), cfg, file, s.log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := s.serve(ctx)
		if cerr := s.close(); err == nil {
			err = cerr
		}
		done <- err
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the daemon ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the daemon:\n%s", s.log)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func testConfig(t *testing.T, dir, listen string, more ...string) *config.Config {
	t.Helper()
	lines := append([]string{
		"sip.listen = [" + listen + "]",
		fmt.Sprintf("mi.reply_dir = '%s/'", dir),
	}, more...)
	if !slices.ContainsFunc(more, func(s string) bool { return strings.HasPrefix(s, "silo.add_date") }) {
		lines = append(lines, "silo.add_date = 0") // most tests compare bodies
	}
	text := strings.Join(lines, "\n")
	cfg, err := config.Parse("test.toml", []byte(text), config.Dirs{State: dir, Runtime: dir})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// addr returns the address of the daemon for a transport.
func (s *served) addr(network string) netip.AddrPort {
	s.t.Helper()
	for _, e := range s.daemon.transport.Endpoints() {
		if e.Transport.String() == network {
			return e.Addr
		}
	}
	s.t.Fatalf("the daemon does not listen on %s", network)
	return netip.AddrPort{}
}

// phone returns a user agent of a user at 127.0.0.1.
func (s *served) phone(network, user string) *ua {
	s.t.Helper()
	u := phone(s.t, network, s.addr(network), "sip:"+user+"@127.0.0.1")
	u.daemon = s.daemon
	return u
}

// call runs a management command over the control socket.
func (s *served) call(command string, args ...string) *mi.Node {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), client.Target{Socket: filepath.Join(s.dir, "control.sock")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	list := make([]mi.Arg, len(args))
	for i, a := range args {
		list[i].Value = a
	}
	n, err := c.Call(s.t.Context(), command, list...)
	if err != nil {
		s.t.Fatalf("%s %q: %v", command, args, err)
	}
	return n
}

// stored returns the number of stored messages.
func (s *served) stored() int {
	s.t.Helper()
	n := s.call("silo_list")
	return len(n.Nodes)
}

// eventually waits until ok returns true.
func (s *served) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s did not happen", what)
		}
	}
}

const (
	alice = "sip:alice@127.0.0.1"
	bob   = "sip:bob@127.0.0.1"
)

func TestOfflineMessageIsStoredAndDelivered(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a, b := s.phone(network, "alice"), s.phone(network, "bob")
			req := a.request("MESSAGE", bob, bob, "Grüße,\r\n\x00 Bob\r\n",
				"Content-Type: text/plain;charset=utf-8;x=\"y;z\"", "Subject: A, subject", "Priority: urgent", "X-Own:  as written",
				"Content-Language: de", "Reply-To: \"Al\" <sip:al@example.org>")
			req = strings.Replace(req, "From: <"+alice+">", `From: "Alice \"A\" Ünal" <`+alice+">", 1)
			if got := a.ask(req); !strings.HasPrefix(got, "SIP/2.0 202 Accepted\r\n") {
				t.Fatalf("answered %s", got)
			}
			if n := s.stored(); n != 1 {
				t.Fatalf("%d messages are stored", n)
			}
			b.register(300)
			m := b.next()
			if want := "MESSAGE sip:bob@" + b.conn.LocalAddr().String() + ";transport=" + network + " SIP/2.0\r\n"; !strings.HasPrefix(m, want) {
				t.Errorf("start line %q, want %q", m[:60], want)
			}
			for _, name := range []string{
				"From", "To", "Call-ID", "CSeq", "Content-Type", "Subject", "Priority", "X-Own", "Content-Language", "Reply-To",
			} {
				if got, want := header(m, name), header(req, name); got != want {
					t.Errorf("%s: %q, sent %q", name, got, want)
				}
			}
			if body(m) != body(req) {
				t.Errorf("body %q, sent %q", body(m), body(req))
			}
			s.eventually("the row's end", func() bool { return s.stored() == 0 })
			b.nothing()
		})
	}
}

func TestOnlineMessageIsRelayed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("tcp", "bob")
	b.register(300)
	b.autoReply.Store(0)
	go func() {
		m := <-b.requests
		r := strings.Replace(m[strings.Index(m, "Via:"):], "\r\n\r\nhello", "\r\n\r\n", 1)
		r = strings.Replace(r, "To: <"+bob+">", "To: <"+bob+">;tag=bobs", 1)
		r = strings.Replace(r, "Content-Length: 5", "X-Bob: here\r\nContent-Length: 0", 1)
		_, _ = b.conn.Write([]byte("SIP/2.0 200 Got it\r\n" + r))
	}()
	got := a.ask(a.request("MESSAGE", bob, bob, "hello", "Content-Type: text/plain"))
	if !strings.HasPrefix(got, "SIP/2.0 200 Got it\r\n") || header(got, "To") != "<"+bob+">;tag=bobs" || header(got, "X-Bob") != "here" {
		t.Errorf("answered\n%s", got)
	}
	if strings.Count(got, "Via:") != 1 {
		t.Errorf("Vias of others in\n%s", got)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestPhoneThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '300ms'")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	b.autoReply.Store(0)
	if got := a.message(bob, "first"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	// The next message does not overtake it.
	if got := a.message(bob, "second"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are stored", n)
	}
	// After the late response of the phone the second message follows.
	first := b.next()
	b.reply(first, 200)
	b.autoReply.Store(200)
	for m := b.next(); ; m = b.next() {
		if body(m) == "second" {
			break
		}
		if body(m) != "first" || header(m, "Call-ID") != header(first, "Call-ID") {
			t.Fatalf("unexpected\n%s", m)
		}
	}
	s.eventually("the rows' end", func() bool { return s.stored() == 0 })
}

func TestGoingOffline(t *testing.T) {
	t.Parallel()
	for name, bye := range map[string]func(*ua) string{
		"expires 0": func(b *ua) string { return b.register(0) },
		"star": func(b *ua) string {
			return b.ask(b.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: *", "Expires: 0"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
			if got := header(b.register(300), "Contact"); !strings.Contains(got, ";expires=300") && !strings.Contains(got, ";expires=299") {
				t.Errorf("Contact in the 200: %q", got)
			}
			if got := a.message(bob, "online"); got != 200 {
				t.Errorf("online: %d", got)
			}
			b.next()
			if got := bye(b); status(got) != 200 || header(got, "Contact") != "" {
				t.Errorf("answered\n%s", got)
			}
			if got := a.message(bob, "offline"); got != 202 {
				t.Errorf("offline: %d", got)
			}
			b.nothing()
		})
	}
}

func TestClosedConnectionIsOffline(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("tcp", "bob")
	b.register(300)
	_ = b.conn.Close()
	s.eventually("the binding's end", func() bool { aors, _ := s.location.Counts(); return aors == 0 })
	if got := a.message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	again := s.phone("tcp", "bob")
	again.register(300)
	if m := again.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("tcp", "alice"), s.phone("udp", "bob")
	for i := range 200 {
		if got := a.message(bob, fmt.Sprint(i)); got != 202 {
			t.Fatalf("message %d: %d", i, got)
		}
	}
	b.register(300)
	for i := range 200 {
		if got := body(b.next()); got != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
}

func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a := s.phone("udp", "alice")
	a.message(bob, "kept")
	a.register(300)
	a.message("sip:chat-1@127.0.0.1", "#create chat-1")

	s = s.restart()
	b := s.phone("udp", "bob")
	b.register(300)
	if got := body(b.next()); got != "kept" {
		t.Errorf("got %q", got)
	}
	if n := s.call("imc_list_rooms"); len(n.Nodes) != 1 {
		t.Errorf("rooms: %+v", n)
	}
	// The binding of alice is kept over the restart.
	if got := b.message(alice, "hello"); got != 200 {
		t.Errorf("answered %d", got)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const room = "sip:chat-1@127.0.0.1"
	a, b, c := s.phone("udp", "alice"), s.phone("tcp", "bob"), s.phone("udp", "carol")
	for _, u := range []*ua{a, b, c} {
		u.register(300)
	}
	if got := a.message(room, "#create chat-1"); got != 200 {
		t.Fatalf("create: %d", got)
	}
	for _, u := range []*ua{b, c} {
		if got := u.message(room, "#join"); got != 200 {
			t.Fatalf("join: %d", got)
		}
	}
	if got := a.message(room, "hello all"); got != 200 {
		t.Fatalf("text: %d", got)
	}
	for _, u := range []*ua{b, c} {
		for {
			m := u.next()
			if strings.Contains(body(m), "hello all") {
				if !strings.Contains(header(m, "From"), room) || !strings.Contains(body(m), "alice") {
					t.Errorf("got\n%s", m)
				}
				break
			}
		}
	}
	rooms := s.call("imc_list_rooms")
	if len(rooms.Nodes) != 1 {
		t.Errorf("rooms: %+v", rooms)
	}
	members := s.call("imc_list_members", room)
	if members == nil {
		t.Error("no members")
	}
}
