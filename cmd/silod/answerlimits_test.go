package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswersAreNotCharged relays messages through a daemon with a low sip.source_rate: the
// recipient answers more of them than the rate permits. Answers that match no request count,
// such as those to retransmissions on a slow machine.
func TestAnswersAreNotCharged(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "sip.source_rate = 10")
			b := s.phoneFrom(network, "127.0.0.9", "bob")
			b.aor = bob
			b.register(300)
			var wg sync.WaitGroup
			var relayed atomic.Int32
			for i := range 30 {
				a := s.phoneFrom(network, fmt.Sprintf("127.0.3.%d", i+1), "alice")
				wg.Go(func() {
					for range 5 { // of 20 at once
						if a.message(bob, "hello") == 200 {
							relayed.Add(1)
						}
					}
				})
			}
			wg.Wait()
			st := &s.daemon.transport.Stats
			if relayed.Load() != 150 || st.Limited.Value() > 40 || st.Slowed.Value() != 0 {
				t.Errorf("%d of 150 messages were relayed, %d were dropped, %d waited", relayed.Load(), st.Limited.Value(), st.Slowed.Value())
			}
			const forged = 60
			stray := b.response(b.next(), 200) // its request has been answered
			for range forged {
				_, _ = io.WriteString(b.conn, stray)
			}
			s.eventually("the limit of forged answers", func() bool {
				return st.Limited.Value() >= forged/3 || network == "tcp" && st.Slowed.Value() > 0
			})
		})
	}
}

