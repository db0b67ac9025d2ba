package e2e_test

import (
	"strings"
	"testing"
)

// TestNames uses siloctl with names without a domain: over SIP and over the control socket they are users of
// the daemon's main domain, in whatever spelling.
func TestNames(t *testing.T) {
	d := serve(t)
	for _, step := range []struct {
		args []string
		code int
		want string // in the standard output, or in the standard error after a failure
	}{
		{[]string{"send", "--server", d.addr, "Jürgen", "hans maier", "hello"}, 0, "202 Accepted: stored; hans%20maier@" + domain},
		{[]string{"send", "--server", d.addr, "9901#1", "sip:hans%20maier@" + domain, "hello"}, 0, "202 Accepted: stored; hans%20maier@" + domain},
		{[]string{"messages", "list"}, 0, "sip:hans%20maier@" + domain + "  sip:9901#1@" + domain},
		{[]string{"messages", "list", "--user", "Hans Maier", "--from", "j%C3%BCrgen"}, 0, "sip:hans%20maier@" + domain + "  sip:jürgen@" + domain},
		{[]string{"messages", "list", "-o", "json"}, 0, `"owner":"sip:hans%20maier@sip.test","from":"sip:j%C3%BCrgen@sip.test"`},
		{[]string{"messages", "count", "--user", "hans%20maier"}, 0, "count  2"},
		{[]string{"listen", "--server", d.addr, "hans maier", "--count", "2"}, 0, "9901#1@" + domain + "  hello"},
		{[]string{"messages", "count"}, 0, "count  0"},
		{[]string{"rooms", "create", "chat-1", "jürgen"}, 0, "created room chat-1, owned by jürgen"},
		{[]string{"members", "add", "Chat-1", "9901%231"}, 0, "added 9901#1 to Chat-1"},
		{[]string{"members", "list", "chat-1"}, 0, "sip:9901#1@" + domain},
		{[]string{"members", "remove", "sip:chat-1@" + domain, "sip:9901#1@" + domain}, 0, "removed"},
		{[]string{"contacts", "add", "Jürgen", "sip:x@192.0.2.7"}, 0, "added contact"},
		{[]string{"contacts", "list"}, 0, "sip:jürgen@" + domain},
		{[]string{"contacts", "show", "j%c3%bcrgen@SIP.test"}, 0, "sip:x@192.0.2.7"},
		{[]string{"contacts", "remove", "jürgen"}, 0, "removed from jürgen"},
		{[]string{"__complete", "members", "list", ""}, 0, "sip:chat-1@" + domain},

		{[]string{"members", "add", "chat-1", ""}, 2, "USER is empty: write a name such as alice"},
		{[]string{"members", "add", "chat-1", domain}, 1, "400 "},
		{[]string{"messages", "purge", "--user", "", "--yes"}, 2, "--user is empty"},
		{[]string{"silo_purge", "", "--yes"}, 1, "400 Select messages by owner"},
		{[]string{"silo_send", "alice", " ", "hello"}, 1, "400 Bad to"},
		{[]string{"send", "--server", d.addr, "--socket", d.path("nothing"), "alice", "bob", "hello"}, 3, "write alice@DOMAIN"},
		{[]string{"send", "alice", "", "hello"}, 2, "TO is empty"},
	} {
		out, errs, code := d.siloctl(t, step.args...)
		if got := []string{out, errs}[min(code, 1)]; code != step.code || !strings.Contains(got, step.want) {
			t.Errorf("siloctl %q ended with exit code %d, want %d and %q:\n%s%s", step.args, code, step.code, step.want, out, errs)
		}
	}
}
