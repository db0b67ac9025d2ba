package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/mi"
)

// A removals is a daemon on its own PostgreSQL server, with devices that record the
// messages that they answer with 200.
type removals struct {
	*served
	server *dbtest.Server
	url    string
	want   []string
	got    chan taken
}

// A taken is a message that a device has answered with 200.
type taken struct{ device, text string }

// newRemovals starts a daemon and stores messages for bob, who is not registered.
func newRemovals(t *testing.T, messages int, more ...string) *removals {
	server := dbtest.NewPostgreSQL(t)
	r := &removals{server: server, url: server.Database(t), got: make(chan taken, 1000)}
	r.admin(t, "CREATE ROLE app LOGIN", "GRANT ALL ON SCHEMA public TO app")
	r.served = serve(t, append(more, "db.url = '"+strings.Replace(r.url, "silod@", "app@", 1)+"'")...)
	r.store(t, messages)
	return r
}

// store stores numbered messages for bob.
func (r *removals) store(t *testing.T, messages int) {
	t.Helper()
	a := r.phone("tcp", "alice")
	for i := range messages {
		r.want = append(r.want, fmt.Sprint(i))
		if got := a.message(bob, r.want[i]); got != 202 {
			t.Fatalf("message %d: %d", i, got)
		}
	}
}

// admin executes statements as the database's superuser.
func (r *removals) admin(t *testing.T, statements ...string) {
	t.Helper()
	pool := r.open(t)
	defer pool.Close()
	for _, text := range statements {
		if _, err := pool.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// device registers a device of bob that answers every message with 200. It calls taking
// before it answers.
func (r *removals) device(name string, taking func(n int)) *ua {
	u := r.phone("udp", "bob")
	u.autoReply.Store(0)
	go func() {
		answered := map[string]bool{}
		for m := range u.requests {
			if via := header(m, "Via"); !answered[via] {
				answered[via] = true
				taking(len(answered))
				r.got <- taken{name, body(m)}
			}
			u.reply(m, 200)
		}
	}()
	u.registerAs(name)
	return u
}

// refreshAs repeats a registration while writes of the database fail. It is answered 503 if
// it is written together with such a write.
func (u *ua) refreshAs(name string) {
	u.t.Helper()
	if a := u.tryRegisterAs(name); status(a) != 200 && status(a) != 503 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
}

// check waits until every device has received every message and the messages are removed.
// Each device must have received each message once, in order.
func (r *removals) check(t *testing.T, removed func() bool, devices ...string) {
	t.Helper()
	got, n := map[string][]string{}, 0
	take := func(m taken) { got[m.device] = append(got[m.device], m.text); n++ }
	for end := time.Now().Add(time.Minute); n < len(devices)*len(r.want) || !removed(); {
		select {
		case m := <-r.got:
			take(m)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%d received after a minute, %d stored", n, r.stored())
		}
	}
	time.Sleep(silence)
	for len(r.got) > 0 {
		take(<-r.got)
	}
	for _, name := range devices {
		if !slices.Equal(got[name], r.want) {
			t.Errorf("the %s got %d messages of %d: %q", name, len(got[name]), len(r.want), got[name])
		}
	}
}

// No message is delivered twice if the database freezes during the delivery.
func TestFrozenDatabaseRepeatsNothing(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 150)
	thawed := make(chan struct{})
	r.device("phone", func(n int) {
		if n == 5 {
			r.server.Freeze()
			time.AfterFunc(15*time.Second, func() { r.server.Thaw(); close(thawed) })
		}
	})
	<-thawed
	r.check(t, func() bool { return r.stored() == 0 }, "phone")
}

// No message is delivered twice while the database refuses every DELETE, and the messages
// are removed when it accepts them again.
func TestRefusedDeleteRepeatsNothing(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 30)
	r.admin(t, "REVOKE DELETE ON silo FROM app")
	phone := r.device("phone", func(int) {})
	for range 5 {
		time.Sleep(time.Second)
		phone.refreshAs("phone")
	}
	if n := r.stored(); n != 30 {
		t.Errorf("%d are stored while nothing can be deleted", n)
	}
	r.admin(t, "GRANT DELETE ON silo TO app")
	r.check(t, func() bool { return r.stored() == 0 }, "phone")
}

// The same for the copies that every device gets.
func TestRefusedMarkRepeatsNothing(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 30, every)
	r.admin(t, "REVOKE INSERT ON silod_device FROM app")
	devices := []*ua{r.device("phone", func(int) {}), r.device("tablet", func(int) {})}
	for range 5 {
		time.Sleep(time.Second)
		for i, name := range []string{"phone", "tablet"} {
			devices[i].refreshAs(name)
		}
	}
	r.admin(t, "GRANT INSERT ON silod_device TO app")
	r.check(t, func() bool {
		n := r.call("silo_list", "bob@127.0.0.1")
		return !slices.ContainsFunc(n.Nodes, func(m *mi.Node) bool { return attr(m, "copies") != "2" })
	}, "phone", "tablet")
}

// A message that was relayed and then stored, because the device answered late, is not
// delivered again.
func TestRefusedDeleteAfterALateAnswer(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 0, "sip.accept_timeout = '300ms'")
	r.admin(t, "REVOKE DELETE ON silo FROM app")
	var late atomic.Bool
	late.Store(true)
	r.device("phone", func(int) {
		if late.Swap(false) {
			time.Sleep(time.Second)
		}
	})
	if got := r.phone("tcp", "alice").message(bob, "late"); got != 202 {
		t.Errorf("answered %d", got)
	}
	time.Sleep(3 * time.Second)
	r.admin(t, "GRANT DELETE ON silo TO app")
	r.want = []string{"late"}
	r.check(t, func() bool { return r.stored() == 0 }, "phone")
}
