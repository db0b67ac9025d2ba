package silo

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

// A slowStore has one large mailbox, and counts it for a second.
type slowStore struct {
	Store
	messages atomic.Int64
	readings atomic.Int64
}

func (s *slowStore) Usage(ctx context.Context, owner sip.AoR, _ string, _ bool) (Usage, error) {
	if owner.User != "huge" {
		return Usage{}, nil
	}
	s.readings.Add(1)
	select {
	case <-ctx.Done():
		return Usage{}, ctx.Err()
	case <-time.After(time.Second):
		return Usage{Messages: s.messages.Load()}, nil
	}
}

func (s *slowStore) Add(_ context.Context, m *Message) error {
	m.ID = 1
	return nil
}

type noWaker struct{}

func (noWaker) Wake(sip.AoR)      {}
func (noWaker) WakeLater(sip.AoR) {}
func (noWaker) Retry(sip.AoR)     {}

func slowService(store Store, set Settings) *Service {
	return New(Options{
		Store: store, Waker: noWaker{}, Online: func(sip.AoR) bool { return false },
		Domains: sip.NewDomains("example.org"), MaxBusy: 20,
	}, set)
}

// put stores a message for a user, and returns how long that took.
func put(s *Service, user string) (time.Duration, error) {
	begun := time.Now()
	_, err := s.Put(context.Background(), &Incoming{
		Owner:   sip.AoR{User: user, Domain: "example.org"},
		Message: &im.Message{From: "<sip:alice@example.org>", To: "<sip:" + user + "@example.org>", Body: []byte("x")},
	})
	return time.Since(begun), err
}

// Messages wait for the first count of a large mailbox, and for no other one; while it is full
// they are refused at once.
func TestLargeMailboxIsCountedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{}
		store.messages.Store(900)
		s := slowService(store, Settings{Mailbox: Usage{Messages: 1000}})
		if took, err := put(s, "huge"); took != time.Second || err != nil {
			t.Errorf("the first message: %v, %v", took, err)
		}
		for i := range 600 { // in ten minutes
			time.Sleep(time.Second)
			store.messages.Store(900 + int64(i))
			if took, err := put(s, "huge"); took != 0 || err != nil && !errors.Is(err, ErrQuota) {
				t.Fatalf("message %d: %v, %v", i, took, err)
			}
		}
		if _, err := put(s, "huge"); !errors.Is(err, ErrQuota) {
			t.Errorf("a message to the full mailbox: %v", err)
		}
		if n := store.readings.Load(); n < 8 || n > 40 {
			t.Errorf("counted %d times", n)
		}
		store.messages.Store(10) // another program has deleted the others
		time.Sleep(time.Minute)
		_, _ = put(s, "huge")
		time.Sleep(2 * time.Second)
		if took, err := put(s, "huge"); took != 0 || err != nil {
			t.Errorf("after messages were deleted: %v, %v", took, err)
		}
		synctest.Wait()
	})
}

// While a mailbox is counted, a bounded number of messages waits for it. Others are refused at
// once, and those for other mailboxes are stored.
func TestFloodOfOneMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowService(&slowStore{}, Settings{Mailbox: Usage{Messages: 1000}})
		var stored, refused atomic.Int64
		for range 100 {
			go func() {
				switch took, err := put(s, "huge"); {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, ErrBusy) && took == 0:
					refused.Add(1)
				default:
					t.Errorf("after %v: %v", took, err)
				}
			}()
		}
		synctest.Wait()
		if n := refused.Load(); n != 80 {
			t.Errorf("%d are refused at once", n)
		}
		if took, err := put(s, "bob"); took != 0 || err != nil {
			t.Errorf("another mailbox: %v, %v", took, err)
		}
		time.Sleep(2 * time.Second)
		if n := stored.Load(); n != 20 {
			t.Errorf("%d are stored", n)
		}
		if n := s.Stats.Crowded.Value(); n != 80 {
			t.Errorf("the statistic is %d", n)
		}
	})
}

// Many large mailboxes that are counted at the same time leave connections to others.
func TestReadingsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{}
		s := slowService(store, Settings{Mailbox: Usage{Messages: 1000}})
		now := time.Now()
		for i := range 10 {
			go func() {
				d := deposit{account: &account{}}
				if err := s.readAccount(t.Context(), &d, accountKey{sip.AoR{User: "huge", Domain: strconv.Itoa(i)}, false}, needOwner, now); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if n := len(s.accounts.reading); n > maxReadings {
			t.Errorf("%d readings at once", n)
		}
		time.Sleep(time.Minute)
	})
}

// A tidyingStore deletes rows of deleted messages until the context ends, and counts calls of Expire.
type tidyingStore struct {
	Store
	tidying atomic.Bool
	expired atomic.Int64
}

func (s *tidyingStore) Tidy(ctx context.Context) (int, error) {
	s.tidying.Store(true)
	<-ctx.Done()
	return 0, ctx.Err()
}

func (s *tidyingStore) Charges(context.Context) ([]Charge, error) { return nil, nil }

func (s *tidyingStore) Expire(context.Context, time.Time, int) ([]Message, error) {
	if s.tidying.Load() {
		s.expired.Add(1)
	}
	return nil, nil
}

// TestTidyDelaysNothing: messages expire while rows of deleted messages are searched for, which may
// take long.
func TestTidyDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &tidyingStore{}
		s := New(Options{Store: store, Online: func(sip.AoR) bool { return false }}, Settings{Sweep: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := store.expired.Load(); n < 50 {
			t.Errorf("%d calls of Expire in a minute", n)
		}
	})
}

// The quota of a small mailbox is exact also while the database is slow: messages wait for the count.
func TestSmallMailboxIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{}
		s := slowService(store, Settings{Mailbox: Usage{Messages: 20}})
		for _, n := range []int64{20, 10} { // another program has deleted some
			store.messages.Store(n)
			if took, err := put(s, "huge"); took != time.Second || (n < 20) != (err == nil) {
				t.Errorf("%d are stored: %v, %v", n, took, err)
			}
			time.Sleep(2 * time.Minute)
		}
	})
}
