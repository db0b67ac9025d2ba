package imc

import (
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"silod/im"
	"silod/limit"
	"silod/sip"
)

func quietService(tb testing.TB, change func(*Config)) *Service {
	tb.Helper()
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	set, err := NewSettings(c)
	if err != nil {
		tb.Fatal(err)
	}
	return New(Options{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		Domains: sip.NewDomains("example.test"),
	}, set)
}

// FuzzParse checks that any text after the start character is either parsed to a
// complete command or refused with a text that can be shown.
func FuzzParse(f *testing.F) {
	for _, c := range commands {
		f.Add(c.name, false)
		f.Add(c.name+" bob", true)
		f.Add(c.name+" <sip:bob@example.test> admin chat-1", false)
		f.Add(c.name+" chat-1 private", true)
		f.Add(c.name+" since 2h chat-2", false)
	}
	for _, text := range []string{
		"", " ", "\n", "\x00", "create\tchat-1", "join " + strings.Repeat("x", 5000), "invite <", "invite >", "invite <>",
		"modify bob \xff\xfe", "history -1", "history since 99999d", "history since 25:00", "topic \xf0\x9f\x8d\xb5", "create @", "join sip:",
		"invite %zz@x", "add a@[::1]:5070", "LIST chat-1\r\nx", "create private PRIVATE", "history 99999999999999999999",
	} {
		f.Add(text, true)
	}
	s := quietService(f, nil)
	f.Fuzz(func(t *testing.T, text string, manager bool) {
		req := &Request{
			Sender: sip.Sender{AoR: sip.AoR{User: "alice", Domain: "example.test"}, Authenticated: true, Local: true},
			Room:   sip.AoR{User: "chat-1", Domain: "example.test"},
		}
		if manager {
			req.Room.User = "chat-manager"
		}
		c, refused := s.parse(req, text)
		if refused == nil {
			checkInvocation(t, s, c)
			return
		}
		if wordings[refused.text].reason == "" {
			t.Errorf("%q is refused with %q, which is not a refusal", text, refused.text)
		}
		words := s.text(refused.text, req.Room, refused.args...)
		if !utf8.ValidString(words) || strings.ContainsAny(words, "\x00\r\n") || len(words) > pageBytes {
			t.Errorf("%q is refused with the text %q", text, words)
		}
	})
}

func checkInvocation(t *testing.T, s *Service, c *invocation) {
	t.Helper()
	for _, p := range c.params {
		switch p {
		case userParam:
			if c.user.User == "" || c.user.Domain == "" {
				t.Errorf("no user: %+v", c)
			}
		case roleParam:
			if c.role < Plain || c.role > Owner {
				t.Errorf("no role: %+v", c)
			}
		case countParam:
			if c.count < 1 {
				t.Errorf("no number: %+v", c)
			}
		case sinceParam:
			if c.since.IsZero() || c.since.After(s.now().AddDate(8000, 0, 0)) {
				t.Errorf("no time: %+v", c)
			}
		case textParam:
			if c.text == "" || !utf8.ValidString(c.text) {
				t.Errorf("no text: %+v", c)
			}
		}
	}
	if c.needsRoom() && (s.isManager(c.room) && c.name != "create" && c.name != "join" && len(c.params) == 0 || c.room != c.room.Lower()) {
		t.Errorf("bad room: %+v", c)
	}
}

// FuzzInspect checks that bodies are inspected without being changed, and that no body
// causes a failure.
func FuzzInspect(f *testing.F) {
	for _, ctype := range []string{"", "text/plain", "message/cpim", "message/imdn+xml", "text/plain;charset=\"", ";", "application/im-iscomposing+xml ;x"} {
		for _, encoding := range []string{"", "deflate", "gzip", "br"} {
			f.Add(ctype, encoding, []byte("From: <sip:a@b>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\nx"))
			f.Add(ctype, encoding, []byte("\n\n"))
			f.Add(ctype, encoding, []byte("/me waves"))
			f.Add(ctype, encoding, []byte("x\x9c\x03\x00\x00\x00\x00\x01"))
			f.Add(ctype, encoding, []byte("\x1f\x8b\x08"))
		}
	}
	s := quietService(f, nil)
	f.Fuzz(func(t *testing.T, ctype, encoding string, body []byte) {
		m := im.Message{Headers: []sip.Header{{Name: "Content-Type", Value: ctype}, {Name: "Content-Encoding", Value: encoding}}, Body: body}
		before := string(body)
		c := inspect(&m)
		room := sip.AoR{User: "chat-1", Domain: "example.test"}
		p := s.compose(newRoom(room), &Entry{Room: room, From: sip.AoR{User: "alice", Domain: "example.test"}, At: s.now(), Message: m})
		if string(m.Body) != before {
			t.Error("the body was written to")
		}
		if string(p.said) != before {
			t.Errorf("%q is remembered as %q", before, p.said)
		}
		if c.notification && c.text != "" {
			t.Error("a notification has a text")
		}
	})
}

