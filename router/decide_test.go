package router

import (
	"strconv"
	"testing"
	"time"

	"silod/proxy"
	"silod/silo"
	"silod/sip"
)

var (
	alice = sip.AoR{User: "alice", Domain: "example.org"}
	bob   = sip.AoR{User: "bob", Domain: "example.org"}
	carol = sip.AoR{User: "carol", Domain: "example.net"} // of another domain
)

// valid are the facts of a MESSAGE that nothing speaks against.
var valid = facts{maxForwards: 70, maxBreadth: 60, size: 5, maxSize: 100}

func with(f facts, change func(*facts)) facts {
	change(&f)
	return f
}

func sips(f *facts) { f.secure = true }

var noTLS = rejection(480, "Temporarily Unavailable, no device of the user is reached over TLS")

// The tables of this file are the specification of what becomes of a MESSAGE. The first two
// are about the request alone.
func TestDecideForDomain(t *testing.T) {
	elsewhere, here := parties{from: alice, to: carol, fromOurs: true}, parties{from: alice, to: bob, fromOurs: true, toOurs: true}
	relay := func(f *facts) { f.mayRelay = true }
	for _, tc := range []struct {
		name string
		p    parties
		f    facts
		want bool
	}{
		{"to another domain, with the right to relay", elsewhere, with(valid, relay), true},
		{"to another domain, without the right", elsewhere, valid, false},
		{"to a user of ours", here, with(valid, relay), false},
		{"with a Route to another server", elsewhere, with(valid, func(f *facts) { f.mayRelay, f.routesElsewhere = true, true }), false},
	} {
		if got := forDomain(tc.p, tc.f); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	for _, tc := range []struct {
		name string
		f    facts
		want decision
	}{
		{"valid", valid, decision{action: sendToDomain}},
		{"Max-Forwards is not a number", with(valid, func(f *facts) { f.maxForwards = -1 }), rejection(400, "Bad Max-Forwards header")},
		{"too large", with(valid, func(f *facts) { f.size = 101 }), rejection(413, "")},
		{"no hop left", with(valid, func(f *facts) { f.maxForwards = 0 }), rejection(483, "")},
		{"came back", with(valid, func(f *facts) { f.looped = true }), rejection(482, "")},
		{"Max-Breadth is not a number", with(valid, func(f *facts) { f.maxBreadth = -1 }), rejection(400, "Bad Max-Breadth header")},
		{"no breadth left", with(valid, func(f *facts) { f.maxBreadth = 0 }), rejection(440, "")},
	} {
		if got := decideForDomain(tc.f); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestDecideAdmission(t *testing.T) {
	p := parties{from: alice, to: bob, fromOurs: true, toOurs: true}
	noRelay := rejection(403, "Forbidden, this server does not relay to other domains")
	for _, tc := range []struct {
		name string
		p    parties
		f    facts
		want decision
	}{
		{"to a user of ours", p, valid, decision{}},
		{"from another domain", parties{from: carol, to: bob, toOurs: true}, valid, decision{}},
		{"as large as allowed", p, with(valid, func(f *facts) { f.size = 100 }), decision{}},
		{"no hop left: only rooms accept it", p, with(valid, func(f *facts) { f.maxForwards = 0 }), decision{}},
		{"Max-Forwards is not a number", p, with(valid, func(f *facts) { f.maxForwards = -1 }), rejection(400, "Bad Max-Forwards header")},
		{"to another domain", parties{from: alice, to: carol, fromOurs: true}, valid, noRelay},
		{"with a Route to another server", p, with(valid, func(f *facts) { f.routesElsewhere = true }), noRelay},
		{"a Route to another server, with the right to relay", p, with(valid, func(f *facts) { f.mayRelay, f.routesElsewhere = true, true }), noRelay},
		{"to the domain itself", parties{from: alice, to: sip.AoR{Domain: "example.org"}, toOurs: true}, valid, rejection(404, "Not Found, the Request-URI names no user")},
		{"too large", p, with(valid, func(f *facts) { f.size = 101 }), rejection(413, "Message body is larger than 100 bytes")},
		{"Max-Breadth is not a number", p, with(valid, func(f *facts) { f.maxBreadth = -1 }), rejection(400, "Bad Max-Breadth header")},
	} {
		if got := decideAdmission(tc.p, tc.f); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestDecide(t *testing.T) {
	user, room := parties{from: alice, to: bob, toOurs: true}, parties{from: alice, to: bob, toOurs: true, toRoom: true}
	plain, copies := silo.Class{Keep: true}, silo.Class{Keep: true, Copies: true}
	expired := silo.Class{Keep: true, NowOnly: true} // Expires: 0
	typing := silo.Class{NowOnly: true}              // "is typing", which is never stored
	later := time.Unix(1, 0)
	offline := decision{action: store, away: true}
	between := parties{from: alice, to: bob, fromOurs: true, toOurs: true, fromRoom: true, toRoom: true}
	notFromSender := rejection(482, "Loop Detected, rooms accept messages from their senders only")
	for _, tc := range []struct {
		name    string
		p       parties
		f       facts
		c       silo.Class
		busy    bool
		devices int
		want    decision
	}{
		// Messages that are not delivered, and rooms
		{"discarded", user, with(valid, func(f *facts) { f.discard = true }), plain, false, 1, decision{action: drop}},
		{"discarded, to a room", room, with(valid, func(f *facts) { f.discard = true }), silo.Class{}, false, 0, decision{action: drop}},
		{"discarded, without a hop left", user, with(valid, func(f *facts) { f.discard, f.maxForwards = true, 0 }), plain, false, 1, decision{action: drop}},
		{"to a room", room, valid, silo.Class{}, false, 0, decision{action: sendToRoom}},
		{"to a room, without a hop left", room, with(valid, func(f *facts) { f.maxForwards = 0 }), silo.Class{}, false, 0, decision{action: sendToRoom}},
		{"to a room, came back", room, with(valid, func(f *facts) { f.looped = true }), silo.Class{}, false, 0, rejection(482, "")},
		{"to a room, from a room", between, valid, silo.Class{}, false, 0, notFromSender},
		{"to a room, by way of a user", room, with(valid, func(f *facts) { f.redirected = true }), silo.Class{}, false, 0, notFromSender},
		{"to a room, no breadth left", room, with(valid, func(f *facts) { f.maxBreadth = 0 }), silo.Class{}, false, 0, decision{action: sendToRoom}},
		{"discarded, came back", user, with(valid, func(f *facts) { f.discard, f.looped = true, true }), plain, false, 1, rejection(482, "")},
		{"no breadth left", user, with(valid, func(f *facts) { f.maxBreadth = 0 }), plain, false, 1, rejection(440, "")},
		{"no breadth left, offline", user, with(valid, func(f *facts) { f.maxBreadth = 0 }), plain, false, 0, offline},
		{"no hop left", user, with(valid, func(f *facts) { f.maxForwards = 0 }), plain, false, 1, rejection(483, "")},
		{"came back", user, with(valid, func(f *facts) { f.looped = true }), plain, false, 1, rejection(482, "")},

		{"sips", user, with(valid, sips), plain, false, 1, decision{action: relay}},
		{"sips, while others wait", user, with(valid, sips), plain, true, 1, decision{action: relay}},
		{"sips, every device gets a copy", user, with(valid, sips), silo.Class{Keep: true, Copies: true}, false, 1, decision{action: relay}},
		{"sips, no device over TLS", user, with(valid, sips), plain, false, 0, noTLS},
		{"sips, a reminder for an offline user", user, with(valid, sips), silo.Class{Keep: true, SendAt: later}, false, 0, noTLS},
		{"sips, to a room", room, with(valid, sips), silo.Class{}, false, 0, decision{action: sendToRoom}},

		// Reminders
		{"reminder", user, valid, silo.Class{Keep: true, SendAt: later}, false, 1, decision{action: store}},
		{"reminder, to an offline user", user, valid, silo.Class{Keep: true, SendAt: later}, false, 0, decision{action: store}},
		{"reminder, every device gets a copy", user, valid, silo.Class{Keep: true, Copies: true, SendAt: later}, false, 1, decision{action: store}},
		{"reminder, while others wait", user, valid, silo.Class{Keep: true, SendAt: later}, true, 1, decision{action: store}},
		{"reminder that is never stored", user, valid, silo.Class{NowOnly: true, SendAt: later}, false, 1, notKept},
		{"reminder for an unreadable time", user, valid, silo.Class{Keep: true, Err: silo.ErrTime}, false, 1, rejection(400, "Bad time of a reminder, "+silo.ErrTime.Error())},

		// The first device to accept it
		{"online", user, valid, plain, false, 1, decision{action: relay}},
		{"online with several devices", user, valid, plain, false, 3, decision{action: relay}},
		{"offline", user, valid, plain, false, 0, offline},
		{"online, others wait", user, valid, plain, true, 1, decision{action: waitForQueue}},
		{"offline, others wait", user, valid, plain, true, 0, decision{action: waitForQueue}},

		// Every device gets a copy
		{"copies", user, valid, copies, false, 2, decision{action: storeCopies}},
		{"copies, offline", user, valid, copies, false, 0, decision{action: storeCopies}},
		{"copies, others wait", user, valid, copies, true, 1, decision{action: storeCopies}},

		// Messages of use only now
		{"expires at once", user, valid, expired, false, 1, decision{action: relay}},
		{"expires at once, others wait", user, valid, expired, true, 1, decision{action: relay}},
		{"expires at once, copies", user, valid, silo.Class{Keep: true, NowOnly: true, Copies: true}, false, 1, decision{action: relay}},
		{"expires at once, offline: the silo refuses it", user, valid, expired, false, 0, offline},
		{"is typing", user, valid, typing, false, 1, decision{action: relay}},
		{"is typing, others wait", user, valid, typing, true, 1, decision{action: relay}},
		{"is typing, copies", user, valid, silo.Class{NowOnly: true, Copies: true}, true, 1, decision{action: relay}},
		{"is typing, offline", user, valid, typing, false, 0, notKept},
		{"is typing, offline, others wait", user, valid, typing, true, 0, notKept},
	} {
		if got := decide(tc.p, tc.f, tc.c, tc.busy, tc.devices); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestDecideAfterRelay(t *testing.T) {
	storeOn := func(status int) bool { return status != 401 }
	response := func(status int) *sip.Message { return &sip.Message{Status: status, Reason: strconv.Itoa(status)} }
	plain, typing := silo.Class{Keep: true}, silo.Class{NowOnly: true}
	stored := decision{action: store, away: true}
	for _, tc := range []struct {
		name     string
		c        silo.Class
		out      proxy.Outcome
		stopping bool
		want     decision
	}{
		{"accepted", plain, proxy.Outcome{Response: response(200)}, false, decision{action: forward}},
		{"accepted by one of two", plain, proxy.Outcome{Response: response(202), Failures: []int{486}, Open: 1}, false, decision{action: forward}},
		{"declined by the user", plain, proxy.Outcome{Response: response(603), Failures: []int{603}, Open: 1}, false, decision{action: forward}},
		{"declined, and a device not reached", plain, proxy.Outcome{Response: response(600), Failures: []int{600}, Unreached: 1}, false, decision{action: forward}},
		{"a failure on silo.store_on", plain, proxy.Outcome{Response: response(480), Failures: []int{480}}, false, stored},
		{"a failure that is not", plain, proxy.Outcome{Response: response(401), Failures: []int{401}}, false, decision{action: forward}},
		{"one of two that is", plain, proxy.Outcome{Response: response(401), Failures: []int{401, 503}}, false, stored},
		{"no device reached", plain, proxy.Outcome{Unreached: 2}, false, stored},
		{"one not reached", plain, proxy.Outcome{Response: response(401), Failures: []int{401}, Unreached: 1}, false, stored},
		{"no response in time", plain, proxy.Outcome{Open: 1}, false, decision{action: storeLate, away: true}},
		{"one response in time", plain, proxy.Outcome{Response: response(401), Failures: []int{401}, Open: 1}, false, decision{action: storeLate, away: true}},
		{"the server stops", plain, proxy.Outcome{Open: 1}, true, decision{action: unavailable}},
		{"the server stops, but all have answered", plain, proxy.Outcome{Response: response(480), Failures: []int{480}}, true, stored},
		{"is typing, accepted", typing, proxy.Outcome{Response: response(200)}, false, decision{action: forward}},
		{"is typing, a failure on silo.store_on", typing, proxy.Outcome{Response: response(480), Failures: []int{480}}, false, notKept},
		{"is typing, a failure that is not", typing, proxy.Outcome{Response: response(401), Failures: []int{401}}, false, decision{action: forward}},
		{"is typing, no device reached", typing, proxy.Outcome{Unreached: 1}, false, notKept},
		{"is typing, no response in time", typing, proxy.Outcome{Open: 1}, false, notKept},
	} {
		if got := decideAfterRelay(valid, tc.c, &tc.out, tc.stopping, storeOn); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	notStored := rejection(480, "Temporarily Unavailable, and a message to a sips URI is not stored")
	for name, tc := range map[string]struct {
		out  proxy.Outcome
		want decision
	}{
		"accepted":            {proxy.Outcome{Response: response(200)}, decision{action: forward}},
		"a failure":           {proxy.Outcome{Response: response(480), Failures: []int{480}}, decision{action: forward}},
		"no response in time": {proxy.Outcome{Open: 1}, notStored},
		"no device reached":   {proxy.Outcome{Unreached: 1}, notStored},
	} {
		if got := decideAfterRelay(with(valid, sips), plain, &tc.out, false, storeOn); got != tc.want {
			t.Errorf("sips, %s: %+v, want %+v", name, got, tc.want)
		}
	}
}
