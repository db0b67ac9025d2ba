package proxy

import (
	"testing"

	"silod/im"
)

// TestUnderWay lists the messages that are copies of one which is being sent to bob.
func TestUnderWay(t *testing.T) {
	message := func() im.Message {
		return im.Message{From: "<sip:a@example.org>;tag=1", CallID: "c", CSeq: 7, Body: []byte("hello")}
	}
	p, bob := New(Options{}, Settings{}), user("bob")
	sent := message()
	for _, k := range []*Fork{
		{proxy: p, msg: &sent, opt: ForkOptions{Recipient: bob}},
		{proxy: p, opt: ForkOptions{Recipient: bob, probe: true}}, // OPTIONS
	} {
		p.forks.add(k)
	}
	for _, tt := range []struct {
		name   string
		change func(*im.Message)
		want   bool
	}{
		{"the same", func(*im.Message) {}, true},
		{"From is written differently", func(m *im.Message) { m.From = `"A" <sip:a@example.org>; tag=1` }, true},
		{"another tag", func(m *im.Message) { m.From = "<sip:a@example.org>;tag=2" }, false},
		{"another sender", func(m *im.Message) { m.From = "<sip:b@example.org>;tag=1" }, false},
		{"another Call-ID", func(m *im.Message) { m.CallID = "d" }, false},
		{"another CSeq", func(m *im.Message) { m.CSeq = 8 }, false},
		{"another text", func(m *im.Message) { m.Body = []byte("Hello") }, false},
	} {
		m := message()
		tt.change(&m)
		if got := p.UnderWay(bob, &m); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if p.UnderWay(user("carol"), &sent) {
		t.Error("it is under way to another user")
	}
}
