package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"silod/e2e/phone"
)

const (
	floodRate = 1_000_000 / 60 // requests a second
	floodRSS  = 400 << 20      // bytes of memory that the daemon may use at most
	floodLeft = 64 << 20       // bytes that it may still use after the flood, more than before
)

// flood is an attack with many requests.
type flood struct {
	config  string
	sources int // number of source addresses; 0: another one for each request
	request func(f *flooder, i int) string
}

// floods are the attacks: messages that cost the most to refuse; requests with forged source
// addresses; and guesses of passwords, with bans and without.
var floods = map[string]flood{
	"messages": {"auth.mode = 'none'", 32, func(f *flooder, i int) string {
		return f.line("MESSAGE", "sip:x@elsewhere.example", i, "")
	}},
	"spoofed sources": {digest, 0, func(f *flooder, i int) string {
		method := []string{"MESSAGE", "REGISTER", "OPTIONS", "INVITE"}[i%4]
		return f.line(method, "sip:"+domain, i, "")
	}},
	"guesses":                {digest, 32, guess},
	"guesses without limits": {digest + "\nauth.failures = '1000000000/1s'\nauth.source_messages = '0'\nauth.source_registers = '0'", 32, guess},
}

// guess returns a request without credentials, with those for an invalid nonce, or with wrong
// ones for a valid nonce.
func guess(f *flooder, i int) string {
	nonce, user := *f.nonce.Load(), "alice"
	switch i % 4 {
	case 0:
		nonce = fmt.Sprintf("%048x", i)
	case 1:
		user = fmt.Sprintf("u%d", i)
	}
	credentials := fmt.Sprintf("Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"sip:%[2]s\", algorithm=MD5, "+
		"response=\"0123456789abcdef0123456789abcdef\", qop=auth, nc=%08[4]x, cnonce=\"c\"\r\n", user, domain, nonce, i+1)
	if i%4 == 2 {
		credentials = ""
	}
	return f.line([]string{"MESSAGE", "REGISTER"}[i/4%2], "sip:"+domain, i, credentials)
}

// TestFloods: during each attack other users are served, and the memory has a limit and is
// released afterwards. SILOD_TEST_FLOOD is the number of requests; a million take some
// minutes.
func TestFloods(t *testing.T) {
	if raceEnabled {
		t.Skip("memory and time are not those of a daemon without the race detector")
	}
	n := 20_000
	whole := os.Getenv("SILOD_TEST_FLOOD")
	if whole != "" {
		var err error
		if n, err = strconv.Atoi(whole); err != nil {
			t.Fatal("SILOD_TEST_FLOOD: ", err)
		}
	}
	for name, attack := range floods {
		t.Run(name, func(t *testing.T) {
			d := serve(t, attack.config, "auth.user_messages = '0'", "log.level = 'error'")
			d.addUsers(t, "alice", "bob")
			alice := d.honest(t)
			quiet := alice.write(t, ended, 200)
			before := d.memory(t, "VmRSS")

			ctx, over := context.WithCancel(t.Context())
			defer over()
			f, socket := d.flooder(t, attack)
			go func() {
				defer over()
				f.run(t, socket, n)
			}()
			begun, used := time.Now(), d.cpu(t)
			busy := alice.write(t, ctx.Done(), 10)
			took, used := time.Since(begun), d.cpu(t)-used
			peak := d.memory(t, "VmHWM")
			t.Logf("%d requests in %v, %v of processor time each; %d answers of %d bytes for %d; answers to alice in %v and %v (p50, p99), before %v and %v; memory %d MB, at most %d MB",
				f.sent.Load(), took.Round(time.Second), (used / time.Duration(f.sent.Load())).Round(100*time.Nanosecond), f.answers.Load(), f.received.Load(), f.written.Load(),
				quantile(busy, 0.5), quantile(busy, 0.99), quantile(quiet, 0.5), quantile(quiet, 0.99), before>>20, peak>>20)
			if peak > floodRSS {
				t.Errorf("memory: %d MB", peak>>20)
			}
			if f.received.Load() > f.written.Load() {
				t.Errorf("%d bytes were answered to %d", f.received.Load(), f.written.Load())
			}
			if whole == "" {
				return // transactions are remembered for half a minute
			}
			for end := time.Now().Add(5 * time.Minute); d.memory(t, "VmRSS") > before+floodLeft; time.Sleep(time.Second) {
				if time.Now().After(end) {
					t.Fatalf("memory: %d MB are left, %d MB were there before", d.memory(t, "VmRSS")>>20, before>>20)
				}
			}
			t.Logf("memory: %d MB, %v after the end", d.memory(t, "VmRSS")>>20, time.Since(begun.Add(took)).Round(time.Second))
		})
	}
}

