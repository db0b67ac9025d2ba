package imc

import (
	"slices"
	"strings"
	"testing"

	"silod/sip"
)

// wrongWords are wrong arguments for each kind of parameter. A parameter that takes the rest of
// the line takes anything.
var wrongWords = map[param][]string{
	roomParam:    {"0", "-1", "sip:@", "chat-1@far.test", `"chat-1"`, "<>", strings.Repeat("x", 1<<16), "\xff\xfe", "chat-1\x00"},
	userParam:    {"", "sip:@", "tel:+49", "<>", "a@[::", "\x00"},
	roleParam:    {"", "king", "0", "owneradmin", strings.Repeat("x", 1<<16)},
	nickParam:    {"", "[bob]", "b\u0430b", "a@b", strings.Repeat("x", 1<<16), "\xff"},
	countParam:   {"0", "-1", "+0", "99999999999999999999", "-99999999999999999999"},
	catchUpParam: {"", "some", "-1", "99999999999999999999"},
	sinceParam:   {"since", "since yesterday", "since 25:00", "since -1h", "since 0d", "since 99999999999999999999d"},
}

// rightWords are right arguments.
var rightWords = map[param]string{
	roomParam: "chat-1", userParam: "bob", roleParam: "admin", privateParam: "private", countParam: "5", sinceParam: "since 2h",
	fromParam: "chat-1", nickParam: "Bobby", catchUpParam: "all", targetParam: "bob", fromUserParam: "bob", termParam: "for 3d",
}

// TestUsage checks that every wrong, missing or excessive argument of every command is refused
// with one line that shows the syntax of this command and of no other.
func TestUsage(t *testing.T) {
	s := quietService(t, nil)
	alice := sip.Sender{AoR: sip.AoR{User: "alice", Domain: "example.test"}, Authenticated: true, Local: true}
	for _, to := range []string{"chat-1", "chat-manager"} {
		req := &Request{Sender: alice, Room: sip.AoR{User: to, Domain: "example.test"}}
		refused := func(c *command, line string) {
			t.Helper()
			got, refused := s.parse(req, line)
			if refused == nil {
				t.Errorf("%s: %.80q is taken for %s", to, line, got.name)
				return
			}
			text := s.text(refused.text, req.Room, refused.args...) + " " + s.text("usage", req.Room, "usage", refused.usage)
			usage := s.usage(c, to == "chat-manager")
			if got.name != c.name || !strings.Contains(text, usage) || strings.Contains(text, "creates it") {
				t.Errorf("%s: %.80q is refused with %q, without %q", to, line, text, usage)
			}
			if strings.ContainsAny(text, "\r\n\x00") || len(text) > pageBytes {
				t.Errorf("%s: %.80q is refused with %d bytes: %q", to, line, len(text), text)
			}
		}
		for _, c := range commands {
			if free := slices.ContainsFunc(s.commandForms(c.name), func(f *command) bool { return slices.Contains(f.params, textParam) }); free {
				continue // takes any words
			}
			line := c.name
			for i, p := range c.params {
				for _, wrong := range wrongWords[p] {
					// Another form of the command may take a missing argument.
					if wrong != "" || len(s.commandForms(c.name)) == 1 {
						refused(c, strings.TrimSpace(line+" "+wrong))
					}
				}
				if line += " " + rightWords[p]; i == len(c.params)-1 && p != reasonParam {
					refused(c, line+" more words")
				}
			}
			if len(c.params) == 0 {
				refused(c, line+" more words")
			}
		}
	}
}

// TestIsTypo checks the words that are taken for a slip of the finger.
func TestIsTypo(t *testing.T) {
	s := quietService(t, nil)
	for word, want := range map[string]string{
		"exti": "exit", "lits": "list", "invte": "invite", "INVIT": "invite", "hlep": "help", "jion": "join", "joinn": "join", "xjoin": "join",
		"bna": "ban", "bam": "ban", "histroy": "history", "creat\u00e9": "create", "ex\u200bit": "exit", "list,": "list",
		"man": "", "can": "", "friday": "", "1": "", "-": "", "": "", "fun": "", "\xff": "", "chat": "", "leaving": "", "exclamation": "",
	} {
		if got := s.meant(word); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
	for _, c := range commands {
		if got := s.meant(c.name); got != "" && len(s.commandForms(c.name)) == 0 {
			t.Errorf("%s is taken for %s", c.name, got)
		}
	}
}
