package db

import (
	"strings"
	"testing"
)

// TestCopyAliasesToText: a copy to a directory creates Kamailio's file of aliases if the source has
// some. Kamailio's version of the table is there too.
func TestCopyAliasesToText(t *testing.T) {
	t.Parallel()
	for _, aliases := range []string{"", "INSERT INTO dbaliases VALUES (5, 'sales', 'example.org', 'bob', 'example.org'), (7, 'it', '', 'bob', 'example.org')"} {
		from, dir := open(t, engines[0].fresh(t), Options{}), t.TempDir()
		rawExec(t, from, `CREATE TABLE dbaliases (id INTEGER PRIMARY KEY NOT NULL, alias_username VARCHAR(64), alias_domain VARCHAR(64),
			username VARCHAR(64), domain VARCHAR(64))`)
		if aliases != "" {
			rawExec(t, from, aliases)
		}
		to := open(t, "text:"+dir, Options{})
		err := Copy(t.Context(), from, to, CopyOptions{Domain: "example.org", Passed: func(p Passed) { t.Error(p) }})
		if err != nil {
			t.Fatal(err)
		}
		closeDB(t, to)
		if aliases == "" {
			for _, e := range ls(t, dir) {
				if e.Name() == "dbaliases" {
					t.Error("a file without aliases")
				}
			}
			continue
		}
		want := "id(int,auto) alias_username(string) alias_domain(string) username(string) domain(string)\n" +
			"1:it:\\0:bob:example.org\n2:sales:example.org:bob:example.org\n"
		if got := readText(t, dir, "dbaliases"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := readText(t, dir, "version"); strings.Count(got, "dbaliases:1\n") != 1 {
			t.Errorf("versions %q", got)
		}
		again := open(t, "text:"+dir, Options{})
		if ok, err := again.Users().Aliases(t.Context(), bob, aor("sales@example.org")); !ok || err != nil {
			t.Errorf("alias: %v, %v", ok, err)
		}
	}
}
