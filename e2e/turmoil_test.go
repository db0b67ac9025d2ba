package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/e2e/phone"
	"silod/mi"
	"silod/mi/client"
)

// TestKilledInTurmoil kills the daemon repeatedly while members of a public and of a private room
// speak, and others come and go, are removed, banned and muted. Each permanent member receives
// every acknowledged message once and in the order of the others, and none of those that were not
// allowed to speak. A user that is no member gets no message of that time.
func TestKilledInTurmoil(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return dbtest.NewPostgreSQL(t).Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := []string{"imc.message_rate = 0"}
			if u := url(t); u != "" {
				lines = append(lines, fmt.Sprintf("db.url = '%s'", u))
			}
			d := serve(t, lines...)
			rooms := []*turmoil{newTurmoil(t, d, "chat-1", false), newTurmoil(t, d, "chat-2", true)}
			d.killRepeatedly(t)
			for _, r := range rooms {
				r.end()
			}
			for _, r := range rooms {
				r.check(t)
			}
		})
	}
}

// A turmoil is a room of which the members change all the time.
type turmoil struct {
	d       *daemon
	room    string
	private bool
	owner   *phone.Phone
	*load
	permanent map[string]*inbox
	movers    []*mover
	stopMoves chan struct{}
	moves     sync.WaitGroup
}

// size returns the numbers of permanent members, speakers and movers, and the pause between two
// messages of a speaker.
func (r *turmoil) size() (permanent, speakers, movers int, pause time.Duration) {
	if long() {
		return 36, 6, 12, 0
	}
	return 10, 3, 4, 20 * time.Millisecond
}

// newTurmoil creates a room and starts its members.
func newTurmoil(t *testing.T, d *daemon, room string, private bool) *turmoil {
	t.Helper()
	r := &turmoil{d: d, room: room, private: private, permanent: make(map[string]*inbox), stopMoves: make(chan struct{})}
	permanent, speakers, movers, pause := r.size()
	members := names(permanent, room+"-p")
	r.owner = d.user(t, "tcp", members[0], nil)
	create := "#create"
	if private {
		create += " private"
	}
	r.must(t, r.owner, create)
	for i, name := range members {
		if i > 0 {
			r.operate(t, "imc_add_member", name)
		}
		r.permanent[name] = &inbox{room: true}
		d.online(t, []string{"tcp", "udp"}[i%2], name, r.permanent[name].receive)
	}
	r.load = startLoadAs(t, d, members[:speakers], pause, room)
	for i := range movers {
		m := &mover{turmoil: r, name: fmt.Sprint(room, "-m", i), got: inbox{room: true}}
		m.phone = d.user(t, []string{"udp", "tcp"}[i%2], m.name, nil)
		d.online(t, []string{"tcp", "udp"}[i%2], m.name, m.got.receive)
		r.movers = append(r.movers, m)
		r.moves.Go(func() { m.move(t.Context()) })
	}
	return r
}

// must sends a command that is answered 200.
func (r *turmoil) must(t *testing.T, p *phone.Phone, text string) {
	t.Helper()
	if res, err := p.Send(t.Context(), uri(r.room), "", []byte(text)); err != nil || !res.OK() {
		t.Fatal(text, res, err)
	}
}

// operate calls a management command for a user.
func (r *turmoil) operate(t *testing.T, command, user string) {
	t.Helper()
	if _, err := r.d.call(command, uri(r.room), uri(user)); err != nil {
		t.Fatal(command, user, err)
	}
}

// end stops all.
func (r *turmoil) end() {
	close(r.stopMoves)
	r.moves.Wait()
	r.load.end()
}

// check compares the inboxes with the messages that were acknowledged.
func (r *turmoil) check(t *testing.T) {
	t.Helper()
	r.await(t)
	forbidden, accepted, silenced := 0, 0, 0
	for _, m := range r.movers {
		forbidden, accepted = forbidden+m.forbidden, accepted+len(m.accepted)
		silenced += len(m.silent)
		for _, text := range m.refused {
			t.Errorf("%s: %s", m.name, text)
		}
		for _, text := range m.accepted {
			t.Errorf("%s: %q was accepted", r.room, text)
		}
		m.checkSilence(t)
	}
	var order map[string]int
	for name, e := range r.permanent {
		e.check(t, name, r.load, r.room)
		for _, text := range e.texts {
			if strings.Contains(text, " forbidden") {
				t.Errorf("%s got %q", name, text)
			}
		}
		if order == nil {
			order = make(map[string]int)
			for i, text := range e.texts {
				order[text] = i
			}
			continue
		}
		last := -1
		for _, text := range e.texts {
			if i, ok := order[text]; ok && !r.again[text] {
				if i < last {
					t.Errorf("%s got %q in another order", name, text)
				}
				last = i
			}
		}
	}
	t.Logf("%s: %d messages acknowledged, %d sent again, %d forbidden, %d of these accepted, %d times without messages",
		r.room, len(r.acknowledged[r.room]), len(r.again), forbidden, accepted, silenced)
}

