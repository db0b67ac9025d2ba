package imc_test

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/imc"
	"silod/sip"
)

// written returns the text of a message.
func written(m im.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\nTo: %s\nCall-ID: %s\nCSeq: %d MESSAGE\n", m.From, m.To, m.CallID, m.CSeq)
	for _, h := range m.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "\n%s", m.Body)
	return b.String()
}

// A message to a member is from the room, to the member, with the sender's content and
// without the header fields of the sender's device. Call-ID, CSeq and tag follow from
// the entry: they are the same on every machine and in every version.
func TestMessageToMembers(t *testing.T) {
	within(t, func(c *imc.Config) { c.ExtraHeaders = "Supported: kamailio/imc\r\nP-Flags: 3\r\n" }, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("carol@far.test", "chat-1", "#join")
		w.ignore()
		time.Sleep(90 * time.Second)
		req := w.message("alice", "chat-1", "text/plain;charset=UTF-8", "grüß dich\n",
			sip.Header{Name: "Content-Language", Value: "de"},
			sip.Header{Name: "Subject", Value: "Hallo"},
			sip.Header{Name: "Priority", Value: "urgent"},
			sip.Header{Name: "X-Own", Value: "1"},
			sip.Header{Name: "Date", Value: "Mon, 01 Jan 2001 00:00:00 GMT"},
			sip.Header{Name: "Remote-Party-ID", Value: "<sip:dan@example.test>"},
			sip.Header{Name: "Reply-To", Value: "<sip:dan@example.test>"},
			sip.Header{Name: "Referred-By", Value: "<sip:dan@example.test>"},
			sip.Header{Name: "Contact", Value: "<sip:alice@192.0.2.1>"},
			sip.Header{Name: "Supported", Value: "outbound"},
			sip.Header{Name: "User-Agent", Value: "phone"},
			sip.Header{Name: "P-Asserted-Identity", Value: "<sip:alice@example.test>"},
			sip.Header{Name: "In-Reply-To", Value: "other"},
		)
		req.CallID = "cause"
		if r := w.handle(req); r.Status != 200 {
			t.Fatal(r)
		}
		for user, want := range map[string]string{
			"bob": `From: <sip:chat-1@example.test>;tag=ec37ebc07763
To: <sip:bob@example.test>
Call-ID: 35d77b66529fcac780d35af898246783@example.test
CSeq: 15543605 MESSAGE
Content-Type: text/plain;charset=UTF-8
Content-Language: de
Subject: Hallo
Priority: urgent
Room-Speaker: "alice" <sip:alice@example.test>
In-Reply-To: cause
Date: Sat, 01 Jan 2000 00:01:30 GMT
Supported: kamailio/imc
P-Flags: 3

[alice]: grüß dich
`,
			"carol@far.test": `From: <sip:chat-1@example.test>;tag=22e6c785ac8d
To: <sip:carol@far.test>
Call-ID: c31e5eee42ec10e784f5c9ac8c2eda8b@example.test
CSeq: 4982065 MESSAGE
Content-Type: text/plain;charset=UTF-8
Content-Language: de
Subject: Hallo
Priority: urgent
Room-Speaker: "alice" <sip:alice@example.test>
In-Reply-To: cause
Date: Sat, 01 Jan 2000 00:01:30 GMT
Supported: kamailio/imc
P-Flags: 3

[alice]: grüß dich
`,
		} {
			got := w.take(user)
			if len(got) != 1 {
				t.Fatalf("%s got %d messages", user, len(got))
			}
			if s := written(got[0].Message); s != want {
				t.Errorf("%s got\n%s\nwant\n%s", user, s, want)
			}
		}
	})
}

