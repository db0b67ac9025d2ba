package proxy

import (
	"context"
	"sync/atomic"

	"silod/delivery"
	"silod/sip"
)

// SenderSettings are what Configure can change while a Sender is used.
type SenderSettings struct {
	// OutboundProxy is the next hop for all messages, which have the AoR as Request-URI:
	// it knows the devices. nil, or this server itself: none.
	OutboundProxy *sip.URI

	// RoomProxy takes the place of OutboundProxy for messages of chat rooms. nil, or this
	// server itself: it does not.
	RoomProxy *sip.URI

	// Rooms reports that all messages are texts of rooms.
	Rooms bool
}

// A Sender sends the messages of a delivery queue to their recipients. It implements
// delivery.Sender.
type Sender struct {
	proxy    *Proxy
	settings atomic.Pointer[SenderSettings]
}

// Sender returns a sender.
func (p *Proxy) Sender(set SenderSettings) *Sender {
	s := &Sender{proxy: p}
	s.Configure(set)
	return s
}

// Configure replaces the settings.
func (s *Sender) Configure(set SenderSettings) {
	set.OutboundProxy, set.RoomProxy = s.proxy.notOwn(set.OutboundProxy), s.proxy.notOwn(set.RoomProxy)
	s.settings.Store(&set)
}

// Send sends a message to the devices of its recipient. It is delivered when one of them
// accepts it.
func (s *Sender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return s.send(ctx, owner, "", it)
}

// Alive reports whether a device of a user responds to OPTIONS (RFC 3261 section 11): one with
// these names, or any if there are none.
func (s *Sender) Alive(ctx context.Context, owner sip.AoR, names []string) bool {
	return s.proxy.responds(ctx, owner, namedDevices{s, names})
}

// Device returns the sender to the devices with a name. A queue that keeps a copy for each
// device has one such sender for each name.
func (s *Sender) Device(name string) delivery.Sender { return deviceSender{sender: s, name: name} }

// A deviceSender implements delivery.Sender for the devices with one name.
type deviceSender struct {
	sender *Sender
	name   string
}

func (d deviceSender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return d.sender.send(ctx, owner, d.name, it)
}

func (d deviceSender) Alive(ctx context.Context, owner sip.AoR, _ []string) bool {
	return d.sender.proxy.responds(ctx, owner, namedDevices{d.sender, []string{d.name}})
}

// send sends a message to the devices with a name, "" for any.
func (s *Sender) send(ctx context.Context, owner sip.AoR, name string, it *delivery.Item) delivery.Attempt {
	dir, seen := s.directory(name, it), s.proxy.Changes(owner)
	ds := dir.Devices(owner)
	if len(ds) == 0 {
		return delivery.Outcome{Verdict: delivery.Offline, Reason: "no registered device accepts messages"}
	}
	fork := s.proxy.Fork(ctx, &it.Message, ds, ForkOptions{
		Recipient: owner, MaxForwards: initialMaxForwards, FromRoom: s.settings.Load().Rooms, Directory: dir, Seen: seen, Item: it,
	})
	switch {
	case !it.PerDevice:
		return sent{fork}
	case ds[0].Name == "":
		return sentElsewhere{fork, s.Registered(owner)}
	case leavesOut(dir):
		return sentToSome{fork}
	}
	return sentToAll{fork}
}

// sent is a queued message on its way.
type sent struct{ fork *Fork }

// Wait waits until a device has accepted the message or none can, or until ctx ends.
func (s sent) Wait(ctx context.Context) delivery.Outcome {
	defer s.fork.Abandon()
	out := s.fork.Wait(ctx, 0)
	v := verdict(&out)
	if v.Verdict == delivery.Undelivered && out.Open == 0 && out.Unreached == 0 && s.fork.isRoom(out.Response) {
		v.Verdict = delivery.Refused
	}
	return v
}

// isRoom reports whether a response says that the recipient of a room's text is a room of
// another server, which never accepts it. Other responses 482, and those for users of our
// domains, are about a loop of the moment.
func (k *Fork) isRoom(res *sip.Message) bool {
	return k.opt.FromRoom && res != nil && res.Status == 482 && res.Reason == sip.ReasonForRooms &&
		!k.proxy.domains.Has(k.opt.Recipient.Domain)
}