// await waits until all messages have come, while some come.
func (r *turmoil) await(t *testing.T) {
	t.Helper()
	missing := func() (n int) {
		for name, e := range r.permanent {
			n += len(e.missing(name, r.acknowledged[r.room]))
		}
		return n
	}
	for left := missing(); left > 0; {
		time.Sleep(5 * time.Second)
		now := missing()
		if now >= left {
			return // check waits longer
		}
		left = now
	}
}

// A mover is a user that comes and goes.
type mover struct {
	*turmoil
	got   inbox
	name  string
	phone *phone.Phone

	forbidden int      // messages that must not be accepted
	accepted  []string // those that were
	silent    [][2]time.Time
	refused   []string // commands that were refused at once
}

// checkSilence checks that the user has got no message that was sent, and acknowledged, while
// it was no member.
func (m *mover) checkSilence(t *testing.T) {
	t.Helper()
	m.got.mu.Lock()
	defer m.got.mu.Unlock()
	for _, text := range m.got.texts {
		w := m.load.times[text]
		for _, s := range m.silent {
			if w[0].After(s[0]) && !w[1].IsZero() && w[1].Before(s[1]) {
				t.Errorf("%s got %q, sent while it was no member", m.name, text)
			}
		}
	}
}

// move changes the membership until the end of the turmoil. It begins and ends without one.
func (m *mover) move(ctx context.Context) {
	absent := time.Now()
	for n := 0; ; n++ {
		select {
		case <-m.stopMoves:
			return
		default:
		}
		m.silent = append(m.silent, [2]time.Time{absent, time.Now()})
		if !m.join(ctx) {
			return
		}
		m.speak(ctx, n)
		if !m.leave(ctx, n) {
			return
		}
		absent = time.Now()
		m.mayNot(ctx, n, "no member")
	}
}

// join makes the user a member.
func (m *mover) join(ctx context.Context) bool {
	if m.private {
		return m.operates(ctx, "imc_add_member")
	}
	return m.until(func() error { return m.says(ctx, m.phone, "#join") })
}

// leave ends the membership, after a mute.
func (m *mover) leave(ctx context.Context, n int) bool {
	if n%2 == 0 {
		if !m.owners(ctx, "#mute "+m.name) {
			return false
		}
		m.mayNot(ctx, n, "muted")
		if !m.owners(ctx, "#unmute "+m.name) {
			return false
		}
	}
	switch n % 3 {
	case 0:
		return m.owners(ctx, "#remove "+m.name)
	case 1:
		if !m.owners(ctx, "#ban "+m.name) {
			return false
		}
		m.mayNot(ctx, n, "banned")
		return m.operates(ctx, "imc_unban_member")
	default:
		return m.operates(ctx, "imc_remove_member")
	}
}

// speak says a word as a member.
func (m *mover) speak(ctx context.Context, n int) {
	text := fmt.Sprint(m.name, " ", n)
	sent := time.Now()
	res, err := m.phone.Send(ctx, uri(m.room), "text/plain", []byte(text))
	m.load.note(m.room, text, sent, err == nil && res.OK())
}

// mayNot says words that must be refused.
func (m *mover) mayNot(ctx context.Context, n int, why string) {
	for i := range 3 {
		text := fmt.Sprint(m.name, " ", n, " forbidden ", why, " ", i)
		m.forbidden++
		if res, err := m.phone.Send(ctx, uri(m.room), "text/plain", []byte(text)); err == nil && res.OK() {
			m.accepted = append(m.accepted, text)
		}
	}
}

// owners has the owner send a command.
func (m *mover) owners(ctx context.Context, text string) bool {
	return m.until(func() error { return m.says(ctx, m.owner, text) })
}

// says sends a command.
func (m *mover) says(ctx context.Context, p *phone.Phone, text string) error {
	res, err := p.Send(ctx, uri(m.room), "text/plain", []byte(text))
	switch {
	case err != nil:
		return err
	case res.OK():
		return nil
	case res.Code != 503: // a refusal of a command may be 500, as that of Kamailio's imc
		return &mi.Error{Code: res.Code, Text: text + ": " + res.Reason}
	}
	return errors.New(res.Reason)
}

// operates calls a management command for the user.
func (m *mover) operates(ctx context.Context, command string) bool {
	return m.until(func() error {
		c, err := client.Dial(ctx, client.Target{Socket: m.d.path("control.sock")})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Call(ctx, command, mi.Arg{Value: uri(m.room)}, mi.Arg{Value: uri(m.name)})
		return err
	})
}

// until repeats an action until it succeeds, and reports whether it did. The daemon may have
// stopped after it: then the next attempt is refused.
func (m *mover) until(do func() error) bool {
	for i := range 3000 {
		err := do()
		var refused *mi.Error
		switch {
		case err == nil:
			return true
		case errors.As(err, &refused) && refused.Code != 503:
			if i == 0 {
				m.refused = append(m.refused, err.Error())
			}
			return true
		}
		time.Sleep(10 * time.Millisecond) // the daemon may be down
	}
	return false
}