// A member gets each content with the name of its speaker in it where its format allows, and
// else unchanged. Both members get the same, one of them from the store.
func TestContentNamesTheSpeaker(t *testing.T) {
	binary := "\x00\x01\xff[bytes]\r\n"
	utf8Text := "text/plain;charset=utf-8"
	for _, c := range []struct {
		name, ctype, body string
		headers           []sip.Header
		want              string // "": the body as it was
		wantType          string // "": the type as it was
	}{
		{name: "plain", ctype: "text/plain", body: "x", want: "[alice]: x"},
		{name: "capitals", ctype: "Text/Plain ; charset=\"utf-8\"", body: "x", want: "[alice]: x"},
		{name: "latin", ctype: "text/plain;charset=ISO-8859-1", body: "\xe4", want: "[alice]: \xe4"},
		{name: "invalid UTF-8", ctype: "text/plain", body: "\xff\x00", want: "[alice]: \xff\x00"},
		{name: "wide characters", ctype: "text/plain;charset=UTF-16LE", body: "x\x00", want: "[alice]: x", wantType: utf8Text},
		{name: "html", ctype: "text/html", body: "<b>x</b>", want: "<p>[alice]:</p><blockquote><b>x</b></blockquote>", wantType: "text/html;charset=utf-8"},
		{name: "markdown", ctype: "text/markdown", body: "#create chat-2 is no command here", want: "[alice]: #create chat-2 is no command here", wantType: utf8Text},
		{name: "image", ctype: "image/jpeg", body: binary},
		{name: "long type", ctype: "application/vnd.gsma.rcs-ft-http+xml;a=b", body: "<file/>"},
		{
			name: "CPIM", ctype: "message/cpim", body: "From: <sip:bob@example.test>\r\n\r\nContent-Type: text/plain\r\n\r\nx", wantType: "message/cpim",
			want: "From: <sip:alice@example.test>\r\nTo: <sip:chat-1@example.test>\r\nDateTime: 2000-01-01T00:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\n[alice]: x",
		},
		{
			name: "base64", ctype: "text/plain", body: "eA==", want: "[alice]: x", wantType: utf8Text,
			headers: []sip.Header{{Name: "Content-Transfer-Encoding", Value: "base64"}},
		},
		{
			name: "disposition", ctype: "text/plain", body: "x", want: "[alice]: x",
			headers: []sip.Header{{Name: "Content-Disposition", Value: "render;handling=optional"}, {Name: "Content-ID", Value: "<1>"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			within(t, nil, func(w *world) {
				w.must("alice", "chat-1", "#create")
				w.must("bob", "chat-1", "#join")
				w.must("dan", "chat-1", "#join")
				w.ignore()
				w.offline.Store("dan", true)
				if r := w.handle(w.message("alice", "chat-1", c.ctype, c.body, c.headers...)); r.Status != 200 {
					t.Fatal(r)
				}
				w.crash() // the message to dan is read from the store
				w.online("dan")
				headers := append(c.headers, sip.Header{Name: "Content-Type", Value: cmp.Or(c.wantType, c.ctype)},
					sip.Header{Name: "Room-Speaker", Value: `"alice" <sip:alice@example.test>`})
				if c.wantType != "" { // the body is not encoded any more
					headers = append(headers[len(c.headers):], sip.Header{Name: "Content-Transfer-Encoding"})
				}
				for _, user := range []string{"bob", "dan"} {
					got := w.take(user)
					if want := cmp.Or(c.want, c.body); len(got) != 1 || string(got[0].Body) != want {
						t.Fatalf("%s got %+v, want %q", user, got, want)
					}
					for _, h := range headers {
						if v := got[0].Header(h.Name); v != h.Value {
							t.Errorf("%s: %s is %q, want %q", user, h.Name, v, h.Value)
						}
					}
				}
			})
		})
	}
}

// Content in which the speaker cannot be named is refused, with a reason and a text that help.
// The notices and answers of a room name the room.
func TestSpeakerNotNamed(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		for _, m := range w.take("bob") {
			if got := m.Header("Room-Speaker"); got != "<sip:chat-1@example.test>;notice" {
				t.Errorf("a notice is from %q", got)
			}
		}
		for _, m := range w.take("alice") {
			if got := m.Header("Room-Speaker"); got != "<sip:chat-1@example.test>;notice" {
				t.Errorf("%s is from %q", m.Body, got)
			}
		}
		for _, c := range []struct{ ctype, encoding, reason, text string }{
			{"message/sipfrag", "", "Content type not accepted by rooms", "Your message was not delivered: rooms cannot name you in message/sipfrag. Send plain text."},
			{"text/plain;charset=ebcdic-us", "", "Charset not accepted by rooms", "Your message was not delivered: the charset ebcdic-us is not known here. Send UTF-8."},
			{"text/plain", "br", "Content encoding not accepted by rooms", "Your message was not delivered: the encoding br is not known here. Send plain text without an encoding."},
			{"text/plain", "gzip", "Content is malformed", "Your message was not delivered: its content is malformed. Send plain text."},
		} {
			r := w.handle(w.message("alice", "chat-1", c.ctype, "[bob]: I resign", sip.Header{Name: "Content-Encoding", Value: c.encoding}))
			if got := w.read("alice"); r.Status != 500 || r.Reason != c.reason || len(got) != 1 || got[0] != "chat-1: "+c.text {
				t.Errorf("%s %s: %+v %q", c.ctype, c.encoding, r, got)
			}
		}
		if got := w.read("bob"); len(got) != 0 {
			t.Errorf("bob got %q", got)
		}
	})
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

