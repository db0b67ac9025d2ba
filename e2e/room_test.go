package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// order returns the offset of each text in the output of a program; -1 for one that is
// missing.
func (p *program) order(texts ...string) []int {
	all := p.output.String()
	at := make([]int, len(texts))
	for i, text := range texts {
		at[i] = strings.Index(all, text)
	}
	return at
}

// TestPhonesInOneRoom: different phones in a private room, over different transports. One is
// invited while it is offline, and one that was offline gets the messages that it missed,
// in order.
func TestPhonesInOneRoom(t *testing.T) {
	t.Parallel()
	const texts = "imc.texts = {created_private = 'it is yours', joined = '{user} is in', left = '{user} is out', " +
		"invitation = 'come in, says {by}', declined = '{user} will not', private = 'this is private'}"
	d := serve(t, texts)
	alice := linphone(t, d, "udp", "alice")
	d.awaitOnline(t, "alice", true)
	alice.say("chat-1", "#create private")
	alice.awaitText("chat-1", "it is yours")

	bob := baresip(t, d, "tcp", "bob")
	d.awaitOnline(t, "bob", true)
	bob.say("chat-1", "#join")
	bob.awaitText("chat-1", "this is private")
	alice.say("chat-1", "#invite bob")
	bob.awaitText("chat-1", "come in, says alice")
	bob.say("chat-1", "#accept")
	alice.awaitText("chat-1", "bob is in")
	bob.awaitText("chat-1", "bob is in")

	alice.say("chat-1", "#invite carol")
	d.awaitStored(t, "carol", "come in, says alice")
	carol := linphone(t, d, "tcp", "carol")
	carol.awaitText("chat-1", "come in, says alice")
	carol.say("chat-1", "#deny")
	alice.awaitText("chat-1", "carol will not")
	alice.say("chat-1", "#add carol")
	carol.awaitText("chat-1", "carol is in")
	bob.awaitText("chat-1", "carol is in")

	// All three receive each other's messages. The messages end, although each of the two
	// Linphones notifies the room about every message that it has shown.
	for _, speaker := range []*device{alice, bob, carol} {
		words := hard + " says " + speaker.user
		speaker.say("chat-1", words)
		for _, p := range []*device{alice, bob, carol} {
			if p != speaker {
				p.awaitText("chat-1", "["+speaker.user+"]: "+words)
			}
		}
	}
	d.awaitQuiet(t)
	if n := d.counter(t, "imc:messages"); n != 3 {
		t.Errorf("the room counts %d messages", n)
	}
	if d.counter(t, "imc:dropped_requests") == 0 {
		t.Error("no notification was dropped: did Linphone send none?")
	}

	// bob goes offline and misses messages.
	bob.unregister()
	d.awaitOnline(t, "bob", false)
	var missed []string
	for _, text := range []string{"first", "second", "third"} {
		speaker := alice
		if text == "second" {
			speaker = carol
		}
		speaker.say("chat-1", text)
		other := map[*device]*device{alice: carol, carol: alice}[speaker]
		other.awaitText("chat-1", "["+speaker.user+"]: "+text)
		missed = append(missed, "["+speaker.user+"]: "+text)
	}
	carol.say("chat-1", "#leave")
	alice.awaitText("chat-1", "carol is out")
	missed = append(missed, "carol is out")
	bob = baresip(t, d, "udp", "bob")
	for _, text := range missed {
		bob.awaitText("chat-1", text)
	}
	if at := bob.order(missed...); !slices.IsSorted(at) {
		t.Errorf("bob sees what he missed in the order %v", at)
	}
}
