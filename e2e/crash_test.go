package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/e2e/phone"
)

// rounds is how often the daemon is killed.
func rounds() int {
	if long() {
		return 50
	}
	return 5
}

// user opens a phone of ours: receive may be nil for one that only sends.
func (d *daemon) user(t *testing.T, transport, name string, receive func(*phone.Message) phone.Answer) *phone.Phone {
	t.Helper()
	p, err := phone.New(phone.Config{AoR: uri(name), Server: transport + ":" + d.addr, Receive: receive})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// load sends numbered texts to several users, and remembers what was acknowledged.
type load struct {
	d     *daemon
	to    []string
	pause time.Duration // of each sender between two texts
	stop  chan struct{}
	wait  sync.WaitGroup

	mu       sync.Mutex
	acknowledged map[string]map[string]bool // by recipient: texts that got a 2xx
	again    map[string]bool            // texts that were sent more than once
}

// begin has senders send over UDP and TCP until end is called. One that gets no
// answer, or a 5xx, sends the same message again under the same Call-ID, as people
// do who press the button once more, and no other before that was taken.
func startLoad(t *testing.T, d *daemon, to ...string) *load {
	return startLoadAs(t, d, names(6, "sender"), 0, to...)
}

// startLoadAs is begin with these senders, who pause between their texts.
func startLoadAs(t *testing.T, d *daemon, senders []string, pause time.Duration, to ...string) *load {
	l := &load{
		d: d, to: to, pause: pause, stop: make(chan struct{}),
		acknowledged: make(map[string]map[string]bool), again: make(map[string]bool),
	}
	for _, name := range to {
		l.acknowledged[name] = make(map[string]bool)
	}
	for i, name := range senders {
		p := d.user(t, []string{"udp", "tcp"}[i%2], name, nil)
		l.wait.Go(func() { l.send(t.Context(), p, name) })
	}
	return l
}

// names makes so many names.
func names(n int, stem string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(stem, i)
	}
	return all
}

func (l *load) send(ctx context.Context, p *phone.Phone, name string) {
	for n := 0; ; n++ {
		to := l.to[n%len(l.to)]
		text := fmt.Sprintf("%s %d", name, n)
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			res, err := p.Do(ctx, phone.Request{
				Method: "MESSAGE", To: uri(to), CallID: strings.ReplaceAll(text, " ", "-"), Body: []byte(text),
				Headers: phone.Headers{{Name: "Content-Type", Value: "text/plain"}},
			})
			if err == nil && res.OK() {
				break
			}
			l.mu.Lock()
			l.again[text] = true
			l.mu.Unlock()
			time.Sleep(10 * time.Millisecond) // not to be busy while the daemon is down
		}
		l.mu.Lock()
		l.acknowledged[to][text] = true
		l.mu.Unlock()
		time.Sleep(l.pause)
	}
}

// end stops the senders. From now on acknowledged and again are complete.
func (l *load) end() {
	close(l.stop)
	l.wait.Wait()
}

// killAgain kills the daemon at random moments and starts it again in its place.
func (d *daemon) killRepeatedly(t *testing.T) {
	t.Helper()
	random := seeded(t)
	for range rounds() {
		time.Sleep(time.Duration(50+random.IntN(500)) * time.Millisecond)
		d.kill()
		d.start(t)
	}
}

// ear is what one user has heard.
type inbox struct {
	room bool // it listens to a room

	mu      sync.Mutex
	callIDs map[string]string // by text
	texts   []string          // in the order in which each came for the first time
	repeats int
	others  map[string]string // by text: another Call-ID under which it came again
}

func (e *inbox) hear(m *phone.Message) phone.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.callIDs == nil {
		e.callIDs, e.others = make(map[string]string), make(map[string]string)
	}
	text := m.Text()
	if e.room {
		var said bool
		if _, text, said = strings.Cut(text, "]: "); !said {
			return phone.Answer{} // the room's own words
		}
	}
	switch id, again := e.callIDs[text]; {
	case !again:
		e.callIDs[text] = m.CallID
		e.texts = append(e.texts, text)
	case id != m.CallID:
		e.others[text] = m.CallID
	default:
		e.repeats++
	}
	return phone.Answer{}
}

// missing gives the texts that were acknowledged and have not come; a room does not say to
// somebody what they have said.
func (e *inbox) missing(name string, acknowledged map[string]bool) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var left []string
	for text := range acknowledged {
		if _, ok := e.callIDs[text]; !ok && !strings.HasPrefix(text, name+" ") {
			left = append(left, text)
		}
	}
	return left
}