// Rooms accept notifications and drop them, so that clients that acknowledge every
// message do not do so without end. Answers of other rooms start no conversation.
func TestNoLoops(t *testing.T) {
	deflate := sip.Header{Name: "Content-Encoding", Value: "deflate"}
	imdn := "From: <sip:bob@example.test>\r\nimdn.Message-ID: 1\r\n\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n<imdn/>"
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		for _, req := range []imc.Request{
			w.message("bob", "chat-1", "message/imdn+xml", deflated("<imdn/>"), deflate),
			w.message("bob", "chat-1", "application/im-iscomposing+xml", "<isComposing/>"),
			w.message("bob", "chat-1", "message/cpim", imdn),
			w.message("bob", "chat-1", "Message/CPIM", strings.ReplaceAll(imdn, "\r\n", "\n")),
			w.message("bob", "chat-1", "message/cpim", deflated(imdn), deflate),
			w.message("bob", "chat-1", "message/cpim", strings.Replace(imdn, "message/imdn+xml", "application/im-iscomposing+xml", 1)),
			w.message("stranger", "chat-1", "message/imdn+xml", "<imdn/>"),
			w.message("stranger", "chat-manager", "message/imdn+xml", "<imdn/>"),
			w.message("chat-1", "chat-1", "text/plain", "to myself"),
			w.message("chat-2", "chat-1", "text/plain", "#join"),
			w.message("chat-manager", "chat-1", "text/plain", "hello"),
		} {
			if r := w.handle(req); r.Status != 200 || r.Code != 1 {
				t.Errorf("%s from %s: %+v", req.Header("Content-Type"), req.Sender.AoR, r)
			}
		}
		// The answer of a room elsewhere is refused, without a message to it.
		answer := w.message("room@far.test", "chat-1", "text/plain", "You are not in my room.", sip.Header{Name: "In-Reply-To", Value: "x"})
		if r := w.handle(answer); r.Status != 500 {
			t.Errorf("the answer of a room elsewhere: %+v", r)
		}
		if len(w.inbox) != 0 {
			t.Errorf("messages were delivered: %v", w.inbox)
		}
		// A command within CPIM is a command.
		cpim := "From: <sip:bob@example.test>\r\n\r\nContent-Type: text/plain;charset=utf-8\r\n\r\n#list"
		if r := w.handle(w.message("bob", "chat-1", "message/cpim", cpim)); r.Status != 200 {
			t.Error(r)
		}
		if got := w.read("bob"); len(got) != 1 || got[0] != "chat-1: Members of chat-1: 2\n*alice\nbob" {
			t.Errorf("bob got %q", got)
		}
	})
}

