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

// rounds returns how many times the daemon is killed.
func rounds() int {
	if long() {
		return 50
	}
	return 5
}

// user returns a test phone of a user. receive may be nil for a phone that only sends.
func (d *daemon) user(t *testing.T, transport, name string, receive func(*phone.Message) phone.Answer) *phone.Phone {
	t.Helper()
	p, err := phone.New(phone.Config{AoR: uri(name), Server: transport + ":" + d.addr, Receive: receive})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// load sends numbered texts to several users, and remembers those that were acknowledged.
type load struct {
	d     *daemon
	to    []string
	pause time.Duration // between two texts of a sender
	stop  chan struct{}
	wait  sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]map[string]bool // by recipient: texts that got a 2xx
	again        map[string]bool            // texts that were sent more than once
	times        map[string][2]time.Time    // when a text was first sent, and when it was acknowledged
}

// startLoad starts senders over UDP and TCP, which send until end is called. A sender that
// gets no 2xx sends the same message again with the same Call-ID, as a user does who presses
// the button again, and no other message before that was accepted.
func startLoad(t *testing.T, d *daemon, to ...string) *load {
	return startLoadAs(t, d, names(6, "sender"), 0, to...)
}

// startLoadAs is startLoad with these senders, which pause between their texts.
func startLoadAs(t *testing.T, d *daemon, senders []string, pause time.Duration, to ...string) *load {
	l := &load{
		d: d, to: to, pause: pause, stop: make(chan struct{}),
		acknowledged: make(map[string]map[string]bool), again: make(map[string]bool),
		times: make(map[string][2]time.Time),
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

// names returns n names.
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
		text, sent := fmt.Sprintf("%s %d", name, n), time.Now()
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
			time.Sleep(10 * time.Millisecond) // the daemon may be down
		}
		l.note(to, text, sent, true)
		time.Sleep(l.pause)
	}
}

// note notes when a text was sent, and whether it was acknowledged.
func (l *load) note(to, text string, sent time.Time, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if acknowledged {
		l.acknowledged[to][text] = true
		l.times[text] = [2]time.Time{sent, time.Now()}
	}
}

// end stops the senders. From now on acknowledged and again are complete.
func (l *load) end() {
	close(l.stop)
	l.wait.Wait()
}

// killRepeatedly kills the daemon at random moments and starts it again with the same state.
func (d *daemon) killRepeatedly(t *testing.T) {
	t.Helper()
	random := seeded(t)
	for range rounds() {
		time.Sleep(time.Duration(50+random.IntN(500)) * time.Millisecond)
		d.kill()
		d.start(t)
	}
}

// inbox has the texts that one user has received.
type inbox struct {
	room bool // of messages of a room

	mu      sync.Mutex
	callIDs map[string]string // by text
	texts   []string          // in the order in which each was received first
	repeats int
	others  map[string]string // by text: another Call-ID with which it was received again
}

func (e *inbox) receive(m *phone.Message) phone.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.callIDs == nil {
		e.callIDs, e.others = make(map[string]string), make(map[string]string)
	}
	text := m.Text()
	if e.room {
		var said bool
		if _, text, said = strings.Cut(text, "]: "); !said {
			return phone.Answer{} // a text of the room itself
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

// missing returns the acknowledged texts that have not been received. A room does not send a
// text to its sender.
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

// online keeps a user registered until the end of the test, also when the daemon is killed.
func (d *daemon) online(t *testing.T, transport, name string, receive func(*phone.Message) phone.Answer) {
	t.Helper()
	p := d.user(t, transport, name, receive)
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

// check waits until all acknowledged texts for a user or a room have been received, and
// checks that the texts of each sender are in order. A text that is received twice has the
// same Call-ID. Only in a room, which creates Call-IDs, can a text that was sent again have
// another.
func (e *inbox) check(t *testing.T, name string, l *load, to string) {
	t.Helper()
	acknowledged := l.acknowledged[to]
	eventually(t, func() error {
		if left := e.missing(name, acknowledged); len(left) > 0 {
			slices.Sort(left)
			return fmt.Errorf("%s has not received %d of %d acknowledged messages: %q", name, len(left), len(acknowledged), left)
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
	t.Logf("%s: %d messages were acknowledged and %d received, %d of them more than once", name, len(acknowledged), len(e.texts), e.repeats)
}

// users are the recipients, with their transports.
var users = map[string]string{"bob": "udp", "carol": "tcp", "dave": "udp", "erin": "tcp"}

// TestKilledWhileStoring kills the daemon repeatedly while it stores messages for offline
// users. When they register, each receives every acknowledged message.
func TestKilledWhileStoring(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	d.killRepeatedly(t)
	l.end()
	for name, transport := range users {
		var e inbox
		d.online(t, transport, name, e.receive)
		e.check(t, name, l, name)
		d.awaitStored(t, name)
	}
}

// TestKilledWhileDelivering kills the daemon repeatedly while it delivers stored messages and
// new ones.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	time.Sleep(time.Second) // so that messages are stored
	inboxes := make(map[string]*inbox)
	for name, transport := range users {
		inboxes[name] = new(inbox)
		d.online(t, transport, name, inboxes[name].receive)
	}
	d.killRepeatedly(t)
	l.end()
	for name := range users {
		inboxes[name].check(t, name, l, name)
		d.awaitStored(t, name)
	}
}

// TestKilledWhileSpeaking kills the daemon repeatedly while fifty members of a room send and
// receive. Each receives every acknowledged message of the others, in order, and so does a
// member that was offline.
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
		d.online(t, []string{"tcp", "udp"}[i%2], name, inboxes[name].receive)
	}
	l := startLoadAs(t, d, members, 500*time.Millisecond, "chat-1") // as much as the phones of this test can receive
	d.killRepeatedly(t)
	l.end()
	inboxes["frank"] = &inbox{room: true}
	d.online(t, "udp", "frank", inboxes["frank"].receive)
	for name, e := range inboxes {
		e.check(t, name, l, "chat-1")
	}
}

// TestComingAndGoing has recipients register and unregister all the time: a relayed message
// never overtakes a stored one.
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	d := serve(t)
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	inboxes := make(map[string]*inbox)
	var moving sync.WaitGroup
	for name, transport := range users {
		inboxes[name] = new(inbox)
		p := d.user(t, transport, name, inboxes[name].receive)
		moving.Go(func() {
			for range 20 * rounds() {
				for _, life := range []time.Duration{time.Minute, 0} {
					if res, _, err := p.Register(t.Context(), life); err != nil || !res.OK() {
						t.Errorf("%s: REGISTER: %v, %v", name, res, err)
						return
					}
				}
				time.Sleep(10 * time.Millisecond) // so that messages are stored
			}
		})
	}
	moving.Wait()
	l.end()
	for name, transport := range users {
		d.online(t, transport, name, inboxes[name].receive)
		inboxes[name].check(t, name, l, name)
		d.awaitStored(t, name)
	}
}
