package silo_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/silo"
)

// A choosy store refuses messages with some bodies.
type choosy struct {
	silo.Store
	refuse func(body string) error
	mu     sync.Mutex
	calls  int
}

func (c *choosy) Release(ctx context.Context, rs []silo.Release) error {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	for _, r := range rs {
		if err := c.refuse(string(r.Message.Body)); err != nil {
			return err
		}
	}
	return c.Store.Release(ctx, rs)
}

// Reminders of one time are released together and in their order. One that can never be released
// is set aside, one that cannot be released now stays, and neither delays the others.
func TestRemindersOfOneTime(t *testing.T) {
	for name, tc := range map[string]struct {
		err       error
		left, due int // reminders at the end, and those of them that are tried again
		calls     int // at most
	}{
		"all good": {nil, 0, 0, 3},
		"invalid":  {silo.ErrInvalid, 2, 0, 40},
		"not now":  {silo.ErrBusy, 2, 2, 100_000}, // they are tried every millisecond
	} {
		t.Run(name, func(t *testing.T) {
			store := &choosy{}
			store.refuse = func(body string) error {
				if tc.err != nil && (strings.HasSuffix(body, " 7") || strings.HasSuffix(body, " 140")) {
					return fmt.Errorf("no: %w", tc.err)
				}
				return nil
			}
			s := reminderSettings(t)
			s.AddDate = false
			b := newBox(t, s, func(o *silo.Options) { store.Store, o.Store = o.Store, store })
			const all = 300
			for i := range all {
				in := text(fmt.Sprint("reminder ", i))
				in.SendAt = noon.Add(time.Hour)
				b.put(in)
			}
			b.sleep(time.Hour)
			due := func() int {
				list, err := b.store.Due(t.Context(), b.clock(), nil, 1000)
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			}
			b.run(func() bool { return due() == tc.due })
			u, err := b.store.Usage(t.Context(), bob, "", false)
			if err != nil || int(u.Messages) != all-tc.left {
				t.Fatalf("%d messages, %v", u.Messages, err)
			}
			next := 0
			for _, it := range b.waiting(bob) {
				for fmt.Sprint("reminder ", next) != string(it.Body) {
					if next++; next > all {
						t.Fatalf("%q is out of order", it.Body)
					}
				}
			}
			if store.calls < 3 || store.calls > tc.calls {
				t.Errorf("%d transactions", store.calls)
			}
		})
	}
}
