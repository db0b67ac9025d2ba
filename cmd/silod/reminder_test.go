package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver

	"silod/mi"
)

// A reminder is delivered once at its time, to a user who is online and to one who is
// offline, also after a restart.
func TestReminders(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), append(reminders, "silo.add_date = 1")...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	soon := time.Now().UTC().Add(6 * time.Second)
	if got := a.message(bob, "milk", "X-Send-At: "+soon.Format("20060102150405")); got != 202 {
		t.Errorf("answered %d", got)
	}
	if got := a.message("sip:carol@127.0.0.1", "bread", "X-Send-At: "+soon.In(time.FixedZone("", 7200)).Format(time.RFC3339)); got != 202 {
		t.Errorf("answered %d", got)
	}
	if got := a.message(bob, "x", "X-Send-At: tomorrow"); got != 400 {
		t.Errorf("a bad time: answered %d", got)
	}
	if got := a.message(bob, "at once", "X-Send-At: 20200101000000"); got != 200 {
		t.Errorf("a time that is over: answered %d", got)
	}
	if got := body(b.next()); got != "at once" {
		t.Errorf("got %q", got)
	}
	if n := s.call("silo_list"); len(n.Nodes) != 0 {
		t.Errorf("%d messages wait", len(n.Nodes))
	}
	s = s.restart(append(reminders, "silo.add_date = 1")...)
	m := b.next()
	if want := "[Reminder message - " + soon.Format(time.ANSIC) + "] milk"; body(m) != want || !strings.HasPrefix(header(m, "From"), "<sip:reminder@127.0.0.1>") {
		t.Errorf("reminded by\n%s", m)
	}
	if time.Now().Before(soon.Truncate(time.Second)) {
		t.Error("too early")
	}
	s.eventually("the statistic", func() bool { return s.stat("msilo:dumped_reminders") == 1 })
	c := s.phone("udp", "carol")
	c.register(300)
	if got := body(c.next()); !strings.HasSuffix(got, "] bread") {
		t.Errorf("got %q", got)
	}
	b.nothing()
	c.nothing()
	if got := status(b.ask(b.request("MESSAGE", "sip:reminder@127.0.0.1", "sip:reminder@127.0.0.1", "thanks", "Content-Type: text/plain"))); got != 200 {
		t.Errorf("thanks are answered %d", got)
	}
	if got := [3]int64{s.stat("msilo:dumped_reminders"), s.stat("msilo:failed_reminders"), s.stat("msilo:dumped_messages")}; got != [3]int64{2, 0, 0} {
		t.Errorf("statistics %v", got)
	}
}

// siloctl adds reminders by a management command.
func TestReminderByCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, reminders...)
	b := s.phone("udp", "bob")
	b.register(300)
	s.call("silo_remind", "bob@127.0.0.1", time.Now().Add(2*time.Second).UTC().Format(time.RFC3339), "tea")
	n := s.call("silo_remind", "bob@127.0.0.1", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "never mind")
	s.call("silo_delete", fmt.Sprint(n.Nodes[0].Value))
	if got := body(b.next()); got != "tea" {
		t.Errorf("got %q", got)
	}
}

// The statistics of msilo count each event.
func TestStatistics(t *testing.T) {
	t.Parallel()
	s := serve(t, append(reminders, "sip.accept_timeout = '2s'")...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	want := func(what string, stored, dumped, failed, dumpedReminders, failedReminders int64) {
		t.Helper()
		get := func() []int64 {
			var v []int64
			for _, name := range []string{"stored_messages", "dumped_messages", "failed_messages", "dumped_reminders", "failed_reminders"} {
				v = append(v, s.stat("msilo:"+name))
			}
			return v
		}
		end := time.Now().Add(patience)
		w := []int64{stored, dumped, failed, dumpedReminders, failedReminders}
		for !slices.Equal(get(), w) && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
		if got := get(); !slices.Equal(got, w) {
			t.Fatalf("%s: %v, want %v", what, got, w)
		}
	}
	want("at the start", 0, 0, 0, 0, 0)
	b.register(300)
	a.message(bob, "relayed")
	b.next()
	want("relayed", 0, 0, 0, 0, 0)
	b.register(0)
	a.message(bob, "1")
	a.message(bob, "2")
	want("stored", 2, 0, 0, 0, 0)
	b.autoReply.Store(486)
	b.register(300)
	b.next()
	want("busy", 2, 0, 1, 0, 0)
	b.autoReply.Store(200)
	b.register(300)
	b.next()
	b.next()
	want("delivered", 2, 2, 1, 0, 0)
	s.settled()
	b.autoReply.Store(0)
	a.message(bob, "late")
	b.reply(b.next(), 200) // after silod has stopped waiting for the relay
	want("late answer", 3, 3, 1, 0, 0)
	s.settled()
	b.autoReply.Store(603)
	a.message(bob, "x", "X-Send-At: "+time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339))
	b.next()
	want("a reminder is declined", 4, 3, 1, 0, 1)
	b.autoReply.Store(200)
	a.message(bob, "x", "X-Send-At: "+time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339))
	b.next()
	want("a reminder is delivered", 5, 3, 1, 1, 1)
	if got := s.call("get_statistics", "msilo:"); len(got.Nodes) < 5 {
		t.Errorf("get_statistics gives %+v", got)
	}
	s.call("reset_statistics", "stored_messages")
	want("reset", 0, 3, 1, 1, 1)
}

