package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// garbage are packets such as any public port receives. They are not SIP and get no answer.
var garbage = []string{
	strings.Repeat("\x00", 40),
	"GET / HTTP/1.1\r\nHost: sip.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
	// The beginning of a TLS 1.3 client hello.
	"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + strings.Repeat("\xa5", 32) + "\x20" + strings.Repeat("\x5a", 32) + "\x00\x02\x13\x01\x01\x00",
	"SSH-2.0-OpenSSH_9.6\r\n\r\n",
	"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01", // DNS
	"<?xml version='1.0'?><stream:stream to='sip.test' xmlns='jabber:client'>\r\n\r\n",
	"MESSAGE\r\n\r\nsip:bob@sip.test SIP/2.0\r\n\r\n",
	"SIP/2.0\r\n\r\n", "SIP/2.0 \r\n\r\n:::::\r\n", "\r\n \r\n \r\n \r\n x y z\r\n\r\n",
	strings.Repeat("A", 3000), strings.Repeat("\r\n\t", 500), strings.Repeat("Via: ", 400) + "\r\n\r\n",
	"MESSAGE sip:bob@sip.test SIP/2.0\r\nFrom: <sip:a@b>\r\nTo: <sip:bob@sip.test>\r\n\r\n",
}

// noise returns random bytes, either of any value or from texts of SIP.
func noise(r *rand.Rand, n int) string {
	const sip = "SIP/2.0 MESSAGEsipbob@.:;<>\"\\,=%\r\n\t 0123456789Via"
	b := make([]byte, n)
	for i := range b {
		if n%2 == 0 {
			b[i] = byte(r.Uint32())
		} else {
			b[i] = sip[r.IntN(len(sip))]
		}
	}
	return string(b)
}

// seeded returns random numbers, and logs their seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("random numbers from %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// resident returns the resident memory of the daemon in bytes.
func (d *daemon) resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Skip("this system does not show the memory of a process")
	}
	var kb int
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// descriptors returns the number of open files and sockets of the daemon.
func (d *daemon) descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		t.Skip("this system does not show the descriptors of a process")
	}
	return len(open)
}

// storeTexts stores some texts for bob, and returns them.
func (d *daemon) storeTexts(t *testing.T) (bodies []string) {
	t.Helper()
	w := dial(t, "udp", d.addr)
	for i := range 20 {
		body := fmt.Sprintf("kept %d", i)
		w.send(w.message("bob", body))
		if res := w.answer(); res.status != 202 {
			t.Fatalf("want 202:\n%s", res)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// TestGarbageDatagrams floods the daemon's UDP port with 200,000 datagrams that are not SIP.
func TestGarbageDatagrams(t *testing.T) {
	d := serve(t, "sip.source_rate = 0")
	kept := d.storeTexts(t)
	random := seeded(t)
	w := dial(t, "udp", d.addr)
	flood := func(upTo int) {
		t.Helper()
		for deadline := time.Now().Add(patience); d.counter(t, "core:drop_requests") < upTo; {
			for range 1000 {
				raw := garbage[random.IntN(len(garbage))]
				if random.IntN(2) == 0 {
					raw = noise(random, 16+random.IntN(600))
				}
				_, _ = w.conn.Write([]byte(raw))
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d datagrams of garbage were read, want %d", d.counter(t, "core:drop_requests"), upTo)
			}
		}
	}
	flood(20_000)
	before := d.resident(t)
	flood(200_000)
	d.checkAlive(t)
	most := 96 << 20 // memory that the garbage collector may not have freed yet
	if raceEnabled {
		most *= 3 // with the data of the race detector
	}
	if grown := d.resident(t) - before; grown > most {
		t.Errorf("the daemon has grown by %d MiB", grown>>20)
	}
	if lines := strings.Count(d.logs.String(), "\n"); lines > 2000 {
		t.Errorf("the flood made %d lines of log", lines)
	}
	d.awaitStored(t, "bob", kept...)
}

// TestGarbageStreams opens connections and sends data that is not SIP, or incomplete messages.
func TestGarbageStreams(t *testing.T) {
	d := serve(t)
	kept := d.storeTexts(t)
	random := seeded(t)
	before := d.descriptors(t)
	for i := range 500 {
		w := dial(t, "tcp", d.addr)
		raw := garbage[i%len(garbage)]
		if i%3 == 0 {
			raw = noise(random, 1+random.IntN(3000))
		}
		if i%5 == 0 {
			good := w.message("bob", strings.Repeat("never whole", 200))
			raw = good[:random.IntN(len(good))]
		}
		_, _ = w.conn.Write([]byte(raw))
		if i%50 == 0 {
			w.silent()
		}
		w.conn.Close()
	}
	d.checkAlive(t)
	eventually(t, func() error {
		if now := d.descriptors(t); now > before+5 {
			return fmt.Errorf("%d descriptors are open, %d were", now, before)
		}
		return nil
	})
	d.awaitStored(t, "bob", kept...)
}

// TestGarbageManagement writes garbage to each management interface. The next request is
// answered.
func TestGarbageManagement(t *testing.T) {
	d := serve(t)
	kept := d.storeTexts(t)
	random := seeded(t)
	all := slices.Concat(garbage, []string{
		"", "\n", ":", "::\n", ":pwd", ":pwd:\x00\n\n", ":no such:../../etc/passwd\n\n", ":which:" + strings.Repeat("x", 5000) + "\n\n",
		"{", "{}", "[]", `{"jsonrpc":"2.0"`, `{"jsonrpc":"2.0","method":17,"id":{}}`, strings.Repeat("[", 10_000), `:reply:{"id":` + "\n",
		":imc_list_members:\n\"" + strings.Repeat("y\n", 2000), strings.Repeat(":\n", 3000),
	})
	for range 50 {
		all = append(all, noise(random, random.IntN(2000)))
	}
	t.Run("fifo", func(t *testing.T) {
		for _, raw := range all {
			writeFIFO(t, d.path("silod.fifo"), raw)
			writeFIFO(t, d.path("silod.fifo"), "\n\n")
			if got := d.byFIFO(t, "pwd", ""); !strings.HasPrefix(got, "200 OK\nWD:: ") {
				t.Fatalf("after %.60q the answer is %q", raw, got)
			}
		}
	})
	t.Run("datagram", func(t *testing.T) {
		for _, raw := range all {
			_ = d.byDatagram(t, raw)
			if got := d.byDatagram(t, ":pwd:\n"); !strings.HasPrefix(got, "200 OK\nWD:: ") {
				t.Fatalf("after %.60q the answer is %q", raw, got)
			}
		}
	})
	t.Run("control", func(t *testing.T) {
		for _, raw := range all {
			c, err := net.Dial("unix", d.path("control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = c.Write([]byte(raw))
			c.Close()
			if _, err := d.call("pwd"); err != nil {
				t.Fatalf("after %.60q: %v", raw, err)
			}
		}
	})
	d.checkAlive(t)
	d.awaitStored(t, "bob", kept...)
	left, _ := filepath.Glob(d.path("e2e-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
