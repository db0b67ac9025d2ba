package db

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/auth"
	"silod/silo"
	"silod/sip"
)

// names are the domains of the tests: users do not differ by case, and 127.0.0.1 is another name
// of example.org.
var names = func() sip.Domains {
	d := sip.NewDomains("example.org")
	d.Configure(sip.DomainNames{Names: []string{"example.org", "other.example"}, Aliases: []string{"127.0.0.1"}})
	return d
}()

// spelled are users as Kamailio writes them, by the AoR.
var spelled = []struct {
	aor          string
	user, domain string
}{
	{"sip:+4917@example.org", "%2B4917", "example.org"},
	{"sip:+4917@example.org", "%2b49%317", "example.org"},
	{"sip:o'neil@example.org", "o%27neil", "example.org"},
	{"sip:dora@example.org", "dora", "EXAMPLE.org"},
	{"sip:dora@example.org", "dora", "127.0.0.1"},
	{"sip:dora@example.org", "dora", ""},
	{"sip:alice@example.org", "Alice", "example.org"},
	{"sip:alice@example.org", "ALICE", "Example.ORG"},
	{"sip:j%C3%BCrgen@example.org", "jürgen", "example.org"},
	{"sip:j%C3%BCrgen@example.org", "j%c3%bcrgen", "example.org"},
	{"sip:9901%231@example.org", "9901#1", "example.org"},
	{"sip:hans%20maier@example.org", "hans maier", "example.org"},
	{"sip:bob@other.example", "Bob", "other.example"},
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// insertAs stores a message as Kamailio's m_store does.
func insertAs(t testing.TB, db *DB, user, domain, body string) {
	t.Helper()
	rawExec(t, db, fmt.Sprintf(`INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
		VALUES ('sip:s@example.org', %s, %s, %s, %d, %d, 0, 'text/plain', '%s')`,
		sqlText("sip:"+user+"@"+domain), sqlText(user), sqlText(domain), noon.Unix(), noon.Unix()+3600, body))
}

// nextOf returns the texts that wait for a user.
func nextOf(t testing.TB, db *DB, a sip.AoR, devices ...string) string {
	t.Helper()
	ms, err := db.Messages().Next(t.Context(), a, devices, 0, 100, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if m.Owner != a {
			t.Errorf("a message of %s is one of %s", a, m.Owner)
		}
	}
	return bodies(ms)
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for user, want := range map[string][]string{
		"bob":          {"bob"},
		"+4917":        {"%2B4917", "%2b4917", "+4917"},
		"9901%231":     {"9901#1", "9901%231"},
		"j%C3%BCrgen":  {"j%C3%BCrgen", "j%c3%bcrgen", "jürgen"},
		"hans%20maier": {"hans maier", "hans%20maier"},
		"o'neil":       {"o%27neil", "o'neil"},
		"j%FCrg":       {"j%FCrg", "j%fcrg"},
	} {
		if got := spellingsOf(user); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q", user, got)
		}
	}
}

// Messages that Kamailio has stored under another name of their owner are found, counted,
// listed and deleted with the others, in the order of their IDs, and their rows do not change.
func TestMessagesInOtherSpellings(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		st := db.Messages()
		want := map[sip.AoR][]string{}
		put := func(round int) {
			for i, s := range spelled {
				a, body := aor(s.aor), fmt.Sprintf("%d.%d", round, i)
				insertAs(t, db, s.user, s.domain, body)
				own := text(body + "own")
				own.Owner = a
				add(t, st, own)
				want[a] = append(want[a], body, body+"own")
			}
		}
		rows := func() any {
			return rawValue(t, db, "SELECT COUNT(*) FROM silo WHERE username LIKE '%\\%2B4917'"+map[bool]string{true: " ESCAPE '\\'"}[db.layout.traits.prepare])
		}
		put(0)
		for a, texts := range want {
			if got := nextOf(t, db, a); got != strings.Join(texts, " ") {
				t.Errorf("%s: %s, want %s", a, got, texts)
			}
		}
		put(1) // while silod runs
		later(db)
		all := 0
		for a, texts := range want {
			all += len(texts)
			if got := nextOf(t, db, a); got != strings.Join(texts, " ") {
				t.Errorf("%s: %s, want %s", a, got, texts)
			}
			if n, err := count(t, st, a); n != len(texts) || err != nil {
				t.Errorf("%s: %d counted, %v; want %d", a, n, err, len(texts))
			}
			total, err := st.Tally(t.Context(), silo.Query{Owner: a})
			if total.Messages != len(texts) || err != nil {
				t.Errorf("%s: %+v, %v", a, total, err)
			}
			var listed []silo.Message
			for m, err := range st.List(t.Context(), silo.Query{Owner: a, Limit: len(texts) - 1}) {
				if err != nil {
					t.Fatal(err)
				}
				listed = append(listed, m)
			}
			if got := bodies(listed); got != strings.Join(texts[:len(texts)-1], " ") {
				t.Errorf("%s: listed %s", a, got)
			}
		}
		total, err := st.Tally(t.Context(), silo.Query{})
		if total.Messages != all || err != nil {
			t.Errorf("all: %+v, %v; want %d", total, err, all)
		}
		if n, err := st.Owners(t.Context()); n != len(want) || err != nil {
			t.Errorf("%d owners, %v; want %d", n, err, len(want))
		}
		waiting := map[sip.AoR]bool{}
		if err := st.Waiting(t.Context(), noon, func(a sip.AoR) { waiting[a] = true }); err != nil || len(waiting) != len(want) {
			t.Errorf("waiting: %v, %v", waiting, err)
		}
		if n := asInt(rows()); n != 2 {
			t.Errorf("%d rows have the spelling in which Kamailio wrote them", n)
		}
		deleteSpelled(t, db, want)
	})
}

