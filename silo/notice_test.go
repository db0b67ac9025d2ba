package silo_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/config"
	"silod/delivery"
	"silod/silo"
	"silod/sip"
)

// template parses a template as the configuration does.
func template(t *testing.T, s string) silo.Template {
	t.Helper()
	c, err := config.ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return c.Expand
}

func fields(t *testing.T, s string) silo.Fields {
	t.Helper()
	var h config.HeaderTemplate
	if err := h.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return h.Expand
}

// noticeSettings returns the settings of the sample in msilo's documentation.
func noticeSettings(t *testing.T) silo.Settings {
	return silo.Settings{
		NoticeFrom:      template(t, "sip:registrar@$rd"),
		NoticeText:      template(t, "*** User $rU is offline!"),
		NoticeFields:    fields(t, "Contact: <sip:registrar@example.org>;msilo=yes\r\nContent-Type: text/plain\r\n"),
		NoticeFromFixed: true, NoticeEvery: time.Hour, UseContact: true,
	}
}

// storeAndNotify stores a message and notifies its sender.
func (b *box) storeAndNotify(in *silo.Incoming) {
	b.t.Helper()
	b.NotifySender(b.t.Context(), in, b.put(in), true)
}

func TestNotice(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	b.storeAndNotify(text("hello"))
	got := b.notices(alice)
	if len(got) != 1 {
		t.Fatalf("%d notices", len(got))
	}
	m := got[0]
	if !strings.HasPrefix(m.From, "<sip:registrar@example.org>;tag=") || m.To != "<sip:alice@example.org>" || m.CallID == "" ||
		m.CSeq != 1 || string(m.Body) != "*** User bob is offline!" || m.Contact != "" {
		t.Errorf("the notice is %+v", m)
	}
	if want := []sip.Header{
		{Name: "Contact", Value: "<sip:registrar@example.org>;msilo=yes"}, {Name: "Content-Type", Value: "text/plain"},
	}; !slices.Equal(m.Headers, want) {
		t.Errorf("its fields are %q", m.Headers)
	}
	if !slices.Equal(b.called, []sip.AoR{alice}) {
		t.Errorf("woken: %v", b.called)
	}
	settle(t, b.Notices(), alice, &got[0], delivery.Outcome{Verdict: delivery.Refused})
	if n := len(b.notices(alice)); n != 0 {
		t.Errorf("%d notices are left", n)
	}
	b.wantStats(map[string]int64{"stored_messages": 1, "notices": 1})
}

// Messages that cause no notice.
func TestNoNotice(t *testing.T) {
	own := sip.AoR{User: "registrar", Domain: "example.org"}
	reminder := sip.AoR{User: "reminder", Domain: "example.org"}
	b := newBox(t, silo.Settings{})
	for name, tc := range map[string]struct {
		settings func(*silo.Settings)
		in       func() *silo.Incoming
	}{
		"no address":           {settings: func(s *silo.Settings) { s.NoticeFrom = nil }},
		"no text":              {settings: func(s *silo.Settings) { s.NoticeText = nil }},
		"address is not a URI": {settings: func(s *silo.Settings) { s.NoticeFrom = template(t, "registrar") }},
		"typing":               {in: func() *silo.Incoming { return text("x", "Content-Type: application/im-iscomposing+xml") }},
		"receipt":              {in: func() *silo.Incoming { return text("x", "Content-Type: message/imdn+xml", "Content-Encoding: deflate") }},
		"receipt as text":      {in: func() *silo.Incoming { return text("x", "Content-Type: text/plain", "Content-Encoding: deflate") }},
		"receipt in CPIM": {in: func() *silo.Incoming {
			return text("A: b\n\nContent-Type: message/imdn+xml\n\n", "Content-Type: message/cpim")
		}},
		"picture":               {in: func() *silo.Incoming { return text("x", "Content-Type: image/png") }},
		"room or no name":       {in: func() *silo.Incoming { in := text("x"); in.Sender = sip.AoR{}; return in }},
		"notice":                {in: func() *silo.Incoming { in := text("x"); in.Sender = own; return in }},
		"reminder":              {settings: func(s *silo.Settings) { s.Reminder = "sip:reminder@example.org" }, in: func() *silo.Incoming { in := text("x"); in.Sender = reminder; return in }},
		"notice from elsewhere": {in: func() *silo.Incoming { in := text("x"); in.Message.CallID = "silo-notice-1-2@x"; return in }},
		"new reminder":          {in: func() *silo.Incoming { in := text("x"); in.SendAt = noon.Add(time.Hour); return in }},
	} {
		t.Run(name, func(t *testing.T) {
			s := noticeSettings(t)
			if tc.settings != nil {
				tc.settings(&s)
			}
			in := text("hello")
			if tc.in != nil {
				in = tc.in()
			}
			in.Owner.User = name
			b.Configure(s)
			b.storeAndNotify(in)
			if len(b.called) != 0 || len(b.notices(in.Sender)) != 0 {
				t.Errorf("notice for %v", b.called)
			}
		})
	}
}

