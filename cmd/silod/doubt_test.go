package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/db/dbtest"
)

// slowly sends a request and returns its answer, which may take longer than that of ask, and how
// long it took.
func (u *ua) slowly(request string) (answer string, took time.Duration) {
	u.t.Helper()
	began := time.Now()
	if _, err := io.WriteString(u.conn, request); err != nil {
		u.t.Fatal(err)
	}
	select {
	case answer = <-u.answers:
	case <-time.After(30 * time.Second):
		u.t.Errorf("no answer to\n%s", request)
	}
	return answer, time.Since(began)
}

// says returns a MESSAGE with a text.
func (u *ua) says(to, text string) string {
	return u.request("MESSAGE", to, to, text, "Content-Type: text/plain")
}

// withoutStandby starts a daemon on a PostgreSQL server that can wait for a standby that does
// not exist.
func withoutStandby(t *testing.T) (r *removals, away, back func()) {
	server := dbtest.NewPostgreSQL(t)
	r = &removals{server: server, url: server.Database(t), got: make(chan taken, 1000)}
	r.served = serve(t, "http.listen = '127.0.0.1:0'", "db.url = '"+r.url+"'")
	away = func() {
		r.admin(t, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
		time.Sleep(200 * time.Millisecond) // until all sessions have read it
	}
	return r, away, func() {
		r.admin(t, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	}
}

// sessions returns the number of sessions of silod on the server.
func (r *removals) sessions(t *testing.T) (n int) {
	t.Helper()
	pool := r.open(t)
	defer pool.Close()
	err := pool.QueryRowContext(t.Context(),
		"SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name = 'silod'").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// While the standby of PostgreSQL is away, the first message is answered 503 after 10 s, and all
// later requests that write at once, with one session more at most. Refreshes are answered 200.
// After that a message that was sent again and again is delivered once, a word in a room appears
// once, and one that was not sent again is not there.
func TestStandbyAway(t *testing.T) {
	t.Parallel()
	r, away, back := withoutStandby(t)
	s := r.served
	a, b, dave := s.phone("tcp", "alice"), s.phone("tcp", "bob"), s.phone("tcp", "dave")
	a.register(300)
	if got := dave.refresh(); status(got) != 200 {
		t.Fatal(got)
	}
	for _, u := range []*ua{a, dave} {
		if got := u.message(room1, "#join"); got != 200 {
			t.Fatalf("#join was answered %d", got)
		}
	}
	normal := r.sessions(t)
	away()
	first := make(chan string)
	go func() {
		answer, took := a.slowly(a.says(bob, "again"))
		if took > 12*time.Second {
			t.Errorf("the first answer took %v", took)
		}
		first <- answer
	}()
	if answer := <-first; status(answer) != 503 || header(answer, "Retry-After") == "" {
		t.Errorf("the first message was answered\n%s", answer)
	}
	for _, request := range []string{
		a.says(bob, "again"), a.says(bob, "again"), a.says(bob, "again"), a.says(bob, "never again"),
		a.says(room1, "word"), a.says(room1, "#topic chat-1 news"), b.says(room1, "#join"),
	} {
		u := a
		if strings.Contains(request, "#join") {
			u = b
		}
		if answer, took := u.slowly(request); status(answer) != 503 || took > time.Second {
			t.Errorf("after %v\n%s\nwas answered\n%s", took, request, answer)
		}
	}
	if got := dave.refresh(); status(got) != 200 {
		t.Errorf("a refresh was answered\n%s", got)
	}
	if code, text := s.get("/readyz"); code != 503 || s.stat("db:in_doubt") != 1 {
		t.Errorf("readyz %d %s, in doubt %d", code, text, s.stat("db:in_doubt"))
	}
	if n := r.sessions(t); n > normal+1 {
		t.Errorf("%d sessions, before %d", n, normal)
	}
	back()
	s.eventually("the end of the doubt", func() bool { return s.stat("db:in_doubt") == 0 })
	if n := r.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	for _, step := range []struct {
		request string
		want    int
	}{{a.says(bob, "again"), 202}, {a.says(room1, "word"), 200}, {a.says(room1, "#topic chat-1 news"), 200}} {
		if answer := a.ask(step.request); status(answer) != step.want {
			t.Errorf("%s\nwas answered\n%s", step.request, answer)
		}
	}
	if n := r.stored(); n != 1 {
		t.Errorf("%d messages are stored", n)
	}
	b.register(300)
	if got := body(b.next()); got != "again" {
		t.Errorf("bob got %q", got)
	}
	b.nothing()
	words := 0
	for _, e := range s.call("imc_history", "chat-1@127.0.0.1").Nodes {
		words += strings.Count(fmt.Sprint(e), "word")
	}
	if words != 1 {
		t.Errorf("the word is there %d times", words)
	}
	for text, n := range map[string]int{"outcome of a write not known": 1, "outcome of the write known": 1} {
		if got := strings.Count(s.log.String(), text); got != n {
			t.Errorf("%q is %d times in the log", text, got)
		}
	}
}

// Silod ends within a few seconds in doubt, and starts again.
func TestStopInDoubt(t *testing.T) {
	t.Parallel()
	r, away, back := withoutStandby(t)
	a := r.phone("tcp", "alice")
	if got := a.message(bob, "accepted"); got != 202 {
		t.Fatal(got)
	}
	away()
	if answer, _ := a.slowly(a.says(bob, "refused")); status(answer) != 503 {
		t.Errorf("answered\n%s", answer)
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the end took %v", took)
	}
	if !strings.Contains(r.log.String(), "doubt ends without a result") {
		t.Errorf("the log says nothing about the doubt:\n%s", r.log.String())
	}
	back()
	r.served = serve(t, "db.url = '"+r.url+"'")
	if n := r.stored(); n < 1 || n > 2 {
		t.Errorf("%d messages are stored", n)
	}
}

// Commands to a room are answered within 12 s while the database is frozen, and those that were
// answered 503 are not carried out later.
func TestFrozenRoom(t *testing.T) {
	t.Parallel()
	r := newRemovals(t, 0)
	if got := r.phone("tcp", "owner").message(room1, "#create"); got != 200 {
		t.Fatal(got)
	}
	var users []*ua
	for i := range 30 {
		users = append(users, r.phone("tcp", fmt.Sprint("user", i)))
	}
	r.server.Freeze()
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := map[string]bool{}
	for i, u := range users {
		time.Sleep(100 * time.Millisecond)
		all.Go(func() {
			text, want := "#join", 200
			if i%5 == 4 {
				text, want = "#invite "+fmt.Sprint("guest", i)+" chat-1", 500
			}
			answer, took := u.slowly(u.says(room1, text))
			if took > 12*time.Second || status(answer) != 503 && status(answer) != want {
				t.Errorf("%s was answered after %v\n%s", text, took, answer)
			}
			mu.Lock()
			defer mu.Unlock()
			refused[fmt.Sprint("user", i)] = status(answer) == 503
		})
	}
	all.Wait()
	r.server.Thaw()
	r.eventually("a command that is carried out", func() bool { return users[0].message(room1, "#join") == 200 })
	members := fmt.Sprint(r.call("imc_list_members", "chat-1@127.0.0.1").Nodes)
	for i := 1; i < len(users); i++ {
		if name := fmt.Sprint("user", i); refused[name] && strings.Contains(members, name+"@") {
			t.Errorf("%s was refused and is a member", name)
		}
	}
	count := 0
	if err := r.open(t).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM imc_members").Scan(&count); err != nil || count != 2 {
		t.Errorf("%d members are stored, %v", count, err)
	}
}