// deleteSpelled deletes the messages of each owner in one way or another.
func deleteSpelled(t *testing.T, db *DB, want map[sip.AoR][]string) {
	t.Helper()
	st := db.Messages()
	phone := aor("sip:+4917@example.org")
	if n, err := st.Purge(t.Context(), silo.Query{Owner: phone}, 3); n != 3 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if got := nextOf(t, db, phone); got != strings.Join(want[phone][3:], " ") {
		t.Errorf("after the first three: %s", got)
	}
	dora := aor("sip:dora@example.org")
	ms, err := st.Next(t.Context(), dora, nil, 0, 2, noon)
	if err != nil || bodies(ms) != strings.Join(want[dora][:2], " ") {
		t.Fatal(bodies(ms), err)
	}
	marked := make(chan error, 1)
	st.Mark(ms[1].ID, []silo.Copy{{Device: "d1"}}, func(err error) { marked <- err })
	if err := <-marked; err != nil {
		t.Fatal(err)
	}
	remove(t, st, ms[0].ID)
	if got := nextOf(t, db, dora, "d1"); got != strings.Join(want[dora][2:], " ") {
		t.Errorf("for a device that has one: %s", got)
	}
	gone := 0
	for {
		out, err := st.Expire(t.Context(), noon.Add(2*time.Hour), 200)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out {
			if want[m.Owner] == nil {
				t.Errorf("expired one of %s", m.Owner)
			}
		}
		if gone += len(out); len(out) == 0 {
			break
		}
	}
	if got := nextOf(t, db, dora); got != "" || gone == 0 {
		t.Errorf("after the expiry: %s", got)
	}
}

// later has the next look at the table find new rows.
func later(db *DB) { db.messages.spellings.looked.Store(0) }

// When a domain becomes another name of the main domain, its messages are those of the main
// domain's users.
func TestSpellingsFollowDomains(t *testing.T) {
	t.Parallel()
	d := sip.NewDomains("example.org")
	onEachWith(t, Options{Domains: d}, func(t *testing.T, db *DB) {
		d := sip.NewDomains("example.org", "old.example")
		db.layout.domains = d
		bobs := text("one")
		bobs.Owner = aor("sip:bob@old.example")
		add(t, db.Messages(), bobs)
		if got := nextOf(t, db, bob); got != "" {
			t.Errorf("of another domain: %s", got)
		}
		d.Configure(sip.DomainNames{Names: []string{"example.org"}, Aliases: []string{"old.example"}})
		later(db)
		if got := nextOf(t, db, bob); got != "one" {
			t.Errorf("of another name of the domain: %s", got)
		}
		d.Configure(sip.DomainNames{Names: []string{"example.org", "old.example"}, CaseSensitive: true})
		later(db)
		if got := nextOf(t, db, bob); got != "" {
			t.Errorf("of another domain again: %s", got)
		}
	})
}

// A table that Kamailio has made for SQLite uses the IDs of deleted rows again.
func TestSpellingsOfReusedIDs(t *testing.T) {
	t.Parallel()
	e := engines[0]
	db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{Domains: names})
	phone := aor("sip:+4917@example.org")
	for i := range 20 {
		insertAs(t, db, fmt.Sprintf("%%2b4917%d", i), "example.org", "x")
		later(db)
		a := aor(fmt.Sprintf("%s%d@example.org", strings.TrimSuffix(phone.String(), "@example.org"), i))
		ms, err := db.Messages().Next(t.Context(), a, nil, 0, 10, noon)
		if err != nil || len(ms) != 1 {
			t.Fatalf("%d: %d messages, %v", i, len(ms), err)
		}
		remove(t, db.Messages(), ms[0].ID)
	}
}

