package registrar

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"silod/sip"
)

// A REGISTER that is refused because its outcome is unknown changes nothing in memory, and
// after the next flush nothing in the store.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, contacts := range map[string][]string{
		"added":     {"<sip:2@h>"},
		"changed":   {"<sip:1@h>;q=0.5"},
		"removed":   {"<sip:1@h>;expires=0"},
		"all three": {"<sip:1@h>;expires=0", "<sip:3@h>;q=0.5", "<sip:2@h>"},
	} {
		l, d, _ := newTable(Settings{})
		if _, err := register(t, l, "a", 1, 3600, "<sip:1@h>", "<sip:3@h>"); err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(d.rows)
		d.doubt = true
		if _, err := register(t, l, "a", 2, 3600, contacts...); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
		l.flush(t.Context())
		d.doubt = false
		l.flush(t.Context())
		if got := l.Bindings(alice); len(got) != 2 || len(d.rows) != 2 {
			t.Errorf("%s: %d bindings, %d rows", name, len(got), len(d.rows))
		}
		for ruid, b := range before {
			if row := d.rows[ruid]; row.Q != b.Q || row.CSeq != b.CSeq || row.Contact != b.Contact {
				t.Errorf("%s: row %+v, before %+v", name, row, b)
			}
		}
		saves := d.saves
		if l.flush(t.Context()); d.saves != saves {
			t.Errorf("%s: the rows are written again and again", name)
		}
	}
}

// A REGISTER that has waited for another one for too long is not carried out.
func TestWaitingTooLong(t *testing.T) {
	t.Parallel()
	l, k, _ := newTable(Settings{})
	s := l.shard(alice)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	list, err := sip.ParseList("<sip:1@h>")
	if err != nil {
		t.Fatal(err)
	}
	r := &Register{
		AoR: alice, CallID: "a", CSeq: 1, Expires: 300, Contacts: list,
		Flow: func(u sip.URI) (sip.Flow, *Error) { return flowOf(u.HostPort()), nil },
	}
	for end := time.Now().Add(10 * time.Second); ; {
		saves := k.saves
		s.update.Lock()
		done := make(chan error, 1)
		go func() {
			_, err := l.Update(over, r)
			done <- err
		}()
		time.Sleep(10 * time.Millisecond) // so that it waits for the lock
		s.update.Unlock()
		if err := <-done; errors.Is(err, context.Canceled) {
			if k.saves != saves {
				t.Error("it was carried out")
			}
			return
		}
		if r.CSeq++; time.Now().After(end) {
			t.Fatal("no REGISTER was refused")
		}
	}
}