func TestNoticeForTextInCPIM(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	b.storeAndNotify(text("From: <sip:alice@example.org>\r\n\r\nContent-Type: text/plain\r\n\r\nhi", "Content-Type: message/cpim"))
	if n := len(b.notices(alice)); n != 1 {
		t.Errorf("%d notices", n)
	}
}

func TestNoticeOnlyIfUnreachable(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	in := text("hello")
	b.NotifySender(t.Context(), in, b.put(in), false)
	if n := len(b.notices(alice)); n != 0 {
		t.Errorf("%d notices", n)
	}
}

func TestNoticeInterval(t *testing.T) {
	b := newBox(t, noticeSettings(t))
	carol := sip.AoR{User: "carol", Domain: "example.org"}
	count := func(want int, in *silo.Incoming) {
		t.Helper()
		b.storeAndNotify(in)
		if n := int(b.stats()["notices"]); n != want {
			t.Fatalf("%d notices, want %d", n, want)
		}
	}
	toCarol, fromCarol := text("x"), text("x")
	toCarol.Owner, fromCarol.Sender = carol, carol
	count(1, text("1"))
	count(1, text("2"))
	count(2, toCarol)
	count(3, fromCarol)
	b.sleep(59 * time.Minute)
	count(3, text("3"))
	b.sleep(time.Minute)
	count(4, text("4"))
	if n := b.stats()["suppressed_notices"]; n != 2 {
		t.Errorf("%d were suppressed", n)
	}
}

// Two clients that answer every message do not exchange notices without end, even if
// notices come from the address of a user.
func TestNoticesNeverLoop(t *testing.T) {
	s := noticeSettings(t)
	s.NoticeFrom, s.NoticeFromFixed, s.NoticeEvery = template(t, "$ru"), false, 0
	b := newBox(t, s)
	for range 100 {
		b.storeAndNotify(text("hello"))
		answer := text("I am away")
		answer.Owner, answer.Sender, answer.Message.From, answer.URI = alice, bob, "<sip:bob@example.org>;tag=b", "sip:alice@example.org"
		b.storeAndNotify(answer)
		b.sleep(100 * time.Millisecond)
	}
	if n := b.stats()["notices"]; n != 2 {
		t.Errorf("%d notices were sent", n)
	}
	b.wantDiscarded(text("x"), false) // the mailbox of a user
}

func (b *box) wantDiscarded(in *silo.Incoming, want bool) {
	b.t.Helper()
	if got := b.Discards(in); got != want {
		b.t.Errorf("to %s: discarded %v", in.Owner, got)
	}
}

func TestServiceAddressesDiscard(t *testing.T) {
	s := noticeSettings(t)
	s.Reminder = "sip:reminder@example.org:5070"
	s.Discard = config.MediaTypes{"application/x-junk", "image/*"}.Match
	b := newBox(t, s)
	to := func(user string, fields ...string) *silo.Incoming {
		in := text("x", fields...)
		in.Owner = sip.AoR{User: user, Domain: "example.org"}
		in.URI = in.Owner.String()
		return in
	}
	b.wantDiscarded(to("registrar"), true)
	b.wantDiscarded(to("registrar", "Content-Type: message/imdn+xml"), true)
	b.wantDiscarded(to("reminder"), true)
	b.wantDiscarded(to("Registrar"), false)
	b.wantDiscarded(to("bob"), false)
	b.wantDiscarded(to("bob", "Content-Type: image/png;x=y"), true)
	b.wantDiscarded(to("bob", "Content-Type: application/x-junk"), true)
	b.wantDiscarded(to("bob", "Content-Type: text/plain"), false)
}

