package proxy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"silod/sip"
)

func user(name string) sip.AoR { return sip.AoR{User: name, Domain: "example.org"} }

func TestSharedMailboxesAreForOnlineUsers(t *testing.T) {
	gone := map[sip.AoR]bool{}
	online := func(a sip.AoR) bool { return !gone[a] }
	var b sharedMailboxes
	for _, name := range []string{"desk", "till", "desk"} {
		b.add(user("shop"), user(name), online)
	}
	if got := b.onlineUsers(user("shop"), online); !slices.Equal(got, []sip.AoR{user("desk"), user("till")}) {
		t.Errorf("the shop's messages go to %v", got)
	}
	gone[user("desk")] = true
	if got := b.onlineUsers(user("shop"), online); !slices.Equal(got, []sip.AoR{user("till")}) {
		t.Errorf("the shop's messages go to %v", got)
	}
	gone[user("till")] = true
	if got := b.onlineUsers(user("shop"), online); len(got) != 0 || len(b.users) != 0 {
		t.Errorf("the shop's messages go to %v", got)
	}
}

func TestSharedMailboxesAreBounded(t *testing.T) {
	isOnline := true
	online := func(sip.AoR) bool { return isOnline }
	var b sharedMailboxes
	for i := range maxSharedMailboxes + 10 {
		b.add(user(fmt.Sprint(i)), user("x"), online)
	}
	if len(b.users) != maxSharedMailboxes {
		t.Errorf("%d mailboxes are remembered", len(b.users))
	}
	isOnline = false
	b.cleared = time.Time{}
	b.add(user("new"), user("y"), online)
	if len(b.users) != 1 {
		t.Errorf("%d mailboxes are remembered of users who are gone", len(b.users))
	}
}
