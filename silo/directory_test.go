package silo_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"silod/delivery"
	"silod/silo"
	"silod/sip"
)

func TestDirectory(t *testing.T) {
	users, asked, now := map[sip.AoR]bool{bob: true}, 0, noon
	failed := error(nil)
	d := silo.NewDirectory(func(_ context.Context, a sip.AoR) (bool, error) {
		asked++
		return users[a], failed
	}, func() time.Time { return now })
	check := func(a sip.AoR, want bool, asks int) {
		t.Helper()
		before := asked
		got, err := d.Exists(t.Context(), a)
		if got != want || err != nil || asked-before != asks {
			t.Errorf("%v: %v, %v after %d look-ups, want %v after %d", a, got, err, asked-before, want, asks)
		}
	}
	check(bob, true, 1)
	check(bob, true, 0)
	check(alice, false, 1)
	check(alice, false, 0)
	users[alice] = true
	now = now.Add(2 * time.Second)
	check(alice, true, 1)
	delete(users, bob)
	check(bob, true, 0)
	d.Forget(bob)
	check(bob, false, 1)
	failed = errors.New("failed")
	if _, err := d.Exists(t.Context(), sip.AoR{User: "carol", Domain: "example.org"}); !errors.Is(err, failed) {
		t.Error(err)
	}
	failed = nil
	check(sip.AoR{User: "carol", Domain: "example.org"}, false, 1)
	for i := range 200_000 { // do not replace users
		_, _ = d.Exists(t.Context(), sip.AoR{User: fmt.Sprint(i), Domain: "example.org"})
	}
	check(alice, true, 0)
}

// The quotas hold exactly for messages that are stored at the same time, and messages that are
// delivered make room, as do those that another program deletes.
func TestQuotasAreExact(t *testing.T) {
	for name, tc := range map[string]struct {
		set  silo.Settings
		want int
		err  error
	}{
		"messages":           {silo.Settings{Mailbox: silo.Usage{Messages: 7}}, 7, silo.ErrQuota},
		"bytes":              {silo.Settings{Mailbox: silo.Usage{Bytes: 7*400 + 399}}, 7, silo.ErrQuota},
		"sender":             {silo.Settings{PerSender: silo.Usage{Messages: 7}, Mailbox: silo.Usage{Messages: 50}}, 7, silo.ErrSenderQuota},
		"bytes of a sender":  {silo.Settings{PerSender: silo.Usage{Bytes: 7*400 + 399}}, 7, silo.ErrSenderQuota},
		"sender and mailbox": {silo.Settings{PerSender: silo.Usage{Messages: 9}, Mailbox: silo.Usage{Messages: 7}}, 7, silo.ErrQuota},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tc.set)
			message := func() *silo.Incoming {
				in := text("")
				in.Message.Body = make([]byte, 400-silo.Size(in.Message))
				return in
			}
			many := func() (stored int) {
				var wg sync.WaitGroup
				var mu sync.Mutex
				for range 30 {
					wg.Go(func() {
						_, err := b.Put(t.Context(), message())
						mu.Lock()
						defer mu.Unlock()
						if err == nil {
							stored++
						} else if !errors.Is(err, tc.err) {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				return stored
			}
			if got := many(); got != tc.want {
				t.Errorf("%d messages are stored, want %d", got, tc.want)
			}
			items := b.waiting(bob)
			for i := range items[:3] {
				settle(t, b, bob, &items[i], delivery.Outcome{Verdict: delivery.Delivered})
			}
			if got := many(); got != 3 {
				t.Errorf("%d messages are stored after 3 were delivered", got)
			}
			for _, it := range b.waiting(bob)[:2] {
				done := make(chan error, 1)
				b.store.Delete(it.Key, func(err error) { done <- err }) // as another program does
				<-done
			}
			b.sleep(time.Minute)
			if got := many(); got != 2 && (got != 3 || tc.set.Mailbox.Messages > 0) { // the store counts fewer bytes
				t.Errorf("%d messages are stored after 2 were deleted", got)
			}
		})
	}
}

// The addresses of one IPv6 network are one source, and made-up names and recipients are no
// others. Messages of other standings do not count.
func TestStrangersOfOneNetwork(t *testing.T) {
	b := newBox(t, silo.Settings{Source: silo.Usage{Messages: 2}, Strangers: silo.Usage{Messages: 3}})
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	put := func(standing silo.Standing, source string, n int, want error) {
		t.Helper()
		in := text("hello")
		in.Standing, in.Source = standing, netip.MustParseAddrPort(source)
		in.Message.From = fmt.Sprintf("<sip:x%d@elsewhere.example>;tag=1", n)
		in.Owner.User = fmt.Sprint("user", n)
		if _, err := b.Put(t.Context(), in); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", source, err, want)
		}
	}
	put(silo.Stranger, "[2001:db8:0:1::1]:5060", 1, nil)
	put(silo.Stranger, "[2001:db8:0:1:ffff::2]:5061", 2, nil)
	put(silo.Stranger, "[2001:db8:0:1:1:2:3:4]:5060", 3, silo.ErrSourceQuota)
	put(silo.Stranger, "[::ffff:192.0.2.1]:5060", 4, nil)
	put(silo.Stranger, "192.0.2.2:5060", 5, silo.ErrStrangersQuota)
	put(silo.Verified, "[2001:db8:0:1::1]:5060", 6, nil)
	put(silo.Unchecked, "[2001:db8:0:1::1]:5060", 7, nil)
}