func TestNoticeGoesToTheContact(t *testing.T) {
	in := text("x")
	in.Contact = `"A" <sip:alice@192.0.2.1:5070;transport=tcp>;x=y`
	b := newBox(t, noticeSettings(t))
	b.storeAndNotify(in)
	if got := b.notices(alice)[0].Contact; got != "sip:alice@192.0.2.1:5070;transport=tcp" {
		t.Errorf("contact %q", got)
	}
	s := noticeSettings(t)
	s.UseContact = false
	b = newBox(t, s)
	b.storeAndNotify(in)
	if got := b.notices(alice)[0].Contact; got != "" {
		t.Errorf("use_contact = 0: contact %q", got)
	}
}

// Memory for notices is limited, also for senders that do not exist.
func TestNoticesAreBounded(t *testing.T) {
	s := noticeSettings(t)
	b := newBox(t, s)
	for i := range 60_000 {
		in := text("x")
		in.Sender = sip.AoR{User: fmt.Sprint(i), Domain: "elsewhere.example"}
		b.NotifySender(t.Context(), in, int64(i), true)
	}
	if n := b.stats()["notices"]; n != 10_000 {
		t.Errorf("%d notices wait", n)
	}
	b.sleep(time.Minute) // the notices that wait expire
	in := text("x")
	in.Sender = sip.AoR{User: "last", Domain: "elsewhere.example"}
	b.NotifySender(t.Context(), in, 1, true)
	if n := b.stats()["notices"]; n != 10_000 {
		t.Errorf("%d notices, want none while the limiter is full", n)
	}
	b.sleep(time.Hour)
	b.NotifySender(t.Context(), in, 1, true)
	if n := b.stats()["notices"]; n != 10_001 {
		t.Errorf("%d notices, want one more: old entries are removed", n)
	}
}

// Each pseudo-variable, as the manual describes it.
func TestPseudoVariables(t *testing.T) {
	in := text("x", "Content-Type: text/plain", "Subject: About $us", "X-One: 1")
	in.URI = "sip:b%6fb@example.org:5060;transport=tcp"
	in.Message.From = `"A. \"L\" Ice" <sip:alice@home.example;x=y>;tag=1`
	in.Message.To = "Bob <sips:robert@work.example:5071>"
	in.Contact = "<sip:alice@192.0.2.1>"
	in.Source = netip.MustParseAddrPort("192.0.2.7:4711")
	s := noticeSettings(t)
	var lines []string
	for _, v := range config.Variables() {
		if v.Name != "hdr" {
			lines = append(lines, v.Name+":$"+v.Name)
		}
	}
	lines = append(lines, "$hdr(subject)|$hdr(X-One)|$hdr(From)|$hdr(None)", "$$")
	s.NoticeText = template(t, strings.Join(lines, "\n"))
	b := newBox(t, s)
	b.storeAndNotify(in)
	got := string(b.notices(alice)[0].Body)
	for _, line := range []string{
		"ru:sip:b%6fb@example.org:5060;transport=tcp", "rU:b%6fb", "rd:example.org",
		"tu:sips:robert@work.example:5071", "tU:robert", "td:work.example",
		"fu:sip:alice@home.example;x=y", "fU:alice", "fd:home.example", `fn:A. "L" Ice`,
		"ci:call-1@host", "ct:<sip:alice@192.0.2.1>", "si:192.0.2.7", "sp:4711", "rm:MESSAGE", fmt.Sprint("Ts:", noon.Unix()),
	} {
		if !strings.Contains("\n"+got, "\n"+line+"\n") {
			t.Errorf("%q is not in\n%s", line, got)
		}
	}
	if !strings.HasSuffix(got, `About $us|1|"A. \"L\" Ice" <sip:alice@home.example;x=y>;tag=1|`+"\n$") {
		t.Errorf("$hdr and $$ are\n%s", got)
	}
}