// TestTexts checks custom texts: an error for an unknown key or placeholder lists the
// known ones.
func TestTexts(t *testing.T) {
	for _, c := range []struct{ key, template, wrong string }{
		{"joined", "{user} ist da: {room_uri} {start}", ""},
		{"joined", "no placeholder, and a brace: {{", ""},
		{"speech", "{name} <{uri}>: ", ""},
		{"joined", "{who} is there", "imc.texts: joined: there is no placeholder {who}; the placeholders are: {user} {room} {room_uri} {start}"},
		{"speech", "{room}: ", "imc.texts: speech: there is no placeholder {room}; the placeholders are: {nick} {user} {uri} {name}"},
		{"joined", "{user", "imc.texts: joined: no } after {user; write {{ for a brace"},
		{"join", "x", `imc.texts: there is no text "join"; the texts are: a_room account_gone acted action admins_only `},
	} {
		config := DefaultConfig()
		config.Texts = map[string]string{c.key: c.template}
		_, err := NewSettings(config)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), c.wrong)) {
			t.Errorf("%s = %q: %v, want %q", c.key, c.template, err, c.wrong)
		}
	}
	s := quietService(t, func(c *Config) { c.Texts = map[string]string{"joined": "{{{user}} {{x} {room}"} })
	if got := s.text("joined", sip.AoR{User: "chat-1", Domain: "d"}, "user", "bob"); got != "{bob} {x} chat-1" {
		t.Errorf("%q", got)
	}
	for key, w := range wordings {
		ps, err := parseTemplate(w.template)
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, p := range ps {
			known := strings.Fields(w.names + " " + common)
			if p.name != "" && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+p.name+" ") {
				t.Errorf("%s: {%s} is not in names", key, p.name)
			}
		}
		if (w.status != 0) != (w.reason != "") {
			t.Errorf("%s: a refusal has a status and a reason", key)
		}
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"imc.room_pattern: ":           func(c *Config) { c.RoomPattern = "(" },
		"imc.creators: ":               func(c *Config) { c.Creators = []string{"local", "someone"} },
		"imc.extra_hdrs: ":             func(c *Config) { c.ExtraHeaders = "no header" },
		"imc.extra_hdrs: \"X: 1\\n":    func(c *Config) { c.ExtraHeaders = "X: 1\nY: 2\r\n" },
		"imc.imc_cmd_start_char: ":     func(c *Config) { c.StartChar = " " },
		"imc.catch_up: ":               func(c *Config) { c.CatchUp = 0 },
		"imc: a duration":              func(c *Config) { c.History = -1 },
		`imc.owner_leave: "x" is none`: func(c *Config) { c.OwnerLeave = "x" },
	} {
		c := DefaultConfig()
		change(&c)
		_, err := NewSettings(c)
		if err == nil || !strings.HasPrefix(err.Error(), strings.TrimSuffix(want, "none")) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// A wrong configuration yields no settings; the old ones stay.
	s := quietService(t, nil)
	bad := DefaultConfig()
	bad.StartChar, bad.CatchUp = "!", 0
	if _, err := NewSettings(bad); err == nil || s.config().StartChar != "#" {
		t.Errorf("%v, start character %q", err, s.config().StartChar)
	}
	good := DefaultConfig()
	good.StartChar = "!"
	set, err := NewSettings(good)
	if s.Configure(set); err != nil || s.config().StartChar != "!" {
		t.Errorf("%v, start character %q", err, s.config().StartChar)
	}
}

// TestPages checks that long lists are split between characters and have an end.
func TestPages(t *testing.T) {
	s := quietService(t, nil)
	var lines []string
	for range 100 {
		lines = append(lines, strings.Repeat("ü", 30))
	}
	pages := s.pages(lines)
	if len(pages) != 7 {
		t.Errorf("%d pages", len(pages))
	}
	if got := strings.Join(pages, "\n"); got != strings.Join(lines, "\n") {
		t.Error("the pages are not the lines")
	}
	long := strings.Repeat("日本", 1000)
	pages = s.pages([]string{"first", long, "last"})
	if got := strings.ReplaceAll(strings.Join(pages, ""), furtherLine, ""); got != "first"+long+"\nlast" {
		t.Errorf("a long line became %q", got)
	}
	pages = append(pages, s.pages([]string{strings.Repeat("x", 100*pageBytes), "y", "z"})...)
	if last := pages[len(pages)-1]; last != "... and 3 more" {
		t.Errorf("the end is %q", last)
	}
	for _, p := range pages {
		if len(p) > pageBytes || p == "" || !utf8.ValidString(p) {
			t.Errorf("a page of %d bytes", len(p))
		}
	}
	if len(pages) > maxPages+10 {
		t.Errorf("%d pages", len(pages))
	}
}

// TestMeterIsBounded checks that a user who writes to many rooms cannot fill the memory.
func TestMeterIsBounded(t *testing.T) {
	m := newMeter()
	rate, now := limit.Rate{N: 1, Per: time.Minute}, time.Now()
	room := func(name string) userRoom {
		return userRoom{sip.AoR{User: "mallory", Domain: "x"}, sip.AoR{User: name}}
	}
	for i := range maxMetered {
		if _, ok, _ := m.Take(room(itoa(i)), rate, now); !ok {
			t.Fatal("the first is refused")
		}
	}
	if wait, ok, first := m.Take(room("more"), rate, now); ok || first || wait <= 0 {
		t.Error("there is no end")
	}
	m.Sweep(rate, now.Add(2*time.Minute))
	if _, ok, _ := m.Take(room("more"), rate, now); !ok || m.Len() != 1 {
		t.Errorf("%d keys are left", m.Len())
	}
}
