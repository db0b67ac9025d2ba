package imc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/imc"
	"silod/sip"
)

const domain = "example.test"

var quiet = slog.New(slog.DiscardHandler)

// domains are those of the simulated server. alias.test is another name of the main one.
var domains = func() sip.Domains {
	d := sip.NewDomains()
	d.Configure(sip.DomainNames{Names: []string{domain, "other.test"}, Aliases: []string{"alias.test"}})
	return d
}()

func aor(user string) sip.AoR {
	name, host, _ := strings.Cut(user, "@")
	return domains.Row(name, host)
}

// sender returns a sender: an authenticated one, or with "?" before the name one that is not.
func sender(user string) sip.Sender {
	name, stranger := strings.CutPrefix(user, "?")
	a := aor(name)
	return sip.Sender{AoR: a, Authenticated: !stranger, Local: domains.Has(a.Domain)}
}

// world is a Service with simulated users. It plays the router, which passes requests
// to the Service, and the delivery engine, which gets the messages for members. It
// must be used in a synctest bubble.
type world struct {
	t      *testing.T
	store  imc.Store
	wrap   func(imc.Store) imc.Store // wraps the Store of the Service; may be nil
	page   int                       // limit of a call of Next
	config imc.Config
	policy *rules // nil: none
	rooms  *imc.Service
	gate   *gate
	stop   func()

	mu       sync.Mutex
	away     sync.Map                         // users that had no device at the last delivery, by AoR
	offline  sync.Map                         // users without a device, by name; their messages wait
	dead     map[string]bool                  // users for which the Outbox refuses messages
	full     bool                             // the Outbox fails
	sends    int                              // calls of the Outbox
	inbox    map[string][]received            // by user
	woken    map[sip.AoR]bool                 // by the Service, since the last delivery
	calls    int                              // number of requests, for Call-IDs
	got      map[string]map[string]im.Message // by user and Call-ID
	repeats  int                              // messages received again
	unsettle bool                             // devices get messages, but the Service does not learn it
}

// received is a message that a user has received.
type received struct {
	from string // user part of the room or the manager
	im.Message
}

func newWorld(t *testing.T, store imc.Store, change func(*imc.Config)) *world {
	w := &world{
		t: t, store: store, page: 3, config: imc.DefaultConfig(),
		dead: map[string]bool{}, inbox: map[string][]received{},
		woken: map[sip.AoR]bool{}, got: map[string]map[string]im.Message{},
	}
	if change != nil {
		change(&w.config)
	}
	w.start()
	return w
}

