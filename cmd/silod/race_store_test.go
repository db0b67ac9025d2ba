package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"silod/im"
	"silod/silo"
	"silod/sip"
)

// Users register at the same time as a message to them arrives. Each message is delivered,
// and none remains stored.
func TestMessageRacesRegister(t *testing.T) {
	users := 3000
	if testing.Short() {
		users = 300
	}
	const lanes = 20
	s := serve(t)
	var lost sync.Map
	var wg sync.WaitGroup
	for lane := range lanes {
		a, b := s.phone("udp", fmt.Sprint("alice", lane)), s.phone("udp", fmt.Sprint("bob", lane))
		wg.Go(func() {
			for i := range users / lanes {
				user := fmt.Sprintf("u%d-%d", lane, i)
				aor := "sip:" + user + "@127.0.0.1"
				b.aor = aor
				register := b.request("REGISTER", "sip:127.0.0.1", aor, "", fmt.Sprintf("Contact: <sip:%s@%s>", user, b.conn.LocalAddr()), "Expires: 300")
				message := a.request("MESSAGE", aor, aor, user, "Content-Type: text/plain")
				if i%2 == 0 {
					_, _ = b.conn.Write([]byte(register))
					_, _ = a.conn.Write([]byte(message))
				} else {
					_, _ = a.conn.Write([]byte(message))
					_, _ = b.conn.Write([]byte(register))
				}
				select {
				case m := <-b.requests:
					if body(m) != user {
						lost.Store(user, "got "+body(m))
						return
					}
				case <-time.After(patience):
					lost.Store(user, "nothing came")
					return
				}
			}
		})
	}
	wg.Wait()
	lost.Range(func(user, what any) bool {
		t.Errorf("%v: %v", user, what)
		return true
	})
	s.settled()
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages were left behind", n)
	}
}

// Messages arrive while the mailbox is being delivered. Each is delivered once, and those
// of a sender in order.
func TestOrderWhileMessagesArrive(t *testing.T) {
	const senders, each = 4, 60
	s := serve(t)
	b := s.phone("udp", "bob")
	var wg sync.WaitGroup
	for n := range senders {
		a := s.phone("udp", fmt.Sprint("alice", n))
		wg.Go(func() {
			for i := range each {
				if got := a.message(bob, fmt.Sprintf("%d %d", n, i)); got != 200 && got != 202 {
					t.Errorf("answered %d", got)
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // until some messages are stored
	b.daemon = nil                    // do not wait for the deliveries
	for range 20 {
		b.register(300)
	}
	wg.Wait()
	next := make([]int, senders)
	for range senders * each {
		m := b.next()
		var n, i int
		if _, err := fmt.Sscanf(body(m), "%d %d", &n, &i); err != nil || i != next[n] {
			t.Fatalf("got %q, want number %d", body(m), next[n])
		}
		next[n]++
	}
	s.settled()
	b.nothing()
}

// The messages of a large mailbox are delivered once, in the order of storing.
func TestLongMailbox(t *testing.T) {
	messages := 5000
	if testing.Short() {
		messages = 500
	}
	s := serve(t)
	const lanes = 50
	var wg sync.WaitGroup
	texts := make([]string, messages) // by ID, which begins at 1
	for lane := range lanes {
		wg.Go(func() {
			for i := lane; i < messages; i += lanes {
				text := fmt.Sprint(i)
				m := &im.Message{From: "<" + alice + ">;tag=1", To: "<" + bob + ">", CallID: text, CSeq: 1, Body: []byte(text)}
				id, err := s.silo.Put(t.Context(), &silo.Incoming{Owner: sip.AoR{User: "bob", Domain: "127.0.0.1"}, Message: m})
				if err != nil || id < 1 || id > int64(messages) {
					t.Errorf("stored as %d, %v", id, err)
					return
				}
				texts[id-1] = text
			}
		})
	}
	wg.Wait()
	b := s.phone("tcp", "bob")
	b.register(300)
	for i := range texts {
		if m := b.next(); body(m) != texts[i] {
			t.Fatalf("message %d is %s, want %s", i, body(m), texts[i])
		}
	}
	s.settled()
	if n := s.stored(); n != 0 {
		t.Errorf("%d are left", n)
	}
	b.nothing()
}
