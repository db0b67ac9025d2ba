package silo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

var (
	nearby  = netip.MustParsePrefix("192.0.2.1/32")
	faraway = netip.MustParsePrefix("2001:db8::/64")
)

// A book is a ledger with limits, and the charges that a store would have.
type book struct {
	ledger
	t        *testing.T
	stored   map[int64]Charge
	next     int64
	one, all Usage
}

func newBook(t *testing.T, one, all Usage) *book {
	return &book{t: t, stored: map[int64]Charge{}, one: one, all: all}
}

// put stores a message as Put does.
func (b *book) put(source netip.Prefix, bytes int64) error {
	c := &Charge{Source: source, Bytes: bytes}
	if err := b.reserve(c, b.one, b.all); err != nil {
		return err
	}
	b.next++
	stored := Charge{b.next, source, bytes}
	b.stored[b.next] = stored
	b.observe([]Charge{stored}, nil)
	b.settle(c)
	return nil
}

func (b *book) remove(id int64) {
	delete(b.stored, id)
	b.observe(nil, []int64{id})
}

func (b *book) read(context.Context) ([]Charge, error) {
	var list []Charge
	for _, c := range b.stored {
		list = append(list, c)
	}
	return list, nil
}

// check checks the totals against those of the store and of messages that are not in it.
func (b *book) check(what string, more Usage) {
	b.t.Helper()
	want := more
	for _, c := range b.stored {
		want = want.plus(1, c.Bytes)
	}
	sum := Usage{}
	for _, u := range b.sources {
		sum = sum.plus(u.Messages, u.Bytes)
	}
	if b.used() != want || sum != want {
		b.t.Errorf("%s: %v in all, %v by source, want %v", what, b.used(), sum, want)
	}
}

func TestLedgerLimits(t *testing.T) {
	b := newBook(t, Usage{2, 100}, Usage{3, 150})
	for i, tc := range []struct {
		source netip.Prefix
		bytes  int64
		want   error
	}{
		{nearby, 101, ErrSourceQuota},
		{nearby, 60, nil},
		{nearby, 41, ErrSourceQuota},
		{nearby, 40, nil},
		{nearby, 0, ErrSourceQuota},
		{faraway, 51, ErrStrangersQuota},
		{faraway, 50, nil},
		{faraway, 0, ErrStrangersQuota},
	} {
		if err := b.put(tc.source, tc.bytes); !errors.Is(err, tc.want) {
			t.Errorf("%d: %v, want %v", i, err, tc.want)
		}
	}
	b.check("full", Usage{})
	b.remove(1)
	if err := b.put(nearby, 60); err != nil {
		t.Error(err)
	}
	b.check("again", Usage{})
}

