package router

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

func user(name string) sip.AoR { return sip.AoR{User: name, Domain: "example.org"} }

func TestBoxesAreForWhoIsThere(t *testing.T) {
	gone := map[sip.AoR]bool{}
	online := func(a sip.AoR) bool { return !gone[a] }
	var b boxes
	for _, name := range []string{"desk", "till", "desk"} {
		b.add(user("shop"), user(name), online)
	}
	if got := b.of(user("shop"), online); !slices.Equal(got, []sip.AoR{user("desk"), user("till")}) {
		t.Errorf("the shop's messages go to %v", got)
	}
	gone[user("desk")] = true
	if got := b.of(user("shop"), online); !slices.Equal(got, []sip.AoR{user("till")}) {
		t.Errorf("the shop's messages go to %v", got)
	}
	gone[user("till")] = true
	if got := b.of(user("shop"), online); len(got) != 0 || len(b.users) != 0 {
		t.Errorf("the shop's messages go to %v", got)
	}
}

func TestBoxesAreBounded(t *testing.T) {
	there := true
	online := func(sip.AoR) bool { return there }
	var b boxes
	for i := range mostBoxes + 10 {
		b.add(user(fmt.Sprint(i)), user("x"), online)
	}
	if len(b.users) != mostBoxes {
		t.Errorf("%d mailboxes are remembered", len(b.users))
	}
	there = false
	b.cleared = time.Time{}
	b.add(user("new"), user("y"), online)
	if len(b.users) != 1 {
		t.Errorf("%d mailboxes are remembered of those who are gone", len(b.users))
	}
}

func TestContactOfANotice(t *testing.T) {
	bs := []registrar.Binding{{Contact: "sip:a@192.0.2.1:5062;transport=tcp"}, {Contact: "sip:a@192.0.2.2"}}
	for _, tc := range []struct {
		name, contact string
		bs            []registrar.Binding
		found         int
		left          string
	}{
		{"registered", "sip:a@192.0.2.1:5062;Transport=TCP", bs, 1, ""},
		{"another than those registered", "sip:a@203.0.113.9", bs, 2, ""},
		{"nobody is registered", "sip:a@203.0.113.9", nil, 0, "sip:a@203.0.113.9"},
		{"no URI", "a@203.0.113.9", bs, 2, ""},
	} {
		found, left := atContact(tc.bs, tc.contact)
		if len(found) != tc.found || left != tc.left {
			t.Errorf("%s: %d bindings, %q left", tc.name, len(found), left)
		}
	}
}
