package router

import (
	"context"
	"slices"
	"sync"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/stack"
)

// deviceOf names the device of a binding: by its instance (RFC 5626), else by its
// contact.
func deviceOf(b *registrar.Binding) string {
	if b.Instance != "" {
		return b.Instance
	}
	return b.Contact
}

// Devices names the devices of a user that take messages. Of those that a proxy or
// another server knows, and we do not, the one name is "".
func (s *Sender) Devices(a sip.AoR) []string {
	if s.proxy.Load() != nil || !s.Domains.Has(a.Domain) {
		return []string{""}
	}
	var names []string
	for _, b := range s.bindings(a) {
		if name := deviceOf(&b); b.Allows("MESSAGE") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Device is the way to one device.
func (s *Sender) Device(name string) delivery.Sender { return deviceSender{s, name} }

type deviceSender struct {
	*Sender
	name string
}

func (d deviceSender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return d.send(ctx, owner, d.name, it)
}

func (d deviceSender) Alive(ctx context.Context, owner sip.AoR) bool {
	return d.alive(ctx, owner, d.name)
}

// Alive tells whether a device of the owner's answers anything at all: it is asked
// what it can (RFC 3261 section 11).
func (s *Sender) Alive(ctx context.Context, owner sip.AoR) bool { return s.alive(ctx, owner, "") }

func (s *Sender) alive(ctx context.Context, owner sip.AoR, device string) bool {
	ds, _ := s.targets(ctx, owner, device, "")
	results := make(chan stack.Result, len(ds))
	var calls []*stack.Call
	for _, d := range ds {
		flow, err := s.flow(ctx, &d[0])
		if err != nil {
			continue
		}
		if call, err := s.Stack.Send(question(d[0].Binding, s.Domains.Default()), sip.AoR{}, flow, results); err == nil {
			calls = append(calls, call)
		}
	}
	alive := false
	for range calls {
		select {
		case <-ctx.Done():
		case res := <-results:
			alive = alive || res.Err == nil
		}
		if alive || ctx.Err() != nil {
			break
		}
	}
	for _, call := range calls {
		call.Abandon()
	}
	return alive
}

// question is an OPTIONS to a device.
func question(b *registrar.Binding, domain string) *sip.Message {
	m := requestTo(&im.Message{
		From:   "<sip:" + domain + ">;tag=" + stack.NewToken(),
		To:     "<" + b.Contact + ">",
		CallID: stack.NewToken(), CSeq: 1,
	}, "OPTIONS", b, initialHops, nil)
	m.Headers = append(m.Headers, sip.Header{Name: "Accept", Value: "*/*"})
	return &m
}

// boxes knows whose devices get a mailbox besides its owner's (m_dump(owner)). It
// is filled by REGISTERs and forgets who is no longer registered; after a restart
// the next REGISTER fills it again.
//
// Lock: boxes.mu. Under it the Location is asked who is online.
type boxes struct {
	mu      sync.Mutex
	users   map[sip.AoR][]sip.AoR // by owner
	cleared time.Time
}

const (
	mostBoxes  = 100_000
	clearBoxes = 10 * time.Second // how often, at most, room is looked for
)

// add gives a user an owner's mailbox, where there is room for one more.
func (b *boxes) add(owner, user sip.AoR, online func(sip.AoR) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.users) >= mostBoxes && time.Since(b.cleared) >= clearBoxes {
		b.cleared = time.Now()
		for o := range b.users {
			b.there(o, online)
		}
	}
	if b.users == nil {
		b.users = make(map[sip.AoR][]sip.AoR)
	}
	if len(b.users) < mostBoxes && !slices.Contains(b.users[owner], user) {
		b.users[owner] = append(b.users[owner], user)
	}
}

// of gives the users who are online.
func (b *boxes) of(owner sip.AoR, online func(sip.AoR) bool) []sip.AoR {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there(owner, online)
}

// there gives the users who are online, and forgets the others. b.mu is held.
func (b *boxes) there(owner sip.AoR, online func(sip.AoR) bool) []sip.AoR {
	users := b.users[owner]
	if len(users) == 0 {
		return nil
	}
	users = slices.DeleteFunc(slices.Clone(users), func(u sip.AoR) bool { return !online(u) })
	if b.users[owner] = users; len(users) == 0 {
		delete(b.users, owner)
	}
	return users
}

// bindings are those that get what is in a mailbox.
func (r *Router) bindings(owner sip.AoR) []registrar.Binding {
	bs := r.Location.Bindings(owner)
	for _, u := range r.boxes.of(owner, r.Location.Online) {
		bs = append(bs, r.Location.Bindings(u)...)
	}
	return bs
}

// arrived has whatever waits for a user who has registered delivered.
func (r *Router) arrived(tx *stack.ServerTx, user sip.AoR) {
	if r.Silo.OtherMailboxes() {
		in := incomingOf(tx, caller{}, user)
		if owner := r.Silo.OtherMailbox(&in); owner != user {
			r.boxes.add(owner, user, r.Location.Online)
			r.Queue.Wake(owner)
		}
	}
	r.Engine.Wake(user)
}
