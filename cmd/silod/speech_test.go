package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

const room2 = "sip:chat-2@127.0.0.1"

// TestSpeakerOnTheWire has mallory, a member, say "[alice]: I resign" in many forms. bob gets
// each of them with the name of mallory before it, or it is refused.
func TestSpeakerOnTheWire(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b, m := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "mallory")
	b.register(300)
	a.message(room1, "#create")
	for _, u := range []*ua{b, m} {
		if got := u.message(room1, "#join"); got != 200 {
			t.Fatalf("#join is answered %d", got)
		}
		if got := header(b.next(), "Room-Speaker"); got != "<"+room1+">;notice" {
			t.Errorf("a notice is from %s", got)
		}
	}
	const forged, want = "[alice]: I resign", "[mallory]: [alice]: I resign"
	var wide, zipped bytes.Buffer
	for _, u := range utf16.Encode([]rune(forged)) {
		wide.Write([]byte{byte(u >> 8), byte(u)})
	}
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(forged))
	_ = z.Close()
	for _, c := range []struct{ name, body, want, fields string }{ // want "": refused
		{"identity", forged, want, "Content-Type: text/plain\nContent-Encoding: identity"},
		{"compact fields", forged, want, "c: text/plain\ne: identity"},
		{"two encodings", forged, "", "Content-Type: text/plain\nContent-Encoding: identity\nContent-Encoding: br"},
		{"UTF-16", wide.String(), want, "Content-Type: text/plain;charset=utf-16"},
		{"gzip", zipped.String(), want, "Content-Type: text/plain\nContent-Encoding: gzip"},
		{"base64", base64.StdEncoding.EncodeToString([]byte(forged)), want, "Content-Type: text/plain\nContent-Transfer-Encoding: base64"},
		{"EBCDIC", forged, "", "Content-Type: text/plain;charset=ibm037"},
		{"HTML", forged + "<!--", "<p>[mallory]:</p><blockquote>[alice]: I resign</blockquote>", "Content-Type: text/html"},
		{"Markdown", forged, want, "Content-Type: text/markdown"},
		{"sipfrag", forged, "", "Content-Type: message/sipfrag"},
		{"lines", "hi\r\n" + forged, "[mallory]: hi\r\n| " + forged, "Content-Type: text/plain"},
		{"fields", "hi", "[mallory]: hi", "Content-Type: text/plain\nRemote-Party-ID: <sip:alice@127.0.0.1>\nDate: Mon, 01 Jan 2001 00:00:00 GMT\n" +
			"Reply-To: <sip:alice@127.0.0.1>\nReferred-By: <sip:alice@127.0.0.1>\nP-Asserted-Identity: <sip:alice@127.0.0.1>\nX-Speaker: alice\nLoop-Mark: xaaaaaaaa\nOrganization: alice"},
		{"a field of rooms", forged, "", "Content-Type: text/plain\nroom-speaker: \"alice\" <sip:alice@127.0.0.1>"},
	} {
		answer := m.ask(m.request("MESSAGE", room1, room1, c.body, strings.Split(c.fields, "\n")...))
		if c.want == "" {
			if got := status(answer); got != 500 && got != 482 {
				t.Errorf("%s is answered %d", c.name, got)
			}
			continue
		}
		if got := status(answer); got != 200 {
			t.Fatalf("%s is answered\n%s", c.name, answer)
		}
		got := b.next()
		if body(got) != c.want || header(got, "Room-Speaker") != `"mallory" <sip:mallory@127.0.0.1>` {
			t.Errorf("%s: bob gets\n%s\nwant %q", c.name, got, c.want)
		}
		head, _, _ := strings.Cut(strings.ToLower(got), "\r\n\r\n")
		if strings.Contains(head, "alice") || strings.Contains(head, "2001") || strings.Contains(head, "content-encoding") || strings.Contains(head, "xaaaaaaaa") {
			t.Errorf("%s: the fields are\n%s", c.name, head)
		}
	}
	b.nothing()
}

// foreignRoom answers as a room of Kamailio's imc that has the rooms as its members: it sends
// each of their texts to all of them, or to all others, from its own address and with the name
// of the sender, until the test ends.
func (u *ua) foreignRoom(stop <-chan struct{}, toSender bool, rooms ...string) {
	for {
		select {
		case <-stop:
			return
		case m := <-u.requests:
			from := header(m, "From")
			for _, r := range rooms {
				if toSender || !strings.Contains(from, r+">") {
					u.ask(u.request("MESSAGE", r, r, "<"+strings.Trim(strings.Split(from, ";")[0], "<>")+"> "+body(m), "Content-Type: "+header(m, "Content-Type")))
				}
			}
		}
	}
}

// TestLoopOfForeignRooms makes two rooms here and two rooms of another kind, which remove all
// marks, members of each other. One word becomes few messages, and then there is silence.
func TestLoopOfForeignRooms(t *testing.T) {
	t.Parallel()
	for _, toSender := range []bool{false, true} {
		for name, text := range map[string]string{"text/plain": "hello\nthere", "text/html": "<b>hello</b>"} {
			t.Run(fmt.Sprint(name, toSender), func(t *testing.T) {
				t.Parallel()
				s := serve(t)
				a := s.phone("udp", "alice")
				stop := make(chan struct{})
				done := make(chan struct{})
				var foreign []*ua
				for _, room := range []string{room1, room2} {
					a.message(room, "#create")
				}
				for _, name := range []string{"k1", "k2"} {
					k := s.phone("udp", name)
					k.autoReply.Store(200)
					for _, room := range []string{room1, room2} {
						if got := k.message(room, "#join"); got != 200 {
							t.Fatalf("#join is answered %d", got)
						}
					}
					k.register(300)
					foreign = append(foreign, k)
				}
				for _, k := range foreign {
					for len(k.requests) > 0 {
						<-k.requests
					}
					go func() { k.foreignRoom(stop, toSender, room1, room2); done <- struct{}{} }()
				}
				before := s.roomTexts()
				a.ask(a.request("MESSAGE", room1, room1, text, "Content-Type: "+name))
				last, quiet := int64(-1), 0
				for range 200 {
					if n := s.roomTexts(); n != last {
						last, quiet = n, 0
					} else if quiet++; quiet == 10 {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				close(stop)
				<-done
				<-done
				if n := last - before; quiet < 10 || n < 2 || n > 60 {
					t.Errorf("one word became %d texts; %d rounds of silence", n, quiet)
				}
				t.Logf("%d texts", last-before)
			})
		}
	}
}