// start starts the Service.
func (w *world) start() {
	w.t.Helper()
	g := &gate{Store: w.store}
	w.gate = g
	store := imc.Store(g)
	if w.wrap != nil {
		store = w.wrap(store)
	}
	set, err := imc.NewSettings(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	opt := imc.Options{Store: store, Outbox: w, Waker: w, Log: quiet, Now: time.Now, Domains: domains}
	opt.Online = func(u sip.AoR) (online, known bool) {
		_, away := w.away.Load(u)
		_, offline := w.offline.Load(u.User)
		return !away && !offline, domains.Has(u.Domain)
	}
	if w.policy != nil {
		opt.Policy = w.policy
	}
	w.rooms = imc.New(opt, set)
	if err := w.rooms.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	rooms := w.rooms
	go func() { ended <- rooms.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil && g.pass(func() error { return nil }) == nil {
			w.t.Error(err)
		}
	}
	if err := w.rooms.Waiting(w.t.Context(), func(u sip.AoR) { w.WakeAll(nil, []sip.AoR{u}, sip.AoR{}) }); err != nil {
		w.t.Fatal(err)
	}
}

// crash starts a new Service without stopping the old one, which can write nothing
// any more.
func (w *world) crash() {
	w.t.Helper()
	w.gate.close()
	end := w.stop
	w.start()
	end()
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// Send is the Outbox.
func (w *world) Send(_ context.Context, ms []im.Outgoing) ([]error, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends++
	if w.full {
		return nil, errors.New("store does not work")
	}
	refused := make([]error, len(ms))
	for i := range ms {
		if to := ms[i].To; w.dead[short(to)] {
			refused[i] = errors.New("mailbox is full")
		} else {
			w.receive(to, ms[i].Message)
		}
	}
	return refused, nil
}

// WakeAll is the Waker.
func (w *world) WakeAll(_ any, owners []sip.AoR, except sip.AoR) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range owners {
		if u != except {
			w.woken[u] = true
		}
	}
}

func (w *world) receive(to sip.AoR, m im.Message) {
	from, err := sip.ParseNameAddr(m.From)
	if err != nil {
		w.t.Errorf("bad From %q: %v", m.From, err)
	}
	if want := "<" + to.String() + ">"; m.To != want {
		w.t.Errorf("To is %q, want %q", m.To, want)
	}
	user := short(to)
	if w.got[user] == nil {
		w.got[user] = map[string]im.Message{}
	}
	if old, again := w.got[user][m.CallID]; again {
		// A client drops a message that it has already: both must be the same.
		if !reflect.DeepEqual(old, m) {
			w.t.Errorf("%s got Call-ID %s twice:\n%+v\n%+v", user, m.CallID, old, m)
		}
		w.repeats++
		return
	}
	w.got[user][m.CallID] = m
	w.inbox[user] = append(w.inbox[user], received{short(from.URI.AoR()), m})
}

// short returns an AoR as scripts write it.
func short(a sip.AoR) string {
	if a.Domain == domain {
		return a.PlainUser()
	}
	return a.Plain()
}

// deliver delivers the messages of all members that have been woken.
func (w *world) deliver() {
	w.t.Helper()
	w.mu.Lock()
	owners := slices.Collect(maps.Keys(w.woken))
	w.woken = map[sip.AoR]bool{}
	w.mu.Unlock()
	for _, u := range owners {
		_, offline := w.offline.Load(short(u))
		w.sendTo(u, devices{w, offline})
	}
}

// deliverTo delivers the messages of a member.
func (w *world) deliverTo(u sip.AoR) {
	w.t.Helper()
	w.sendTo(u, devices{w, false})
}

func (w *world) sendTo(u sip.AoR, next devices) {
	w.t.Helper()
	if w.away.Delete(u); next.offline {
		w.away.Store(u, true)
	}
	for after := int64(0); ; {
		items, err := w.rooms.Next(w.t.Context(), u, after, w.page)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(items) == 0 {
			return
		}
		for i := range items {
			it := &items[i]
			if it.Key <= after {
				w.t.Errorf("key %d of %v after %d", it.Key, u, after)
			}
			after = it.Key
			if it.Withdrawn() {
				continue
			}
			out := w.rooms.WrapSender(next).Send(w.t.Context(), u, it).Wait(w.t.Context())
			if out.Verdict == delivery.Offline {
				return
			}
			if w.unsettle || it.Withdrawn() {
				continue
			}
			settled := 0
			w.rooms.Settle(u, it, delivery.Outcome{Verdict: delivery.Delivered}, func(err error) {
				settled++
				if err != nil {
					w.t.Error(err)
				}
			})
			if settled != 1 {
				w.t.Errorf("done was called %d times", settled)
			}
		}
	}
}

// online simulates a REGISTER, after which waiting messages are delivered.
func (w *world) online(user string) {
	w.t.Helper()
	w.offline.Delete(user)
	w.deliverTo(aor(user))
}

// message returns a request as a client would send it.
func (w *world) message(from, to, ctype, body string, headers ...sip.Header) imc.Request {
	w.calls++
	m := im.Message{
		From:    fmt.Sprintf("<%s>;tag=%d", sender(from).AoR, w.calls),
		To:      fmt.Sprintf("<%s>", aor(to)),
		CallID:  fmt.Sprintf("call-%d", w.calls),
		CSeq:    1,
		Headers: append([]sip.Header{{Name: "Content-Type", Value: ctype}}, headers...),
		Body:    []byte(body),
	}
	return imc.Request{Sender: sender(from), Room: aor(to), Message: m}
}

// say sends a text and waits until all consequences have happened.
func (w *world) say(from, to, body string) imc.Reply {
	w.t.Helper()
	return w.handle(w.message(from, to, "text/plain", body))
}

func (w *world) handle(req imc.Request) imc.Reply {
	w.t.Helper()
	reply := w.rooms.Handle(w.t.Context(), req)
	w.settleDown()
	return reply
}

func (w *world) settleDown() {
	w.t.Helper()
	synctest.Wait()
	w.deliver()
	synctest.Wait()
}

// read removes and returns the messages of a user's inbox, each as "room: text".
func (w *world) read(user string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, m := range w.inbox[user] {
		lines = append(lines, m.from+": "+string(m.Body))
	}
	delete(w.inbox, user)
	return lines
}

// take removes and returns the messages of a user's inbox.
func (w *world) take(user string) []received {
	w.mu.Lock()
	defer w.mu.Unlock()
	ms := w.inbox[user]
	delete(w.inbox, user)
	return ms
}

// ignore empties all inboxes.
func (w *world) ignore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox = map[string][]received{}
}

// must sends a text that must be answered 200.
func (w *world) must(from, to, body string) {
	w.t.Helper()
	if r := w.say(from, to, body); r.Status != 200 {
		w.t.Fatalf("%s -> %s: %s: %d %s", from, to, body, r.Status, r.Reason)
	}
}

// stores are the implementations on which the tests run.
var stores = map[string]func(t *testing.T) imc.Store{
	"memory": func(*testing.T) imc.Store { return newMemStore() },
	"sqlite": openSQLite,
}

// within runs f in a synctest bubble with each of stores.
func within(t *testing.T, change func(*imc.Config), f func(w *world)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, open(t), change)
				defer func() { w.stop() }()
				f(w)
			})
		})
	}
}
