package main

import (
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/db"
	"silod/db/dbtest"
)

// A ledger sends numbered messages to carol, a user without a registration, one after the other,
// and records the answers.
type ledger struct {
	r        *removals
	stop     chan struct{}
	done     chan struct{}
	accepted []string // answered 202
	refused  []string // answered 503
	refusals atomic.Int64
	longest  time.Duration
}

const carol = "sip:carol@127.0.0.1"

// newLedger starts to send messages with so many more characters.
func (r *removals) newLedger(long int) *ledger {
	l := &ledger{r: r, stop: make(chan struct{}), done: make(chan struct{})}
	u := r.phone("tcp", "alice")
	go func() {
		defer close(l.done)
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-time.After(50 * time.Millisecond):
				l.send(u, fmt.Sprint("to carol ", i, strings.Repeat(".", long)))
			}
		}
	}()
	return l
}

// send sends one message, and waits for the answer longer than silod waits for the
// database.
func (l *ledger) send(u *ua, text string) {
	began := time.Now()
	m := u.request("MESSAGE", carol, carol, text, "Content-Type: text/plain")
	if _, err := io.WriteString(u.conn, m); err != nil {
		u.t.Error(err)
		return
	}
	select {
	case a := <-u.answers:
		switch status(a) {
		case 202:
			l.accepted = append(l.accepted, text)
		case 503:
			l.refusals.Add(1)
			if l.refused = append(l.refused, text); header(a, "Retry-After") == "" {
				u.t.Errorf("a refusal without Retry-After:\n%s", a)
			}
		default:
			u.t.Errorf("%s was answered\n%s", text, a)
		}
	case <-time.After(30 * time.Second):
		u.t.Errorf("no answer to %s", text)
	}
	l.longest = max(l.longest, time.Since(began))
}

// check ends the sending. Carol registers and must receive each accepted message once, in
// order.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	close(l.stop)
	<-l.done
	if len(l.accepted) == 0 {
		t.Error("no message for carol was accepted")
		return
	}
	phone := l.r.phone("udp", "carol")
	phone.register(300)
	last := l.accepted[len(l.accepted)-1]
	var got []string
	for len(got) == 0 || got[len(got)-1] != last {
		got = append(got, body(phone.next()))
	}
	doubtful := 0
	got = slices.DeleteFunc(got, func(text string) bool {
		refused := slices.Contains(l.refused, text)
		if refused {
			doubtful++
		}
		return refused
	})
	if !slices.Equal(got, l.accepted) {
		t.Errorf("carol got %q, accepted were %q", got, l.accepted)
	}
	t.Logf("%d accepted, %d refused, of which %d are stored; longest wait %v", len(l.accepted), len(l.refused), doubtful, l.longest)
}

// empty reports whether nothing is stored for bob. While the database is away, that is not
// known.
func (r *removals) empty() bool {
	n, err := r.tryCall("silo_list", "bob@127.0.0.1")
	return err == nil && len(n.Nodes) == 0
}

// awaitRows waits until so many messages are stored on the server.
func (r *removals) awaitRows(t *testing.T, want int) {
	t.Helper()
	pool, got := r.open(t), 0
	defer pool.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM silo").Scan(&got); err == nil && got == want {
			return
		}
	}
	t.Errorf("%d messages stored, want %d", got, want)
}

// failover starts a daemon on a pair of PostgreSQL servers, stores 150 messages for bob,
// and has the first server fail while they are delivered. All must arrive once.
func failover(t *testing.T, standby func(primary *dbtest.Server) *dbtest.Server, before func(primary, standby *dbtest.Server)) {
	primary := dbtest.NewPostgreSQL(t)
	url := primary.Database(t)
	other := standby(primary)
	r := &removals{server: primary, url: url, got: make(chan taken, 1000)}
	r.served = serve(t, "db.url = '"+primary.With(other, url)+"'")
	r.store(t, 150)
	phone := r.device("phone", func(n int) {
		switch n {
		case 5:
			before(primary, other)
		case 70:
			r.awaitRows(t, 150-69) // so that their deletions are committed
			primary.Kill()
			other.Thaw()
			other.Promote(t)
		}
	})
	r.check(t, r.empty, "phone")
	for range 3 { // rows that are back are not sent at a REGISTER either
		phone.refreshAs("phone")
		r.settled()
	}
	if len(r.got) > 0 || !r.empty() {
		t.Errorf("%d messages more, empty: %v", len(r.got), r.empty())
	}
}

