package silo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"silod/im"
	"silod/silo"
	"silod/sip"
)

// outgoing returns messages from one room to a user.
func outgoing(to sip.AoR, answer bool, bodies ...string) (ms []im.Outgoing) {
	for _, b := range bodies {
		m := *text(b).Message
		m.From = "<sip:room@example.org>;tag=1"
		ms = append(ms, im.Outgoing{To: to, Answer: answer, Message: m})
	}
	return ms
}

// The answers to a user's own requests are stored although the mailbox is full, up to a limit.
func TestAnswersBeyondTheQuota(t *testing.T) {
	b := newBox(t, silo.Settings{Mailbox: silo.Usage{Messages: 2}, PerSender: silo.Usage{Messages: 1}})
	b.put(text("1"))
	stored := 0
	for i := range 200 {
		refused, err := b.Send(t.Context(), outgoing(bob, true, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if refused == nil {
			stored++
		} else if !errors.Is(refused[0], silo.ErrQuota) && !errors.Is(refused[0], silo.ErrSenderQuota) {
			t.Fatal(refused)
		}
	}
	if stored < 50 || stored > 101 {
		t.Errorf("%d answers are stored", stored)
	}
	refused, err := b.Send(t.Context(), append(outgoing(bob, false, "invitation"), outgoing(alice, true, "answer")...))
	if err != nil || len(refused) != 2 || !errors.Is(refused[0], silo.ErrQuota) || refused[1] != nil {
		t.Errorf("refused %v, error %v", refused, err)
	}
}

// adder is a Store whose AddAll is replaced.
type adder struct {
	silo.Store
	addAll func(context.Context, []*silo.Message) error
}

func (a adder) AddAll(ctx context.Context, ms []*silo.Message) error { return a.addAll(ctx, ms) }

// The messages of a call share a commit, in their order; one that can never be stored takes no
// other with it, and after a failure nothing counts against a quota.
func TestSendSharesACommit(t *testing.T) {
	calls, fails := 0, error(nil)
	b := newBox(t, silo.Settings{Mailbox: silo.Usage{Messages: 3}}, func(o *silo.Options) {
		next := o.Store
		o.Store = adder{next, func(ctx context.Context, ms []*silo.Message) error {
			calls++
			if fails != nil {
				return fails
			}
			return next.AddAll(ctx, ms)
		}}
	})
	fails = silo.ErrBusy
	for range 10 {
		if _, err := b.Send(t.Context(), outgoing(bob, false, "1", "2", "3")); !errors.Is(err, silo.ErrBusy) {
			t.Fatal(err)
		}
	}
	calls, fails = 0, nil
	refused, err := b.Send(t.Context(), outgoing(bob, false, "1", "2", "3"))
	if err != nil || refused != nil || calls != 1 {
		t.Errorf("refused %v, error %v, %d calls", refused, err, calls)
	}
	if got := bodies(b.waiting(bob)); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("bob gets %q", got)
	}
	long := outgoing(sip.AoR{User: strings.Repeat("x", 300), Domain: "elsewhere.example"}, false, "long")
	refused, err = b.Send(t.Context(), slices.Concat(outgoing(alice, false, "1"), long, outgoing(alice, false, "2")))
	if err != nil || len(refused) != 3 || refused[0] != nil || !errors.Is(refused[1], silo.ErrInvalid) || refused[2] != nil {
		t.Errorf("refused %v, error %v", refused, err)
	}
	if got := bodies(b.waiting(alice)); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("alice gets %q", got)
	}
}