// A message has the same Call-ID, CSeq and tag in every attempt, after a crash and from
// any node. No two members and no two messages share one.
func TestRepeatsAreRecognised(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		for i := range 5 {
			w.must(fmt.Sprintf("user%d", i), "chat-1", "#join")
		}
		w.unsettle = true // devices accept messages, but the room does not record it
		for i := range 10 {
			w.must("alice", "chat-1", fmt.Sprint("message ", i))
		}
		before := w.repeats
		w.crash()
		w.settleDown()
		if w.repeats-before < 50 {
			t.Errorf("%d repeats, want at least 50", w.repeats-before)
		}
		w.unsettle = false
		w.crash()
		w.settleDown()
		calls := map[string]bool{}
		for user, got := range w.got {
			for id := range got {
				if calls[id] {
					t.Errorf("Call-ID %s of %s is used for another user", id, user)
				}
				calls[id] = true
			}
		}
		if got := len(w.read("user3")); got < 10 {
			t.Errorf("user3 got %d messages", got)
		}
	})
}

// A sender may set an earlier expiry (RFC 3428 section 4).
func TestSenderSetsExpires(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.ignore()
		w.offline.Store("bob", true)
		w.handle(w.message("alice", "chat-1", "text/plain", "now or never", sip.Header{Name: "Expires", Value: "60"}))
		w.must("alice", "chat-1", "at any time")
		items, err := w.rooms.Next(w.t.Context(), aor("bob"), 0, 10)
		if err != nil || len(items) != 2 {
			t.Fatal(items, err)
		}
		now := time.Now()
		if a, b := items[0].Expires.Sub(now), items[1].Expires.Sub(now); a != time.Minute || b != 7*24*time.Hour {
			t.Errorf("they expire after %v and %v", a, b)
		}
		time.Sleep(2 * time.Minute)
		w.online("bob")
		if got := w.read("bob"); len(got) != 1 || got[0] != "chat-1: [alice]: at any time" {
			t.Errorf("bob got %q", got)
		}
	})
}

func TestIsRoom(t *testing.T) {
	within(t, nil, func(w *world) {
		w.must("alice", "chat-1", "#create")
		for a, want := range map[sip.AoR]bool{
			aor("chat-1"): true, aor("CHAT-1"): true, aor("chat-2"): true, aor("chat-manager"): true, aor("Chat-Manager"): true,
			aor("alice"): false, aor("chat-x"): false, aor("chat-1@far.test"): false, aor("chat-2@other.test"): true,
		} {
			if got := w.rooms.IsRoom(a); got != want {
				t.Errorf("IsRoom(%v) is %v", a, got)
			}
		}
	})
}

// TestSpeechTemplates checks that an operator's text before a message cannot be completed by it:
// after the end of a line, the message is a further line.
func TestSpeechTemplates(t *testing.T) {
	for template, want := range map[string][3]string{
		"<{uri}> ":   {"<sip:alice@example.test> [bob]: x\n| [bob]: y", "<p>&lt;sip:alice@example.test&gt;</p><blockquote>[bob]: x</blockquote>", "* alice [bob]: x"},
		"[{user}]\n": {"[alice]\n| [bob]: x\n| [bob]: y", "<p>[alice]</p><blockquote>[bob]: x</blockquote>", "* alice [bob]: x"},
	} {
		within(t, func(c *imc.Config) { c.Texts = map[string]string{"speech": template} }, func(w *world) {
			w.must("alice", "chat-1", "#create")
			w.must("bob", "chat-1", "#join")
			w.ignore()
			w.must("alice", "chat-1", "[bob]: x\n[bob]: y")
			w.handle(w.message("alice", "chat-1", "text/html", "[bob]: x"))
			w.must("alice", "chat-1", "/me [bob]: x")
			got := w.take("bob")
			if len(got) != len(want) {
				t.Fatalf("%q: bob got %+v", template, got)
			}
			for i, m := range got {
				if string(m.Body) != want[i] {
					t.Errorf("%q: bob got %q, want %q", template, m.Body, want[i])
				}
			}
		})
	}
}
