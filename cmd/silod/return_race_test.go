package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRegisterRacesDelivery has users whose devices have fallen silent register from another
// address at any moment while messages are relayed, stored and delivered to them. Every
// message must arrive there once, in order.
func TestRegisterRacesDelivery(t *testing.T) {
	t.Parallel()
	const users, senders, messages = 3000 / scale, 120 / scale, 3
	s := serve(t, "sip.accept_timeout = '200ms'", "sip.source_rate = 0")
	dead, err := net.ListenPacket("udp", "127.0.0.1:0") // its buffer overflows, as nothing is read
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	live := s.phone("udp", "live")
	old := func(u int, params string) string {
		return fmt.Sprintf("<sip:u%d@%s>%s", u, dead.LocalAddr(), params)
	}
	now := func(u int, params string) string {
		return fmt.Sprintf("<sip:u%d@%s>%s", u, live.conn.LocalAddr(), params)
	}
	flow := func(u, id int) string { return fmt.Sprintf(`;+sip.instance="<urn:uuid:%d>";reg-id=%d`, u, id) }
	var all sync.WaitGroup
	for n := range senders {
		sender, registering := s.phone("tcp", fmt.Sprint("s", n)), s.phone("udp", fmt.Sprint("r", n))
		all.Go(func() {
			for u := n; u < users; u += senders {
				registering.aor = fmt.Sprintf("sip:u%d@127.0.0.1", u)
				before, after := old(u, ""), []string{now(u, "")}
				switch u / senders % 4 {
				case 1:
					before, after = old(u, flow(u, 1)), []string{now(u, flow(u, 1))}
				case 2:
					before, after = old(u, flow(u, 1)), []string{now(u, flow(u, 2))}
				case 3:
					after = append(after, old(u, ";expires=0"))
				}
				registering.bind(before)
				var both sync.WaitGroup
				both.Go(func() {
					time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
					registering.bind(after...)
				})
				for i := range messages {
					if got := sender.message(registering.aor, strconv.Itoa(i)); got != 200 && got != 202 {
						t.Errorf("answered %d", got)
					}
				}
				both.Wait()
			}
		})
	}
	all.Wait()
	got := make([][]string, users)
	for late := time.After(time.Minute); len(live.requests) < users*messages; time.Sleep(10 * time.Millisecond) {
		select {
		case <-late:
			t.Fatalf("%d of %d messages arrived", len(live.requests), users*messages)
		default:
		}
	}
	time.Sleep(silence)
	for len(live.requests) > 0 {
		m := <-live.requests
		name, _, _ := strings.Cut(strings.TrimPrefix(m, "MESSAGE sip:u"), "@")
		u, _ := strconv.Atoi(name)
		got[u] = append(got[u], body(m))
	}
	for u, texts := range got {
		if !slices.Equal(texts, []string{"0", "1", "2"}) {
			t.Errorf("user %d got %q", u, texts)
		}
	}
}
