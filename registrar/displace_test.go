package registrar

import (
	"fmt"
	"testing"
	"time"

	"silod/sip"
)

// Without a configured limit no user is locked out: a new contact displaces the one that was
// refreshed the longest time ago. One with an open connection is displaced last.
func TestDisplaced(t *testing.T) {
	l, k, now := newTable(Settings{})
	add := func(contact, flowText string) {
		t.Helper()
		*now = now.Add(time.Second)
		r := &Register{AoR: alice, CallID: contact, CSeq: uint32(now.Unix()), Expires: 3600, Flow: func(sip.URI) (sip.Flow, *Error) { return flow(flowText), nil }}
		list, err := sip.ParseList("<" + contact + ">")
		if err != nil {
			t.Fatal(err)
		}
		r.Contacts = list
		res, err := carryOut(t, l, r)
		if err != nil {
			t.Fatalf("%s: %v", contact, err)
		}
		if n := len(res.Bindings); n > maxContacts || n != len(k.rows) {
			t.Fatalf("%d bindings, %d rows in the store", n, len(k.rows))
		}
	}
	udp := func(i int) { add(fmt.Sprintf("sip:u%d@h", i), "udp:192.0.2.1:5060>203.0.113.1:40000") }
	tcp := func(i int) {
		add(fmt.Sprintf("sip:t%d@h", i), fmt.Sprintf("tcp:192.0.2.1:5060>203.0.113.1:40000#%d", i+1))
	}
	has := func(contact string, want bool) {
		t.Helper()
		found := false
		for _, b := range l.Bindings(alice) {
			found = found || b.Contact == contact
		}
		if found != want {
			t.Errorf("%s: %v", contact, found)
		}
	}
	tcp(0)
	for i := range maxContacts - 1 {
		udp(i)
	}
	udp(0) // refreshed: u1 is the oldest now
	udp(1000)
	has("sip:t0@h", true)
	has("sip:u0@h", true)
	has("sip:u1@h", false)
	has("sip:u1000@h", true)
	for i := range 3 * maxContacts {
		tcp(i)
	}
	has("sip:u1000@h", false)
	has(fmt.Sprintf("sip:t%d@h", 2*maxContacts-1), false)
	has(fmt.Sprintf("sip:t%d@h", 2*maxContacts), true)

	// The contacts of one request do not displace each other.
	if _, err := register(t, l, "all", 1, 600, manyContacts(0, maxContactsPerRequest)); err != nil {
		t.Error(err)
	}
	has(fmt.Sprintf("sip:t%d@h", 3*maxContacts-1), maxContactsPerRequest < maxContacts)
}

// A large REGISTER is worked out before the AoR is locked: others do not wait for it.
func TestContactsAreReadWithoutALock(t *testing.T) {
	l, _, _ := newTable(Settings{})
	list, err := sip.ParseList("<sip:1@h>, <sip:2@h>")
	if err != nil {
		t.Fatal(err)
	}
	s := l.shard(alice)
	asked := 0
	_, err = carryOut(t, l, &Register{AoR: alice, CallID: "1", CSeq: 1, Expires: 60, Contacts: list, Flow: func(sip.URI) (sip.Flow, *Error) {
		asked++
		if !s.update.TryLock() {
			t.Error("the AoR is locked")
			return sip.Flow{}, nil
		}
		s.update.Unlock()
		return sip.Flow{}, nil
	}})
	if err != nil || asked == 0 {
		t.Errorf("%d contacts, %v", asked, err)
	}
}
