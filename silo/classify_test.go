package silo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/silo"
	"silod/sip"
)

func TestClassify(t *testing.T) {
	settings := reminderSettings(t)
	settings.SendAt = template(t, "$hdr(X-At)")
	settings.Ephemeral = func(contentType string) bool { return strings.HasPrefix(contentType, "application/im-iscomposing") }
	off := settings
	off.Remind = 0
	const typing = "Content-Type: application/im-iscomposing+xml"
	one := noon.Add(time.Hour)
	for _, tc := range []struct {
		name     string
		settings silo.Settings
		every    bool
		fields   []string
		want     silo.Class
	}{
		{"text", settings, false, nil, silo.Class{Keep: true}},
		{"defaults", silo.Settings{}, false, []string{typing, "X-At: 20261121130000"}, silo.Class{Keep: true}},
		{"to every device", settings, true, nil, silo.Class{Keep: true, Copies: true}},
		{"typing", settings, false, []string{typing}, silo.Class{NowOnly: true}},
		{"typing to every device", settings, true, []string{typing}, silo.Class{NowOnly: true, Copies: true}},
		{"Expires: 0", settings, false, []string{"Expires: 0"}, silo.Class{Keep: true, NowOnly: true}},
		{"Expires: 1", settings, false, []string{"Expires: 1"}, silo.Class{Keep: true}},
		{"unreadable Expires", settings, false, []string{"Expires: -"}, silo.Class{Keep: true}},
		{"reminder", settings, false, []string{"X-At: 20261121130000"}, silo.Class{Keep: true, SendAt: one}},
		{"reminder, RFC 3339", settings, false, []string{"X-At: 2026-11-21T14:00:00+01:00"}, silo.Class{Keep: true, SendAt: one}},
		{"reminder to every device", settings, true, []string{"X-At: 20261121130000"}, silo.Class{Keep: true, Copies: true, SendAt: one}},
		{"reminder with Expires: 0", settings, false, []string{"X-At: 20261121130000", "Expires: 0"}, silo.Class{Keep: true, NowOnly: true, SendAt: one}},
		{"typing at a time", settings, false, []string{typing, "X-At: 20261121130000"}, silo.Class{NowOnly: true, SendAt: one}},
		{"time in the past", settings, false, []string{"X-At: 20261121120000"}, silo.Class{Keep: true}},
		{"unreadable time", settings, false, []string{"X-At: tomorrow"}, silo.Class{Keep: true, Err: silo.ErrTime}},
		{"no reminders", off, false, []string{"X-At: tomorrow"}, silo.Class{Keep: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBox(t, tc.settings, func(o *silo.Options) { o.Every = tc.every })
			in := text("x", tc.fields...)
			got := b.Classify(in)
			if !got.SendAt.Equal(tc.want.SendAt) || !errors.Is(got.Err, tc.want.Err) {
				t.Errorf("at %v, %v, want %v, %v", got.SendAt, got.Err, tc.want.SendAt, tc.want.Err)
			}
			got.SendAt = tc.want.SendAt
			if got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if !in.SendAt.IsZero() {
				t.Error("the message was written to")
			}
		})
	}
}

func TestDiscards(t *testing.T) {
	settings := noticeSettings(t)
	settings.Reminder, settings.Remind = "sip:reminder@example.org", time.Minute
	settings.Discard = func(contentType string) bool { return contentType == "message/imdn+xml" }
	fromMessage := settings
	fromMessage.NoticeFromFixed = false
	for _, tc := range []struct {
		name, user, contentType string
		settings                silo.Settings
		want                    bool
	}{
		{"text", "bob", "text/plain", settings, false},
		{"type that is discarded", "bob", "message/imdn+xml", settings, true},
		{"address of notices", "registrar", "text/plain", settings, true},
		{"address of notices, taken from the message", "registrar", "text/plain", fromMessage, false},
		{"address of reminders", "reminder", "text/plain", settings, true},
		{"defaults", "registrar", "message/imdn+xml", silo.Settings{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBox(t, tc.settings)
			in := text("x", "Content-Type: "+tc.contentType)
			in.Owner.User = tc.user
			if got := b.Discards(in); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A message from Send is delivered unchanged if the recipient is online.
func TestSend(t *testing.T) {
	b := newBox(t, silo.Settings{AddDate: true})
	b.register(bob)
	to := sip.AoR{User: "carol", Domain: "elsewhere.example"}
	hello := *text("hello").Message
	refused, err := b.Send(t.Context(), []im.Outgoing{{To: bob, Message: hello}, {To: bob}, {To: to, Message: hello}})
	if err != nil || len(refused) != 3 || refused[0] != nil || !errors.Is(refused[1], silo.ErrEmpty) || refused[2] != nil {
		t.Fatalf("refused %v, error %v", refused, err)
	}
	if got := bodies(b.waiting(bob)); len(got) != 1 || got[0] != "hello" {
		t.Errorf("bob gets %q", got)
	}
	if got := bodies(b.waiting(to)); len(got) != 1 || got[0] != prefix+"hello" {
		t.Errorf("carol gets %q", got)
	}
	if len(b.woken) != 1 || b.woken[0] != bob {
		t.Errorf("woken: %v", b.woken)
	}
}
