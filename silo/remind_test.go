package silo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/delivery"
	"silod/mi"
	"silod/silo"
	"silod/sip"
)

// reminderSettings returns settings with reminders enabled.
func reminderSettings(t *testing.T) silo.Settings {
	return silo.Settings{
		Reminder: "sip:reminder@example.org", Remind: time.Millisecond, SendAt: template(t, "$hdr(X-Send-At)"), AddDate: true,
	}
}

func TestTimeOfAReminder(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	s := reminderSettings(t)
	s.Zone = rome
	b := newBox(t, s)
	for _, tc := range []struct {
		text, want string // want: a time in UTC, "" for now, or "bad"
	}{
		{"", ""},
		{"20261121140000", "2026-11-21T13:00:00Z"}, // UTC+1 in winter
		{"20270701140000", "2027-07-01T12:00:00Z"}, // UTC+2 in summer
		{"20270328023000", "2027-03-28T01:30:00Z"}, // does not exist: clocks go forward
		{"20261121120000", ""},                     // past
		{"2026-11-21T14:00:00+02:00", ""},          // now
		{"2026-11-21T14:00:01+02:00", "2026-11-21T12:00:01Z"},
		{"2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"2027-01-01T00:00:00.5Z", "2027-01-01T00:00:00.5Z"},
		{"2027-01-01 00:00:00", "bad"},
		{"20271301000000", "bad"},
		{"202701010000", "bad"},
		{"tomorrow", "bad"},
	} {
		in := text("x")
		if tc.text != "" {
			in = text("x", "Content-Type: text/plain", "X-Send-At: "+tc.text)
		}
		class := b.Classify(in)
		at, err := class.SendAt, class.Err
		got := ""
		switch {
		case errors.Is(err, silo.ErrTime):
			got = "bad"
		case err != nil:
			t.Error(err)
		case !at.IsZero():
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != tc.want {
			t.Errorf("%q: %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestRemindersDisabled(t *testing.T) {
	in := text("x", "Content-Type: text/plain", "X-Send-At: 20270101000000")
	for name, change := range map[string]func(*silo.Settings){
		"reminder is not set":     func(s *silo.Settings) { s.Reminder = "" },
		"send_time is 0":          func(s *silo.Settings) { s.Remind = 0 },
		"snd_time_avp is not set": func(s *silo.Settings) { s.SendAt = nil },
	} {
		s := reminderSettings(t)
		change(&s)
		if c := newBox(t, s).Classify(in); !c.SendAt.IsZero() || c.Err != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestReminder(t *testing.T) {
	b := newBox(t, reminderSettings(t))
	in := text("remember", "Content-Type: text/plain;charset=utf-8", "Subject: milk", "Expires: 600")
	in.SendAt = noon.Add(time.Hour)
	b.put(in)
	in = text("to Bob, who does not register")
	in.SendAt = noon.Add(1000 * time.Hour)
	b.put(in)
	if n := len(b.waiting(bob)); n != 0 {
		t.Fatalf("%d reminders are delivered before their time", n)
	}
	// An hour later, in another process.
	b.sleep(time.Hour)
	b.register(bob)
	b.run(func() bool { return len(b.waiting(bob)) == 1 })
	it := b.waiting(bob)[0]
	if got := string(it.Body); got != "[Reminder message - Sat Nov 21 13:00:00 2026] remember" {
		t.Errorf("body %q", got)
	}
	if !strings.HasPrefix(it.From, "<sip:reminder@example.org>;tag=") || it.To != "<sip:bob@example.org>" || it.CallID == "call-1@host" {
		t.Errorf("it is %+v", it)
	}
	if it.Header("Subject") != "milk" || it.Header("Content-Type") != "text/plain;charset=utf-8" || it.Header("X-Silod-Reminder") != "" {
		t.Errorf("its fields are %q", it.Headers)
	}
	if got := it.Expires.Sub(noon); got != time.Hour+10*time.Minute {
		t.Errorf("it lives until %v", it.Expires)
	}
	if !slices.Equal(b.woken, []sip.AoR{bob}) {
		t.Errorf("woken: %v", b.woken)
	}
	again := b.waiting(bob)[0]
	if again.CallID != it.CallID || again.From != it.From || string(again.Body) != string(it.Body) {
		t.Error("the next attempt sends another message")
	}
	by := b.WrapSender(&recorder{out: delivery.Outcome{Verdict: delivery.Undelivered}})
	by.Send(t.Context(), bob, &it).Wait(t.Context())
	settle(t, b.Service, bob, &it, delivery.Outcome{Verdict: delivery.Delivered})
	b.wantStats(map[string]int64{"stored_messages": 2, "dumped_reminders": 1, "failed_reminders": 1})
	// Only once.
	b.sleep(time.Hour)
	ran := 0
	b.run(func() bool { ran++; return ran > 10 })
	if n := len(b.waiting(bob)); n != 0 {
		t.Errorf("%d are delivered again", n)
	}
}

func TestReminderTooFarAhead(t *testing.T) {
	b := newBox(t, reminderSettings(t))
	in := text("x")
	in.SendAt = time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC)
	if _, err := b.Put(t.Context(), in); !errors.Is(err, silo.ErrTooFar) {
		t.Errorf("got %v", err)
	}
}

// A reminder that Kamailio stored has the From of its sender and no other IDs.
func TestReminderOfKamailio(t *testing.T) {
	b := newBox(t, reminderSettings(t))
	m := &silo.Message{Owner: bob, Src: "sip:alice@example.org", Dst: "sip:bob@example.org", Stored: noon, Expires: noon.Add(time.Hour), SendAt: noon}
	m.From, m.To, m.Body = "<sip:alice@example.org>", "<sip:bob@example.org>", []byte("x")
	m.Headers = []sip.Header{{Name: "Content-Type", Value: "text/plain"}}
	if err := b.store.Add(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.run(func() bool { return len(b.waiting(bob)) == 1 })
	if it := b.waiting(bob)[0]; !strings.HasPrefix(it.From, "<sip:reminder@example.org>") || string(it.Body) != "[Reminder message - Sat Nov 21 12:00:00 2026] x" {
		t.Errorf("it is %+v", it)
	}
}

// Reminders are sent in the order of their times.
func TestManyReminders(t *testing.T) {
	b := newBox(t, reminderSettings(t))
	var want []string
	for i := range 250 {
		in := text(string(rune('a'+i%26)), "Content-Type: x/y")
		in.SendAt = noon.Add(time.Duration(i+1) * time.Second)
		b.put(in)
		want = append(want, string(in.Message.Body))
	}
	b.sleep(time.Hour)
	n := func() int {
		items, err := b.Next(t.Context(), bob, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(items)
	}
	b.run(func() bool { return n() == 250 })
	items, _ := b.Next(t.Context(), bob, 0, 1000)
	if got := bodies(items); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// command runs a management command.
func (b *box) command(name string, args ...mi.Arg) (*mi.Node, error) {
	b.t.Helper()
	for _, c := range b.Commands() {
		if c.Name == name {
			return c.Run(b.t.Context(), &mi.Request{Command: name, Args: args})
		}
	}
	b.t.Fatalf("there is no command %s", name)
	return nil, nil
}

func values(vs ...string) []mi.Arg {
	args := make([]mi.Arg, len(vs))
	for i, v := range vs {
		args[i].Value = v
	}
	return args
}

func TestRemindByCommand(t *testing.T) {
	b := newBox(t, reminderSettings(t))
	for _, tc := range []struct {
		args []string
		code int
	}{
		{[]string{"bob", "20261121130000", "milk"}, 0},
		{[]string{"sip:bob@example.org", "2026-11-21T13:00:00Z", "bread"}, 0},
		{[]string{"bob", "20261121110000", "too late"}, 400},
		{[]string{"bob", "tomorrow", "x"}, 400},
		{[]string{"bob", "20380119000000", "x"}, 400},
		{[]string{"bob", "20261121130000", ""}, 400},
		{[]string{"bob@elsewhere.example", "20261121130000", "x"}, 403},
		{[]string{"@", "20261121130000", "x"}, 400},
	} {
		_, err := b.command("silo_remind", values(tc.args...)...)
		if refusal, ok := errors.AsType[*mi.Error](err); ok {
			if refusal.Code != tc.code {
				t.Errorf("%q: %v", tc.args, err)
			}
		} else if err != nil || tc.code != 0 {
			t.Errorf("%q: %v, want %d", tc.args, err, tc.code)
		}
	}
	n, err := b.command("silo_list", mi.Arg{Name: "owner", Value: "bob"}, mi.Arg{Name: "reminders", Value: "true"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for row, err := range n.Stream {
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range row.Attrs {
			if a.Name == "send_at" || a.Name == "from" {
				got = append(got, a.Value.(string))
			}
		}
	}
	if want := []string{"sip:reminder@example.org", "2026-11-21T13:00:00Z"}; !slices.Equal(got, append(want, want...)) {
		t.Errorf("listed %q", got)
	}
	b.sleep(2 * time.Hour)
	b.run(func() bool { return len(b.waiting(bob)) == 2 })
	if got := bodies(b.waiting(bob)); !slices.Equal(got, []string{
		"[Reminder message - Sat Nov 21 13:00:00 2026] milk", "[Reminder message - Sat Nov 21 13:00:00 2026] bread",
	}) {
		t.Errorf("delivered %q", got)
	}

	off := newBox(t, silo.Settings{})
	if _, err := off.command("silo_remind", values("bob", "20261121130000", "x")...); err == nil || !strings.Contains(err.Error(), "silo.send_time") {
		t.Errorf("without reminders: %v", err)
	}
}

// m_store(owner) and m_dump(owner) as commands.
func TestExplicitOwnerByCommand(t *testing.T) {
	b := newBox(t, silo.Settings{})
	if _, err := b.command("silo_send", values("alice", "bob", "hello", "sip:carol@example.org")...); err != nil {
		t.Fatal(err)
	}
	carol := sip.AoR{User: "carol", Domain: "example.org"}
	items := b.waiting(carol)
	if len(items) != 1 || items[0].To != "<sip:bob@example.org>" || !strings.HasPrefix(items[0].From, "<sip:alice@example.org>") {
		t.Fatalf("carol's mailbox has %+v", items)
	}
	var refusal *mi.Error
	if _, err := b.command("silo_dump", values("carol")...); !errors.As(err, &refusal) || refusal.Code != 480 {
		t.Errorf("dump of an offline user: %v", err)
	}
	b.register(carol)
	if _, err := b.command("silo_dump", values("carol")...); err != nil || !slices.Equal(b.woken, []sip.AoR{carol}) {
		t.Errorf("woken %v, %v", b.woken, err)
	}
	for _, args := range [][]string{{"alice", "bob", ""}, {"alice", "bob", "x", "carol@elsewhere.example"}, {"@", "bob", "x"}, {"alice", "bob@elsewhere.example", "x"}} {
		if _, err := b.command("silo_send", values(args...)...); !errors.As(err, &refusal) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
