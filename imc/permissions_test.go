package imc_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/imc"
)

// roles are the columns of testdata/permissions, each with the commands by which zoe gets it.
var roles = []struct{ name, set string }{
	{"outsider", ""},
	{"invited", "olga #invite zoe"},
	{"member", "olga #add zoe"},
	{"muted", "olga #add zoe, olga #mute zoe"},
	{"voiceless", "olga #add zoe, olga #moderate"},
	{"voiced", "olga #add zoe, olga #voice zoe, olga #moderate"},
	{"admin", "olga #add zoe, olga #modify zoe admin"},
	{"muted-admin", "olga #add zoe, olga #modify zoe admin, olga #mute zoe"},
	{"owner", "olga #invite zoe, zoe #accept, olga #modify zoe owner"},
	{"banned", "olga #ban zoe"},
	{"left", "olga #invite zoe, zoe #accept, zoe #exit"},
	{"former", "olga #add zoe, olga #mute zoe, olga #remove zoe"},
	{"blocking", "zoe #block"},
}

// requests are the rows. ann is an admin, tom a member, moe a muted one, ben a banned user.
var requests = strings.Split(`hello
/me waves
##list
#friday
#exti
#create
#create ROOM private
#join
#invite new
#invite ben
#add new
#add ben
#accept
#deny
#remove tom
#remove ann
#remove olga
#exit
#list
#rooms
#destroy
#modify tom admin
#modify tom owner
#modify ann member
#modify olga member
#modify zoe owner
#topic tea
#topic
#title Tea
#title
#nick Zed
#who
#history
#history 5
#history since 1h
#catchup 5
#catchup all
#catchup none
#openhistory
#closehistory
#ban tom
#ban new for 1h spam
#ban ann
#ban olga
#unban ben
#unban zoe
#bans
#mute tom
#mute ann
#mute olga
#unmute moe
#unmute zoe
#moderate
#unmoderate
#voice tom
#voice zoe
#devoice tom
#private
#public
#block
#unblock
#blocks
#help`, "\n")

// TestPermissions tries each request in each role, in a public and in a private room. The answers
// are in testdata/permissions: a letter for each reason phrase. Each command has a row.
func TestPermissions(t *testing.T) {
	var out strings.Builder
	letters, legend := map[string]string{"200 OK": "."}, ""
	for _, kind := range []string{"public", "private"} {
		fmt.Fprintf(&out, "%s\n", kind)
		for _, text := range requests {
			fmt.Fprintf(&out, "  %-22s", text)
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, newMemStore(), func(c *imc.Config) { c.MaxRate = 0 })
				defer func() { w.stop() }()
				for i, role := range roles {
					room := fmt.Sprintf("chat-%d", i+1)
					setRole(w, room, kind, role.set)
					reply := w.say("zoe", room, strings.ReplaceAll(text, "ROOM", room))
					key := fmt.Sprintf("%d %s", reply.Status, reply.Reason)
					if letters[key] == "" {
						letters[key] = string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"[len(letters)-1])
						legend += letters[key] + " = " + key + "\n"
					}
					out.WriteString(" " + letters[key])
					time.Sleep(3 * time.Hour)
				}
			})
			out.WriteString("\n")
		}
	}
	for _, line := range readCommands(t) {
		if !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(r+" ", line+" ") }) {
			t.Errorf("no row for %s", line)
		}
	}
	names := ""
	for _, role := range roles {
		names += " " + role.name
	}
	got := "columns:" + names + "\n" + out.String() + legend
	file := filepath.Join("testdata", "permissions")
	if flag.Lookup("update").Value.String() == "true" { // of doc_test.go
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s", got)
	}
}

// setRole creates a room of olga in which zoe has a role.
func setRole(w *world, room, kind, set string) {
	w.t.Helper()
	w.must("olga", room, "#create "+room+" "+strings.TrimPrefix(kind, "public"))
	for _, c := range []string{"add ann", "modify ann admin", "add tom", "add moe", "mute moe", "ban ben"} {
		w.must("olga", room, "#"+c)
	}
	for c := range strings.SplitSeq(set, ", ") {
		if by, text, ok := strings.Cut(c, " "); ok {
			w.must(by, room, text)
		}
	}
	w.ignore()
}

// readCommands returns the names of the commands that #help lists.
func readCommands(t *testing.T) (names []string) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "rooms.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "| `#"); found {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, "#"+strings.TrimRight(name, "`,"))
		}
	}
	return names
}
