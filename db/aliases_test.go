package db

import (
	"testing"
	"time"
)

// TestAliases: an alias counts exactly as Kamailio's table has it.
func TestAliases(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			now := noon
			db := open(t, e.fresh(t), Options{Now: func() time.Time { return now }})
			check := func(user, alias string, want bool) {
				t.Helper()
				if ok, err := db.Users().Aliases(t.Context(), aor(user), aor(alias)); ok != want || err != nil {
					t.Errorf("%s as %s: %v, %v; want %v", user, alias, ok, err, want)
				}
			}
			check("bob@example.org", "sales@example.org", false) // the table does not exist
			id := map[string]string{
				"sqlite": "INTEGER PRIMARY KEY NOT NULL", "postgres": "SERIAL PRIMARY KEY NOT NULL",
				"mariadb": "INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL",
			}[e.name]
			rawExec(t, db,
				"CREATE TABLE dbaliases (id "+id+`, alias_username VARCHAR(64) DEFAULT '' NOT NULL, alias_domain VARCHAR(64) DEFAULT '' NOT NULL,
					username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL)`,
				`INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES
					('sales', 'example.org', 'bob', 'example.org'), ('sales', 'example.org', 'carol', 'example.org')`)
			check("bob@example.org", "sales@example.org", false) // the table is not looked for again
			now = now.Add(noAliasesFor)
			check("bob@example.org", "sales@example.org", true)
			check("carol@example.org", "sales@example.org", true)
			check("alice@example.org", "sales@example.org", false)
			check("sales@example.org", "bob@example.org", false)
			check("bob@example.org", "Sales@example.org", false)
			check("Bob@example.org", "sales@example.org", false)
			check("bob@example.org", "sales@example.net", false)
			check("bob@example.net", "sales@example.org", false)
		})
	}
}