// Tables that Kamailio has made on MariaDB may have another character set and ignore case.
func TestSpellingsInLatin1(t *testing.T) {
	t.Parallel()
	e := engines[2]
	db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{Domains: names})
	rawExec(t, db, "ALTER TABLE silo CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
	for i, user := range []string{"jürgen", "Jürgen", "j%C3%BCrgen", "jurgen"} {
		insertAs(t, db, user, "EXAMPLE.org", fmt.Sprint(i))
		insertAs(t, db, user, "example.org", fmt.Sprint("own", i))
	}
	jurgen, other := aor("sip:j%C3%BCrgen@example.org"), aor("sip:jurgen@example.org")
	if got := nextOf(t, db, jurgen); got != "0 own0 1 own1 2 own2" {
		t.Errorf("got %q", got)
	}
	if n, err := count(t, db.Messages(), jurgen); n != 6 || err != nil {
		t.Errorf("%d counted, %v", n, err)
	}
	if got := nextOf(t, db, other); got != "3 own3" {
		t.Errorf("got %q", got)
	}
}

// A user whose name would be too long with escapes is stored without them.
func TestLongSpelling(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		a := names.Row("Александр Сергеевич Пушкин", "")
		m := text("long")
		m.Owner = a
		add(t, db.Messages(), m)
		if got := nextOf(t, db, a); got != "long" {
			t.Errorf("got %q", got)
		}
	})
}

func TestUsersInOtherSpellings(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		st := db.Users()
		for i, s := range spelled {
			rawExec(t, db, "DELETE FROM subscriber", fmt.Sprintf("INSERT INTO subscriber (username, domain, password, ha1) VALUES (%s, %s, '', 'h%d')",
				sqlText(s.user), sqlText(s.domain), i))
			a := aor(s.aor)
			got, err := st.Lookup(t.Context(), a)
			if s.user == "%2b49%317" { // no program writes this
				if !errors.Is(err, auth.ErrUnknownUser) {
					t.Errorf("%q: %v", s.user, err)
				}
				continue
			}
			if err != nil || got.HA1[auth.MD5] != fmt.Sprint("h", i) || got.Name != s.user {
				t.Errorf("%q: %v %q, %v", s.user, got.HA1, got.Name, err)
			}
			if err := st.AddUser(t.Context(), a, auth.NewSecret(a, "r", "pw")); !errors.Is(err, auth.ErrUserExists) {
				t.Errorf("%q: added again: %v", s.user, err)
			}
			secret := auth.NewSecret(a, "r", "pw")
			secret.Name = s.user
			if err := st.SetSecret(t.Context(), a, secret); err != nil {
				t.Errorf("%q: %v", s.user, err)
			}
			if got := lookup(t, st, a); !sameSecret(got, secret) || got.Name != s.user {
				t.Errorf("%q: %q", s.user, got.Name)
			}
			var listed []sip.AoR
			for u, err := range st.Users(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				listed = append(listed, u.AoR)
			}
			if !slices.Equal(listed, []sip.AoR{a}) {
				t.Errorf("%q: listed %v", s.user, listed)
			}
			if err := st.RemoveUser(t.Context(), a); err != nil {
				t.Errorf("%q: %v", s.user, err)
			}
			if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM subscriber")) + asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_secret")); n != 0 {
				t.Errorf("%q: %d rows are left", s.user, n)
			}
		}
	})
}

// Several rows of one user: the one with the AoR's name counts, and no password of another
// remains.
func TestUserTwice(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		st := db.Users()
		rawExec(t, db, "INSERT INTO subscriber (username, domain, ha1) VALUES ('dora', 'EXAMPLE.ORG.', 'no'), ('dora', '127.0.0.1', 'first'), ('dora', 'example.org', 'second')")
		dora := aor("sip:dora@example.org")
		if got := lookup(t, st, dora); got.HA1[auth.MD5] != "second" {
			t.Errorf("%v", got.HA1)
		}
		n := 0
		for u, err := range st.Users(t.Context()) {
			if n++; err != nil || u.AoR != dora {
				t.Error(u, err)
			}
		}
		if n != 1 {
			t.Errorf("%d users", n)
		}
		if err := st.SetSecret(t.Context(), dora, auth.NewSecret(dora, "r", "pw")); err != nil {
			t.Fatal(err)
		}
		if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM subscriber")); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestAliasesInOtherSpellings(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{Domains: names})
			rawExec(t, db, `CREATE TABLE dbaliases (alias_username VARCHAR(64) NOT NULL, alias_domain VARCHAR(64) NOT NULL,
				username VARCHAR(64) NOT NULL, domain VARCHAR(64) NOT NULL)`,
				"INSERT INTO dbaliases VALUES ('Sales', '', 'B%6fB', 'EXAMPLE.org'), ('%2B49', '127.0.0.1', 'bob', '')")
			closeDB(t, db)
			db = open(t, url, Options{Domains: names}) // with the index
			for _, alias := range []string{"sip:sales@example.org", "sip:+49@example.org"} {
				if ok, err := db.Users().Aliases(t.Context(), bob, aor(alias)); !ok || err != nil {
					t.Errorf("%s: %v, %v", alias, ok, err)
				}
			}
		})
	}
}