// online keeps a user registered until the end of the test, whatever happens to the
// daemon.
func (d *daemon) online(t *testing.T, transport, name string, e *inbox) {
	t.Helper()
	p := d.user(t, transport, name, e.hear)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The first attempt may meet a daemon that is down.
		for p.KeepRegistered(ctx, time.Minute, nil) != nil && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// check waits until everything has come that was acknowledged to a user, or said to a
// room, and looks at the order: that of each sender holds. What comes twice has the
// Call-ID that it had. Only a room, which makes Call-IDs of its own, takes what is
// said again for something new.
func (e *inbox) check(t *testing.T, name string, l *load, to string) {
	t.Helper()
	acknowledged := l.acknowledged[to]
	eventually(t, func() error {
		if left := e.missing(name, acknowledged); len(left) > 0 {
			slices.Sort(left)
			return fmt.Errorf("%s has not got %d of %d messages that were acknowledged: %q", name, len(left), len(acknowledged), left)
		}
		return nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	for text, id := range e.others {
		if !e.room || !l.again[text] {
			t.Errorf("%s got %q under the Call-IDs %s and %s", name, text, e.callIDs[text], id)
		}
	}
	last := make(map[string]int)
	for _, text := range e.texts {
		var sender string
		var n int
		if _, err := fmt.Sscan(text, &sender, &n); err != nil {
			t.Errorf("%s got %q", name, text)
			continue
		}
		if before, ok := last[sender]; ok && n <= before {
			t.Errorf("%s got message %d of %s after %d", name, n, sender, before)
		}
		last[sender] = n
	}
	t.Logf("%s was acknowledged %d messages and got %d, %d of them more than once", name, len(acknowledged), len(e.texts), e.repeats)
}

// users are who is written to, half of them over each transport.
var users = map[string]string{"bob": "udp", "carol": "tcp", "dave": "udp", "erin": "tcp"}

// TestKilledWhileStoring kills the daemon again and again while messages for users
// who are offline come in. When they register, each gets every message that was
// acknowledged.
func TestKilledWhileStoring(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	d.killRepeatedly(t)
	l.end()
	for name, transport := range users {
		var e inbox
		d.online(t, transport, name, &e)
		e.check(t, name, l, name)
		d.awaitStored(t, name)
	}
}

// TestKilledWhileDelivering kills the daemon again and again while it delivers what
// was stored, and what comes in meanwhile.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	time.Sleep(time.Second) // for a stock
	inboxes := make(map[string]*inbox)
	for name, transport := range users {
		inboxes[name] = new(inbox)
		d.online(t, transport, name, inboxes[name])
	}
	d.killRepeatedly(t)
	l.end()
	for name := range users {
		inboxes[name].check(t, name, l, name)
		d.awaitStored(t, name)
	}
}

// TestKilledWhileSpeaking kills the daemon again and again while fifty members of a
// room speak and listen. Each of them gets every word of the others that was
// acknowledged, in order, and so does one who was offline all the time.
func TestKilledWhileSpeaking(t *testing.T) {
	t.Parallel()
	d := serve(t)
	members := names(50, "member")
	for _, name := range append(slices.Clone(members), "frank") {
		p := d.user(t, "udp", name, nil)
		if res, err := p.Send(t.Context(), uri("chat-1"), "", []byte("#join")); err != nil || !res.OK() {
			t.Fatal(res, err)
		}
	}
	inboxes := make(map[string]*inbox)
	for i, name := range members {
		inboxes[name] = &inbox{room: true}
		d.online(t, []string{"tcp", "udp"}[i%2], name, inboxes[name])
	}
	l := startLoadAs(t, d, members, 500*time.Millisecond, "chat-1") // so much as this test's own phones can take
	d.killRepeatedly(t)
	l.end()
	inboxes["frank"] = &inbox{room: true}
	d.online(t, "udp", "frank", inboxes["frank"])
	for name, e := range inboxes {
		e.check(t, name, l, "chat-1")
	}
}

// TestComingAndGoing has users come online and go offline all the time, while
// messages for them come in: what is relayed never overtakes what is stored.
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	inboxes := make(map[string]*inbox)
	var moving sync.WaitGroup
	for name, transport := range users {
		inboxes[name] = new(inbox)
		p := d.user(t, transport, name, inboxes[name].hear)
		moving.Go(func() {
			for range 20 * rounds() {
				for _, life := range []time.Duration{time.Minute, 0} {
					if res, _, err := p.Register(t.Context(), life); err != nil || !res.OK() {
						t.Errorf("%s: REGISTER: %v, %v", name, res, err)
						return
					}
				}
				time.Sleep(10 * time.Millisecond) // while something is stored
			}
		})
	}
	moving.Wait()
	l.end()
	for name, transport := range users {
		d.online(t, transport, name, inboxes[name])
		inboxes[name].check(t, name, l, name)
		d.awaitStored(t, name)
	}
}
