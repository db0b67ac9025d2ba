package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// baresip starts baresip. It sends texts to its current contact, so that its commands go to
// the next or the previous contact first, until that is the recipient.
func baresip(t *testing.T, d *daemon, transport, user string) *device {
	return baresipWith(t, d, transport, user, "")
}

// baresipWith starts baresip with more parameters of its account.
func baresipWith(t *testing.T, d *daemon, transport, user, more string) *device {
	return baresipAs(t, d, transport, user, uri(user), more)
}

// baresipAs starts baresip with the address aor.
func baresipAs(t *testing.T, d *daemon, transport, user, aor, more string) *device {
	path := installed(t, "baresip")
	home := t.TempDir()
	contacts, current := []string{"alice", "bob", "carol", "chat-1"}, 0
	list := ""
	for _, c := range contacts {
		list += fmt.Sprintf("%q <%s>\n", c, uri(c))
	}
	file(t, list, home, "contacts")
	file(t, uri(contacts[current]), home, "current_contact")
	file(t, fmt.Sprintf("<%s>;outbound=\"sip:%s;transport=%s\";regint=600;auth_pass=\"%s\"%s\n", aor, d.addr, transport, password, more), home, "accounts")
	file(t, fmt.Sprintf(`sip_listen 127.0.0.1:%d
audio_player none,none
module_path %s
module stdio.so
module g711.so
module uuid.so
module_tmp account.so
module_app contact.so
module_app menu.so
`, freePort(t), moduleDir(t)), home, "config")
	return &device{
		program: start(t, exec.Command(path, "-4", "-f", home)),
		user:    user,
		send: func(to, text string) string {
			steps := slices.Index(contacts, to) - current
			current += steps
			way := strings.Repeat("/contact_next\n", max(steps, 0)) + strings.Repeat("/contact_prev\n", max(-steps, 0))
			return way + "/message " + text
		},
		shows: func(from, text string) string { return uri(from) + ": \"" + text + "\"\n" },
		quit:  "/quit",
	}
}

// moduleDir returns the directory of baresip's modules.
func moduleDir(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules", "/usr/local/lib/baresip/modules"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("baresip is installed, but its modules are not found")
	return ""
}