// memory returns a value of the daemon's memory in /proc, in bytes.
func (d *daemon) memory(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			var kb int64
			if _, err := fmt.Sscan(v, &kb); err == nil {
				return kb << 10
			}
		}
	}
	t.Fatalf("no %s in\n%s", name, b)
	return 0
}

// cpu returns the processor time that a daemon has used.
func (d *daemon) cpu(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// honest is a user who is not an attacker, and writes to another one, who is online.
type honest struct {
	phone    *phone.Phone
	received chan string
}

func (d *daemon) honest(t *testing.T) *honest {
	t.Helper()
	h := &honest{received: make(chan string, 1)}
	user := func(name string, receive func(*phone.Message) phone.Answer) *phone.Phone {
		p, err := phone.New(phone.Config{
			AoR: uri(name), Password: password, Server: "sip:" + d.addr + ";transport=tcp", Receive: receive,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		if res, _, err := p.Register(t.Context(), time.Hour); err != nil || !res.OK() {
			t.Fatalf("%s registers: %v, %v", name, res, err)
		}
		return p
	}
	user("bob", func(m *phone.Message) phone.Answer {
		h.received <- m.Text()
		return phone.Answer{}
	})
	h.phone = user("alice", nil)
	return h
}

// write sends messages until over is closed, and at least that number. It returns the time
// that each took, including the challenge.
func (h *honest) write(t *testing.T, over <-chan struct{}, least int) (times []time.Duration) {
	t.Helper()
	for i := 0; ; i++ {
		if i >= least {
			select {
			case <-over:
				return times
			default:
			}
		}
		text, begun := fmt.Sprint("hello ", i), time.Now()
		res, err := h.phone.Send(t.Context(), uri("bob"), "", []byte(text))
		if err != nil || res.Code != 200 {
			t.Fatalf("alice is answered %v, %v", res, err)
		}
		times = append(times, time.Since(begun))
		if got := <-h.received; got != text {
			t.Fatalf("bob got %q, not %q", got, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ended is a closed channel.
var ended = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(q*float64(len(sorted)-1))].Round(10 * time.Microsecond)
}

// flooder sends an attack from one socket, with any source address of the loopback network.
type flooder struct {
	daemon *daemon
	attack flood
	port   int
	source net.IP // of the next request

	nonce                            atomic.Pointer[string] // of the last challenge
	sent, written, answers, received atomic.Int64
}

func (d *daemon) flooder(t *testing.T, attack flood) (*flooder, *net.UDPConn) {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadBuffer(4 << 20)
	f := &flooder{daemon: d, attack: attack, port: c.LocalAddr().(*net.UDPAddr).Port}
	none := "none"
	f.nonce.Store(&none)
	return f, c
}

// run sends n requests at floodRate, while it reads the answers.
func (f *flooder) run(t *testing.T, c *net.UDPConn, n int) {
	to, err := net.ResolveUDPAddr("udp4", f.daemon.addr)
	if err != nil {
		t.Error(err)
		return
	}
	go f.read(c)
	out := ipv4.NewPacketConn(c)
	begun := time.Now()
	for i := range n {
		if due := begun.Add(time.Duration(i) * time.Second / floodRate); time.Until(due) > time.Millisecond {
			time.Sleep(time.Until(due))
		}
		from := i
		if f.attack.sources > 0 {
			from = i % f.attack.sources
		}
		f.source = net.IPv4(127, byte(1+from>>16), byte(from>>8), byte(from))
		request := f.attack.request(f, i)
		if _, err := out.WriteTo([]byte(request), &ipv4.ControlMessage{Src: f.source}, to); err != nil {
			t.Error(err)
			return
		}
		f.sent.Add(1)
		f.written.Add(int64(len(request)))
	}
}

// read counts the answers, and takes the nonce from some of them.
func (f *flooder) read(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		f.received.Add(int64(n))
		if f.answers.Add(1)%16 == 1 {
			if _, rest, ok := strings.Cut(string(buf[:n]), `nonce="`); ok {
				nonce, _, _ := strings.Cut(rest, `"`)
				f.nonce.Store(&nonce)
			}
		}
	}
}

// line returns a request that is as small as those of real clients.
func (f *flooder) line(method, to string, i int, more string) string {
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bKf%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@%s>;tag=f%[5]d\r\nTo: <%[2]s>\r\nCall-ID: f%[5]d@flood\r\nCSeq: 1 %[1]s\r\n"+
		"User-Agent: Linphonec/5.1.65 (belle-sip/5.1.64)\r\nSupported: replaces, outbound, gruu\r\n%[7]sContent-Length: 0\r\n\r\n",
		method, to, f.source, f.port, i, domain, more)
}
