package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floodSize returns the number of bad requests: SILOD_TEST_FLOOD, or 200,000.
func floodSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SILOD_TEST_FLOOD")
	if text == "" {
		return 200_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("SILOD_TEST_FLOOD: ", err)
	}
	return n
}

// TestBadCredentialsFlood sends requests with missing, wrong and malformed credentials from
// many sources. Memory must not grow, and other users must be served during the flood. It
// runs with the default limits, and without limits, so that every request is processed.
func TestBadCredentialsFlood(t *testing.T) {
	const unlimited = `auth = {mode = 'digest', failures = '1000000000/1s', source_messages = '0', source_registers = '0', user_messages = '0'}`
	for name, more := range map[string]string{
		"limited":   "auth = {mode = 'digest', user_messages = '0', trusted = []}",
		"unlimited": unlimited,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, more, "log.level = 'error'")
			s.addUsers()
			honest := s.honest()
			quiet := honest.serveFor(100)
			before := heap()

			var sent atomic.Int64
			n := floodSize(t) / 2
			var flooders sync.WaitGroup
			for i := range 32 {
				f := s.flooder(fmt.Sprintf("127.7.%d.%d", i/250, 1+i%250))
				flooders.Go(func() {
					for sent.Add(floodBatch) <= int64(n) {
						f.flood()
					}
				})
			}
			done := make(chan struct{})
			go func() { flooders.Wait(); close(done) }()
			var busy []time.Duration
			for served := true; served; {
				busy = append(busy, honest.serveFor(10)...)
				select {
				case <-done:
					served = false
				default:
				}
			}

			st := &s.guard.Auth.Stats
			t.Logf("%d bad requests: %d without credentials, %d stale, %d wrong, %d unknown, %d malformed, %d banned, %d limited; answers in %v and %v (p50, p99), before %v and %v",
				n, st.NoCredentials.Value(), st.Stale.Value(), st.Wrong.Value(), st.Unknown.Value(), st.Malformed.Value(),
				s.guard.Bans.Stats.Refused.Value(), s.guard.Limits.Stats.Sources.Value(),
				quantile(busy, 0.5), quantile(busy, 0.99), quantile(quiet, 0.5), quantile(quiet, 0.99))
			if grown := heap() - before; grown > 48<<20 {
				t.Errorf("the heap has grown by %d MB", grown>>20)
			}
			s.eventually("the end of all transactions", func() bool {
				n, _ := s.daemon.transactions.Transactions()
				return n == 0
			})
			if n := s.stored(); n != 0 {
				t.Errorf("%d messages are stored", n)
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	for range 3 { // pools need two collections to empty
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Microsecond)
}

// An honest is alice, who sends to bob, who is online.
type honest struct{ alice, bob *ua }

func (s *served) honest() *honest {
	s.t.Helper()
	h := &honest{s.phone("tcp", "alice"), s.phone("tcp", "bob")}
	h.bob.login(asBob)
	return h
}

// serveFor sends n messages and returns the time of each with its challenge.
func (h *honest) serveFor(n int) []time.Duration {
	h.alice.t.Helper()
	var times []time.Duration
	for range n {
		start := time.Now()
		if got := h.alice.proven(asAlice, h.alice.text(bob, "hello")); status(got) != 200 {
			h.alice.t.Fatalf("alice was answered\n%s", got)
		}
		times = append(times, time.Since(start))
		<-h.bob.requests
		time.Sleep(10 * time.Millisecond) // a client is not busy all the time
	}
	return times
}

// A flooder sends bad requests from one address.
type flooder struct {
	t     *testing.T
	conn  net.Conn
	nonce string // of the last challenge
	buf   []byte
}

const floodBatch = 20

func (s *served) flooder(from string) *flooder {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("udp", s.addr("udp").String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return &flooder{t: s.t, conn: c, nonce: "none", buf: make([]byte, 65536)}
}

// flood sends a batch and waits 20 ms for the responses.
func (f *flooder) flood() {
	for i := range floodBatch {
		_, _ = f.conn.Write([]byte(f.request(i)))
	}
	_ = f.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	for range floodBatch {
		n, err := f.conn.Read(f.buf)
		if err != nil {
			return
		}
		answer := string(f.buf[:n])
		if cs := challenges(answer); len(cs) > 0 {
			f.nonce = params(cs[0])["nonce"]
		} else if st := status(answer); st != 400 && st != 403 && st != 503 {
			f.t.Errorf("a bad request was answered\n%s", answer)
		}
	}
}

// request returns a bad request; kind selects the error.
func (f *flooder) request(kind int) string {
	n := rand.Uint64()
	method, header, user := "MESSAGE", "Proxy-Authorization", "alice"
	if kind%2 == 0 {
		method, header = "REGISTER", "Authorization"
	}
	nonce, response := f.nonce, strings.Repeat("0123456789abcdef", 2)
	switch kind % 5 {
	case 0:
		nonce = fmt.Sprintf("%048x", n)
	case 1:
		user = fmt.Sprintf("u%x", n) // does not exist
	case 2:
		header = "X-None"
	case 3:
		response = `" broken`
	}
	return fmt.Sprintf("%s sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%x;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@127.0.0.1>;tag=%[3]x\r\nTo: <sip:alice@127.0.0.1>\r\nCall-ID: %[3]x@flood\r\nCSeq: 1 %[1]s\r\n"+
		"%[4]s: Digest username=\"%s\", realm=\"127.0.0.1\", nonce=\"%s\", uri=\"sip:127.0.0.1\", algorithm=MD5, response=\"%s\", qop=auth, nc=%08x, cnonce=\"c\"\r\n"+
		"Content-Length: 0\r\n\r\n", method, f.conn.LocalAddr(), n, header, user, nonce, response, uint32(n))
}