// TestStreamsAreSlowed checks that no message over a connection is lost by sip.source_rate, and
// that datagrams, whose source may be forged, do not count against connections.
func TestStreamsAreSlowed(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.source_rate = 5")
	forger := s.phoneFrom("udp", "127.0.0.9", "x")
	for range 200 {
		_, _ = io.WriteString(forger.conn, forger.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", ""))
	}
	st := &s.daemon.transport.Stats
	s.eventually("the limit of datagrams", func() bool { return st.Limited.Value() >= 100 })
	a := s.phoneFrom("tcp", "127.0.0.9", "alice")
	start := time.Now()
	const n = 25 // 10 at once
	var requests strings.Builder
	for range n {
		requests.WriteString(a.text(bob, "hello"))
	}
	go func() { _, _ = io.WriteString(a.conn, requests.String()) }()
	for i := range n {
		select {
		case got := <-a.answers:
			if status(got) != 202 {
				t.Fatalf("answered\n%s", got)
			}
		case <-time.After(patience):
			t.Fatalf("%d of %d messages were answered", i, n)
		}
	}
	if took := time.Since(start); took < 2*time.Second || st.Slowed.Value() == 0 {
		t.Errorf("%d messages above the rate waited, all took %v", st.Slowed.Value(), took)
	}
}

// challengedRequests are requests without credentials as real clients send them, with their
// sizes.
func challengedRequests(u *ua) map[string]string {
	register := func(more ...string) string {
		return u.request("REGISTER", "sip:127.0.0.1", u.aor, "", more...)
	}
	contact := "Contact: <sip:alice@" + u.conn.LocalAddr().String() + ";transport=udp>"
	return map[string]string{
		"a short MESSAGE":  u.request("MESSAGE", bob, bob, "hi"),
		"sipsak":           register(contact, "Expires: 15", "User-Agent: sipsak 0.9.8.1"),
		"baresip":          register(contact+";expires=3600", "User-Agent: baresip v1.0.0 (x86_64/linux)", "Supported: gruu, path, outbound"),
		"linphone MESSAGE": u.request("MESSAGE", bob, bob, "hello", "User-Agent: Linphonec/5.1.65 (belle-sip/5.1.64)", "Content-Type: text/plain", "Date: Sat, 21 Nov 2026 12:00:00 GMT"),
		"linphone": register(contact+";+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"", "Expires: 3600", "Supported: replaces, outbound, gruu, path",
			"Accept: application/sdp", "Accept: text/plain", "Accept: application/vnd.gsma.rcs-ft-http+xml", "User-Agent: Linphonec/5.1.65 (belle-sip/5.1.64)"),
		"pjsip": register("User-Agent: PJSUA v2.13 Linux-6.1", contact+";ob", "Expires: 300",
			"Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS"),
	}
}

// TestChallengesLeaveAtOnce checks that the challenge to a phone is sent without waiting for a
// retransmission of the request, whatever its size, also after a restart of many phones.
func TestChallengesLeaveAtOnce(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	atOnce, all := 0, 0
	for i := range 100 {
		u := s.phoneFrom("udp", fmt.Sprintf("127.0.4.%d", i+1), "alice")
		for name, request := range challengedRequests(u) {
			if i == 0 {
				t.Logf("%s: %d bytes", name, len(request))
			}
			_, _ = io.WriteString(u.conn, request)
			all++
			select {
			case a := <-u.answers:
				if len(challenges(a)) == 0 {
					t.Fatalf("%s was answered\n%s", name, a)
				}
				atOnce++
				if i == 0 {
					t.Logf("answered with %d bytes", len(a))
				}
			case <-time.After(patience):
				t.Errorf("%s of %d bytes was not answered", name, len(request))
			}
		}
	}
	t.Logf("%d of %d challenges were sent at once", atOnce, all)
	if n := s.daemon.transport.Stats.HeldBack.Value(); n != 0 {
		t.Errorf("%d challenges were held back", n)
	}
}

// TestNATOfPhones checks that phones behind one address are challenged at once although another
// one there has used up what the address may be sent, as soon as one has authenticated.
func TestNATOfPhones(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	const nat = "127.0.0.50"
	s.spendCredit(nat)
	first := s.phoneFrom("udp", nat, "alice")
	if got := first.proven(asAlice, first.request("MESSAGE", bob, bob, "hi")); status(got) != 202 {
		t.Fatalf("answered\n%s", got)
	}
	before := s.daemon.transport.Stats.HeldBack.Value()
	for range 200 {
		u := s.phoneFrom("udp", nat, "alice")
		if got := u.ask(u.request("MESSAGE", bob, bob, "hi")); status(got) != 407 {
			t.Fatalf("answered\n%s", got)
		}
	}
	if n := s.daemon.transport.Stats.HeldBack.Value() - before; n != 0 {
		t.Errorf("%d challenges were held back", n)
	}
}

// TestReflectionOfChallenges floods the daemon with small requests of one forged address, and
// checks how many bytes and packets that address gets.
func TestReflectionOfChallenges(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]string{"IPv4": "udp:127.0.0.1:0", "IPv6": "udp:[::1]:0"} {
		s := serveIn(t, t.TempDir(), "'"+listen+"'", withDigest, "auth.source_messages = '0'", "sip.domains = ['127.0.0.1']")
		victim, err := net.Dial("udp", s.addr("udp").String())
		if err != nil {
			t.Skip(err)
		}
		u := &ua{t: t, conn: victim, aor: alice}
		var out, packets atomic.Int64
		go func() {
			buf := make([]byte, 65536)
			for {
				n, err := victim.Read(buf)
				if err != nil {
					return
				}
				out.Add(int64(n))
				packets.Add(1)
			}
		}()
		start, size := time.Now(), 0
		for i := range 5000 {
			size, _ = io.WriteString(victim, u.request("MESSAGE", bob, bob, ""))
			if i%50 == 0 {
				time.Sleep(time.Millisecond) // or the socket's buffer overflows
			}
		}
		requests := int64(-1)
		s.eventually("the end of the flood", func() bool {
			before := requests
			time.Sleep(silence)
			requests = s.guard.Auth.Stats.NoCredentials.Value()
			return requests == before
		})
		in := requests * int64(size)
		t.Logf("%s: %.3f bytes out for each byte in, %.3f packets for each packet",
			name, float64(out.Load())/float64(in), float64(packets.Load())/float64(requests))
		free := 4096 + 64*int64(time.Since(start).Seconds()+1)
		if out.Load() > in+free || packets.Load() > requests || packets.Load() == 0 {
			t.Errorf("%s: %d bytes and %d packets were sent for %d bytes and %d packets", name, out.Load(), packets.Load(), in, requests)
		}
		_ = victim.Close()
	}
}