// No message is delivered twice if the primary is lost during the delivery, neither with a
// synchronous standby nor with one that has missed most of the deletions.
func TestFailoverRepeatsNothing(t *testing.T) {
	t.Parallel()
	t.Run("synchronous", func(t *testing.T) {
		t.Parallel()
		failover(t, func(p *dbtest.Server) *dbtest.Server { return p.Standby(t) }, func(_, _ *dbtest.Server) {})
	})
	t.Run("asynchronous", func(t *testing.T) {
		t.Parallel()
		failover(t, func(p *dbtest.Server) *dbtest.Server { return p.LateStandby(t) },
			func(primary, standby *dbtest.Server) { primary.Forget(t, standby) })
	})
}

// newMariaDBRemovals is newRemovals on MariaDB. The user app has the right to delete from
// each table separately, because only then a connection learns that it has lost it.
func newMariaDBRemovals(t *testing.T, messages int) *removals {
	server := dbtest.NewMariaDB(t)
	r := &removals{server: server, url: server.Database(t), got: make(chan taken, 1000)}
	if _, err := db.Init(t.Context(), r.url, db.Options{}); err != nil {
		t.Fatal(err)
	}
	r.admin(t, "CREATE USER app@'127.0.0.1'", "GRANT SELECT, INSERT, UPDATE, CREATE, INDEX ON test1.* TO app@'127.0.0.1'")
	pool := r.open(t)
	rows, err := pool.QueryContext(t.Context(), "SHOW TABLES")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	rows.Close()
	for _, name := range tables {
		r.admin(t, "GRANT DELETE ON "+name+" TO app@'127.0.0.1'")
	}
	r.served = serve(t, "db.url = '"+strings.Replace(r.url, "root@", "app@", 1)+"'")
	r.store(t, messages)
	return r
}

// open returns a pool of connections of the database's superuser.
func (r *removals) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, dsn := "postgres", r.url
	if rest, ok := strings.CutPrefix(r.url, "mysql://root@"); ok {
		host, name, _ := strings.Cut(rest, "/")
		driver, dsn = "mysql", "root@tcp("+host+")/"+name
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

// hold executes statements on a connection, which stays open until the end of the fault.
func (r *removals) hold(t *testing.T, statements ...string) (end func()) {
	t.Helper()
	c, err := r.open(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		if _, err := c.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return func() {
		_, _ = c.ExecContext(t.Context(), "ROLLBACK")
		_, _ = c.ExecContext(t.Context(), "UNLOCK TABLES")
		c.Close()
	}
}

// mariaFaults are faults of a MariaDB server, each with its end.
var mariaFaults = map[string]func(t *testing.T, r *removals) (end func()){
	"frozen": func(_ *testing.T, r *removals) func() { r.server.Freeze(); return r.server.Thaw },
	"killed": func(t *testing.T, r *removals) func() { r.server.Kill(); return func() { r.server.Start(t) } },
	"no right to delete": func(t *testing.T, r *removals) func() {
		r.admin(t, "REVOKE DELETE ON silo FROM app@'127.0.0.1'")
		return func() { r.admin(t, "GRANT DELETE ON silo TO app@'127.0.0.1'") }
	},
	"read-only": func(t *testing.T, r *removals) func() {
		r.admin(t, "SET GLOBAL read_only = 1")
		return func() { r.admin(t, "SET GLOBAL read_only = 0") }
	},
	"rows locked": func(t *testing.T, r *removals) func() {
		return r.hold(t, "START TRANSACTION", "UPDATE silo SET ctype = 'text/x' WHERE username = 'bob'")
	},
	"table locked": func(t *testing.T, r *removals) func() { return r.hold(t, "LOCK TABLES silo WRITE") },
	"no connections": func(t *testing.T, r *removals) func() {
		admin, err := r.open(t).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		run := func(text string) { _, _ = admin.ExecContext(t.Context(), text) }
		run("SET GLOBAL max_connections = 10")
		others := r.open(t)
		for range 3 {
			run("KILL USER app")
			for range 11 {
				_, _ = others.Conn(t.Context())
			}
		}
		return func() {
			run("SET GLOBAL max_connections = 100")
			others.Close()
		}
	},
}

// No fault of a MariaDB server makes a message arrive twice, and none that was accepted
// meanwhile is lost.
func TestMariaDBFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range mariaFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newMariaDBRemovals(t, 40)
			l := r.newLedger(0)
			ended := make(chan struct{})
			phone := r.device("phone", func(n int) {
				if n == 5 {
					end := fault(t, r)
					time.AfterFunc(12*time.Second, func() { end(); close(ended) })
				}
			})
			time.Sleep(time.Second)
			phone.seq++
			_, _ = io.WriteString(phone.conn, phone.request("REGISTER", "sip:127.0.0.1", phone.aor, "", "Expires: 300"))
			<-ended
			r.check(t, r.empty, "phone")
			l.check(t)
		})
	}
}