// A reading sees neither what is stored while it runs, nor what was not stored at all.
func TestLedgerReading(t *testing.T) {
	b := newBook(t, Usage{}, Usage{})
	for range 3 {
		_ = b.put(nearby, 10)
	}
	pending := &Charge{Source: faraway, Bytes: 5}
	_ = b.reserve(pending, b.one, b.all)
	hidden := &Charge{Source: faraway, Bytes: 7}
	_ = b.reserve(hidden, b.one, b.all)
	until := time.Unix(100, 0)
	b.feign(hidden, until)
	b.check("before", Usage{2, 12})
	delete(b.stored, 1) // by another program
	err := b.load(t.Context(), func(ctx context.Context) ([]Charge, error) {
		list, _ := b.read(ctx)
		_ = b.put(nearby, 20)
		b.remove(2)
		return list, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.check("after", Usage{2, 12})
	b.settle(pending)
	b.sweep(until.Add(-time.Second))
	b.check("settled", Usage{1, 7})
	b.sweep(until)
	b.check("expired", Usage{})

	now := time.Unix(1000, 0)
	if !b.due(now, time.Minute) || b.due(now, time.Minute) {
		t.Error("a reading is due once")
	}
	failed := errors.New("failed")
	if err := b.load(t.Context(), func(context.Context) ([]Charge, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	b.check("after a failure", Usage{})
	if !b.due(now, time.Hour) {
		t.Error("no reading is due after a failure")
	}
	if err := b.load(t.Context(), b.read); err != nil || b.due(now, time.Hour) {
		t.Error("a reading is due after one", err)
	}
	b.observe(nil, nil)
	if !b.due(now, time.Hour) {
		t.Error("no reading is due after an unknown transaction")
	}
}

// A bookcase is a store with charges only.
type bookcase struct {
	Store
	list []Charge
	err  error
}

func (b *bookcase) Charges(context.Context) ([]Charge, error) { return b.list, b.err }

// After a transaction whose changes are not known, the charges are read again with the next sweep,
// and not only when a limit is reached. Deletions by other programs are found in time too.
func TestChargesAreReadAgain(t *testing.T) {
	store, now := &bookcase{}, time.Unix(10_000, 0)
	s := New(Options{Store: store, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}, Settings{})
	check := func(want int64) {
		t.Helper()
		s.sweepCharges(t.Context())
		if got := s.strangers.used().Messages; got != want {
			t.Errorf("%d messages, want %d", got, want)
		}
	}
	check(0)
	store.list = []Charge{{1, nearby, 10}, {2, faraway, 10}}
	check(0)
	s.strangers.observe(nil, nil)
	store.err = errors.New("not reached")
	check(0)
	store.err = nil
	check(2)
	store.list = store.list[1:]
	now = now.Add(chargesEvery)
	check(1)
}

// Made-up sources leave nothing behind.
func TestLedgerIsBounded(t *testing.T) {
	b := newBook(t, Usage{2, 0}, Usage{100, 0})
	for i := range 100_000 {
		_ = b.put(netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255)), 1)
	}
	if len(b.charges) != 100 || len(b.sources) != 100 || len(b.pending) != 0 {
		t.Errorf("%d charges, %d sources, %d pending", len(b.charges), len(b.sources), len(b.pending))
	}
	for id := range b.next {
		b.remove(id + 1)
	}
	if len(b.charges)+len(b.sources) != 0 {
		t.Errorf("%d charges, %d sources are left", len(b.charges), len(b.sources))
	}
}

func TestSenderTotals(t *testing.T) {
	ts, now, quota := newSenderTotals(), time.Unix(1000, 0), Usage{2, 100}
	reserve := func(from string, bytes int64, want error) {
		t.Helper()
		if err := ts.reserve(from, bytes, quota, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", from, err, want)
		}
	}
	reserve("a", 60, nil)
	reserve("a", 41, ErrSenderTotal)
	reserve("b", 41, nil)
	reserve("a", 40, nil)
	reserve("a", 0, ErrSenderTotal)
	ts.remove("a", 60)
	reserve("a", 60, nil)
	select {
	case <-ts.wanted:
	default:
		t.Error("no reading is wanted after a refusal")
	}
}

// A message that could not be stored while the totals were read does not count.
func TestSenderTotalsAfterFailure(t *testing.T) {
	ts, now := newSenderTotals(), time.Unix(1000, 0)
	ts.changes = map[string]Usage{} // a reading is in progress
	for range 2 {
		if err := ts.reserve("a", 60, Usage{}, now); err != nil {
			t.Fatal(err)
		}
	}
	ts.cancel("a", 60)
	if got, want := ts.changes["a"], (Usage{1, 60}); got != want {
		t.Errorf("changes %v, want %v", got, want)
	}
	ts.table.Find("a", func(u *Usage) {
		if want := (Usage{1, 60}); *u != want {
			t.Errorf("total %v, want %v", *u, want)
		}
	})
}

// A message that silod has sent for a stranger is recognised by its text or by its Call-ID, for
// a while.
func TestPassed(t *testing.T) {
	now := time.Unix(1000, 0)
	p := NewPassed(func() time.Time { return now })
	const from, other = `"X" <sip:x@example.com>;tag=1`, `<sip:y@example.com>`
	if p.Has(from, "1", nil, false) {
		t.Error("nothing was sent")
	}
	const ours, reminder = "<sip:reminder@example.org>;tag=1", reminderPrefix + "1-1@example.org"
	p.Add(from, "1", []byte("hello"))
	p.Add(ours, reminder, []byte("milk"))
	for _, tc := range []struct {
		from, callID, body string
		ours, want         bool
	}{
		{from, "1", "hello", false, true},
		{"<sip:x@example.com>;tag=2", "2", "hello", false, true},
		{other, "1", "changed", false, true},
		{other, "2", "hello", false, false},
		{from, "2", "other", false, false},
		{"<sip:alice@example.org>", "1", "hello", true, false},
		{ours, reminder, "changed", true, true},
		{ours, "2", "milk", true, true},
		{ours, "2", "bread", true, false},
	} {
		if got := p.Has(tc.from, tc.callID, []byte(tc.body), tc.ours); got != tc.want {
			t.Errorf("%v: %v", tc, got)
		}
	}
	now = now.Add(passedFor)
	if p.Has(from, "1", []byte("hello"), false) {
		t.Error("it is remembered for too long")
	}
}
