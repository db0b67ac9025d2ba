package imc

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "update the generated parts of the document")

const roomsDoc = "../docs/rooms.md"

// commandTable returns the table of commands for the document.
func commandTable() string {
	s := New(Options{}, Settings{config: DefaultConfig()})
	var b strings.Builder
	b.WriteString("| command | available to | |\n| --- | --- | --- |\n")
	for _, c := range commands {
		names := "`" + strings.ReplaceAll(s.usage(c, false), "|", "\\|") + "`"
		for _, a := range c.aliases {
			names += ", `#" + a + "`"
		}
		roles := map[Role]string{anyone: "all users", Plain: "members", Admin: "owner and admins", Owner: "owner"}[c.role]
		fmt.Fprintf(&b, "| %s | %s | %s |\n", names, roles, c.help)
	}
	return b.String()
}

// textTable returns all texts with their own placeholders.
func textTable() string {
	var b strings.Builder
	b.WriteString("| key | default | placeholders |\n| --- | --- | --- |\n")
	for _, key := range slices.Sorted(maps.Keys(wordings)) {
		w := wordings[key]
		var names []string
		for n := range strings.FieldsSeq(w.names) {
			names = append(names, "{"+n+"}")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", key, strings.ReplaceAll(w.template, "|", "\\|"), strings.Join(names, " "))
	}
	return b.String()
}

// generated replaces the part of a document from the mark to the next end mark.
func generated(t *testing.T, doc, mark, text string) string {
	t.Helper()
	before, rest, ok1 := strings.Cut(doc, "<!-- "+mark+":")
	line, rest, ok2 := strings.Cut(rest, "\n")
	_, after, ok3 := strings.Cut(rest, "<!-- end -->")
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("docs/rooms.md has no marks for the %s", mark)
	}
	return before + "<!-- " + mark + ":" + line + "\n" + text + "<!-- end -->" + after
}

// TestRoomsDoc checks that the tables of docs/rooms.md are up to date.
func TestRoomsDoc(t *testing.T) {
	got, err := os.ReadFile(roomsDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := generated(t, string(got), "commands", commandTable())
	want = generated(t, want, "texts", textTable())
	if *update {
		if err := os.WriteFile(roomsDoc, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
		return
	}
	if string(got) != want {
		t.Error("docs/rooms.md is out of date: run the test with -update")
	}
}

// TestRoomsDocDefaults checks that docs/rooms.md states the actual defaults.
func TestRoomsDocDefaults(t *testing.T) {
	doc, err := os.ReadFile(roomsDoc)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(doc)), " ")
	c := DefaultConfig()
	for _, want := range []string{
		fmt.Sprintf("`imc.catch_up` (%.0f days)", c.CatchUp.Hours()/24),
		fmt.Sprintf("as far back as `imc.history` goes (%.0f days)", c.History.Hours()/24),
		fmt.Sprintf("`imc.pause_after` (%.0f days)", c.PauseAfter.Hours()/24),
		fmt.Sprintf("`%s` (`imc.manager`)", c.Manager),
		fmt.Sprintf("The URI of a room has at most %d characters", maxRoomURI),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/rooms.md does not say: %s", want)
		}
	}
}