// A declined message is set aside and listed, and silo_requeue delivers it.
func TestSetAsideAndRequeue(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(bob, "1")
	a.message(bob, "2")
	b.autoReply.Store(0)
	b.register(300)
	b.reply(b.next(), 603)
	b.reply(b.next(), 200)
	s.settled()
	n := s.call("silo_list", "bob@127.0.0.1")
	if len(n.Nodes) != 1 || attr(n.Nodes[0], "stuck") != "603 Test" {
		t.Fatalf("set aside: %+v", n.Nodes)
	}
	s.call("silo_requeue", attr(n.Nodes[0], "id"))
	m := b.next()
	b.reply(m, 200)
	if body(m) != "1" {
		t.Errorf("got %q", body(m))
	}
	s.eventually("the row's end", func() bool { return s.stored() == 0 })
}

func attr(n *mi.Node, name string) string {
	for _, a := range n.Attrs {
		if a.Name == name {
			return fmt.Sprint(a.Value)
		}
	}
	for _, c := range n.Nodes {
		if c.Name == name {
			return fmt.Sprint(c.Value)
		}
	}
	return ""
}

// As with m_store(owner) and m_dump(owner), several addresses share a mailbox.
func TestExplicitOwner(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.store_owner = '$hdr(X-Mailbox)'", "silo.dump_owner = '$hdr(X-Mailbox)'")
	a, desk := s.phone("udp", "alice"), s.phone("udp", "desk")
	if got := a.message("sip:sales@127.0.0.1", "order", "X-Mailbox: sip:shop@127.0.0.1"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	if n := s.call("silo_list", "shop@127.0.0.1"); len(n.Nodes) != 1 {
		t.Errorf("the shop's mailbox has %d", len(n.Nodes))
	}
	contact := fmt.Sprintf("Contact: <sip:desk@%s>", desk.conn.LocalAddr())
	register := func(expires int) {
		t.Helper()
		if got := desk.ask(desk.request("REGISTER", "sip:127.0.0.1", "sip:desk@127.0.0.1", "", contact, "X-Mailbox: shop", "Expires: "+strconv.Itoa(expires))); status(got) != 200 {
			t.Fatal(got)
		}
	}
	register(300)
	if m := desk.next(); body(m) != "order" || header(m, "To") != "<sip:sales@127.0.0.1>" {
		t.Errorf("got\n%s", m)
	}
	s.settled()
	// While the desk is registered, messages are delivered immediately.
	a.message("sip:sales@127.0.0.1", "another", "X-Mailbox: sip:shop@127.0.0.1")
	if m := desk.next(); body(m) != "another" {
		t.Errorf("got\n%s", m)
	}
	s.settled()
	desk.ask(desk.request("REGISTER", "sip:127.0.0.1", "sip:desk@127.0.0.1", "", "Contact: *", "Expires: 0"))
	if got := a.message("sip:sales@127.0.0.1", "late", "X-Mailbox: sip:shop@127.0.0.1"); got != 202 {
		t.Errorf("answered %d", got)
	}
	// If the mailbox is in another domain, the recipient's is used.
	a.message(bob, "x", "X-Mailbox: sip:shop@elsewhere.example")
	if n := s.call("silo_list", "bob@127.0.0.1"); len(n.Nodes) != 1 {
		t.Errorf("bob's mailbox has %d", len(n.Nodes))
	}
	desk.nothing()
}

// The silo uses another database, table and columns.
func TestTableAndColumns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "other.db")
	lines := []string{"silo.db_url = 'sqlite:" + file + "'", "silo.db_table = 'mailbox'"}
	var columns []string
	for _, name := range []string{
		"mid", "from", "to", "uri_user", "uri_host", "body", "ctype", "exp_time", "inc_time", "snd_time", "stored_hdrs", "callid",
	} {
		columns = append(columns, "my_"+name)
		lines = append(lines, fmt.Sprintf("silo.sc_%s = 'my_%s'", name, name))
	}
	long := strings.TrimSpace(strings.Repeat("long ", 300))
	s := serveIn(t, t.TempDir(), fixedPort(t), lines...)
	a := s.phone("udp", "alice")
	a.message(bob, "hello", "Subject: "+long)
	other, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var n int
	if err := other.QueryRow("SELECT COUNT(" + strings.Join(columns, ") + COUNT(") + ") FROM mailbox").Scan(&n); err != nil || n != len(columns) {
		t.Errorf("%d of %d columns are in use, %v", n, len(columns), err)
	}
	s = s.restart(lines...)
	b := s.phone("udp", "bob")
	b.register(300)
	if m := b.next(); body(m) != "hello" || header(m, "Subject") != long {
		t.Errorf("got\n%s", m)
	}
}

// A phone that always rejects one message gets the others.
func TestOddMessage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	for _, text := range []string{"1", "odd", "2"} {
		a.message(bob, text)
	}
	b.autoReply.Store(0)
	answers := func(m string) int {
		switch {
		case strings.HasPrefix(m, "OPTIONS "):
			return 200
		case body(m) == "odd":
			return 500
		}
		return 200
	}
	var got []string
	b.register(300)
	for end := time.Now().Add(3 * patience); len(got) < 2 && time.Now().Before(end); {
		select {
		case m := <-b.requests:
			b.reply(m, answers(m))
			if answers(m) == 200 {
				got = append(got, body(m))
			}
		case <-time.After(100 * time.Millisecond):
			b.register(300) // a refresh starts the next attempt
		}
	}
	if !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("delivered: %q", got)
	}
}
