package db

import (
	"fmt"
	"slices"
	"testing"

	"silod/auth"
	"silod/sip"
)

// TestAccounts reads more accounts than a page has, and aliases of accounts that exist and of one that
// does not.
func TestAccounts(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		users := db.Users()
		rows := ""
		want := pageRows + 3
		for i := range want {
			rows += fmt.Sprintf(", ('u%d', 'example.org', 'p', '')", i)
		}
		rawExec(t, db, "INSERT INTO subscriber (username, domain, password, ha1) VALUES "+rows[2:])
		seen := map[auth.Account]bool{}
		if err := users.EachAccount(t.Context(), func(a auth.Account) { seen[a] = true }); err != nil || len(seen) != want {
			t.Fatalf("%d accounts, want %d; %v", len(seen), want, err)
		}
		has := func(user string, want bool) {
			t.Helper()
			if got, err := users.HasAccount(t.Context(), aor(user+"@example.org")); got != want || err != nil {
				t.Errorf("%s: %t, %v", user, got, err)
			}
		}
		has("u1", true)
		rawExec(t, db, "CREATE TABLE dbaliases (alias_username VARCHAR(64), alias_domain VARCHAR(64), username VARCHAR(64), domain VARCHAR(64))",
			`INSERT INTO dbaliases VALUES ('first', 'example.org', 'u1', 'example.org'), ('ghost', 'example.org', 'removed', 'example.org')`)
		has("first", true)
		has("ghost", false)
		if got, err := users.AliasesOf(t.Context(), aor("u1@example.org")); err != nil || !slices.Equal(got, []sip.AoR{aor("first@example.org")}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
