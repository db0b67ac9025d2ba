package db

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"silod/auth"
	"silod/sip"
)

func lookup(t testing.TB, st UserStore, user sip.AoR) auth.Secret {
	t.Helper()
	s, err := st.Lookup(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sameSecret(a, b auth.Secret) bool {
	return reflect.DeepEqual(a.HA1, b.HA1) && reflect.DeepEqual(a.HA1B, b.HA1B) && reflect.DeepEqual(a.InURI, b.InURI) && a.Password == b.Password
}

func TestUsers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Users()
		first, second := auth.NewSecret(bob, "example.org", "one"), auth.NewSecret(bob, "example.org", "two")
		want := func(what string, got, want error) {
			t.Helper()
			if !errors.Is(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		_, err := st.Lookup(t.Context(), bob)
		want("look up an unknown user", err, auth.ErrUnknownUser)
		want("change an unknown user", st.SetSecret(t.Context(), bob, first), auth.ErrUnknownUser)
		want("remove an unknown user", st.RemoveUser(t.Context(), bob), auth.ErrUnknownUser)
		want("add", st.AddUser(t.Context(), bob, first), nil)
		want("add again", st.AddUser(t.Context(), bob, second), auth.ErrUserExists)
		if !sameSecret(lookup(t, st, bob), first) {
			t.Error("the secret is a different one")
		}
		_, err = st.Lookup(t.Context(), aor("Bob@example.org"))
		want("another case", err, auth.ErrUnknownUser)
		want("change", st.SetSecret(t.Context(), bob, second), nil)
		if !sameSecret(lookup(t, st, bob), second) {
			t.Error("the secret is the old one")
		}
		want("remove", st.RemoveUser(t.Context(), bob), nil)
		_, err = st.Lookup(t.Context(), bob)
		want("look up a removed user", err, auth.ErrUnknownUser)
		want("a long name", st.AddUser(t.Context(), sip.AoR{User: strings.Repeat("u", 65), Domain: "d"}, first), errInvalid)
	})
}

// TestUsersOfKamailio: kamctl adds users and changes passwords without silod's tables.
// Then the hashes of other algorithms must not accept the old password.
func TestUsersOfKamailio(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Users()
		rawExec(t, db, "INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES ('alice', 'example.org', 'pw', 'abc', 'def')")
		got := lookup(t, st, alice)
		if want := (auth.Secret{HA1: auth.Hashes{auth.MD5: "abc"}, HA1B: auth.Hashes{auth.MD5: "def"}, Password: "pw"}); !sameSecret(got, want) {
			t.Errorf("%v", got.HA1)
		}
		if err := st.AddUser(t.Context(), bob, auth.NewSecret(bob, "example.org", "one")); err != nil {
			t.Fatal(err)
		}
		rawExec(t, db, "UPDATE subscriber SET ha1 = 'new', ha1b = 'newb' WHERE username = 'bob'")
		if got := lookup(t, st, bob); len(got.HA1) != 1 || got.HA1[auth.MD5] != "new" {
			t.Errorf("%v", got.HA1)
		}
	})
}

// TestUserInURI: the hashes of the name as a URI writes it are those of the same password.
func TestUserInURI(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st, door := db.Users(), aor("9901%231@example.org")
		secret := auth.NewSecret(door, "example.org", "one")
		if err := st.AddUser(t.Context(), door, secret); err != nil {
			t.Fatal(err)
		}
		if got := lookup(t, st, door); !sameSecret(got, secret) || len(got.InURI.HA1B) != len(auth.Algorithms()) {
			t.Errorf("%v, %v", got.HA1, got.InURI)
		}
		rawExec(t, db, "UPDATE subscriber SET ha1 = 'new'")
		if got := lookup(t, st, door); got.InURI.HA1 != nil || got.InURI.HA1B != nil {
			t.Errorf("after a change by another program: %v", got.InURI)
		}
		if err := st.SetSecret(t.Context(), door, secret); err != nil {
			t.Fatal(err)
		}
		if got := lookup(t, st, door); !sameSecret(got, secret) {
			t.Errorf("after a change: %v, %v", got.HA1, got.InURI)
		}
		if err := st.RemoveUser(t.Context(), door); err != nil {
			t.Fatal(err)
		}
		if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_secret")); n != 0 {
			t.Errorf("%d hashes remain", n)
		}
	})
}

func TestUserList(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Users()
		var want []sip.AoR
		var values []string
		for i := range 450 {
			a := aor(fmt.Sprintf("u%03d@d%d.example", i%225, i/225))
			want = append(want, a)
			values = append(values, fmt.Sprintf("('%s', '%s', 'x')", a.User, a.Domain))
		}
		rawExec(t, db, "INSERT INTO subscriber (username, domain, ha1) VALUES "+strings.Join(values, ", "))
		var got []sip.AoR
		for u, err := range st.Users(t.Context()) {
			if err != nil || !reflect.DeepEqual(u.Algorithms, []auth.Algorithm{auth.MD5}) {
				t.Fatal(u, err)
			}
			got = append(got, u.AoR)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d users, or in another order", len(got))
		}
	})
}
