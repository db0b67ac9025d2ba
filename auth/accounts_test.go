package auth

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"silod/sip"
)

// memoryUsers are Users in memory, with the rows of memoryCredentials.
type memoryUsers struct{ *memoryCredentials }

func (r memoryUsers) Users(context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		order := func(a, b sip.AoR) int {
			return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.User, b.User))
		}
		for _, user := range slices.SortedFunc(maps.Keys(r.secrets), order) {
			u := User{AoR: user}
			for _, alg := range Algorithms() {
				if s := r.secrets[user]; s.Password != "" || s.HA1[alg] != "" {
					u.Algorithms = append(u.Algorithms, alg)
				}
			}
			if !yield(u, nil) {
				return
			}
		}
		if r.down != nil {
			yield(User{}, r.down)
		}
	}
}

func (r memoryUsers) AddUser(_ context.Context, user sip.AoR, s Secret) error {
	if _, there := r.secrets[user]; there {
		return ErrUserExists
	}
	r.secrets[user] = s
	return r.down
}

func (r memoryUsers) SetSecret(_ context.Context, user sip.AoR, s Secret) error {
	if _, there := r.secrets[user]; !there {
		return ErrUnknownUser
	}
	r.secrets[user] = s
	return r.down
}

func (r memoryUsers) RemoveUser(_ context.Context, user sip.AoR) error {
	if _, there := r.secrets[user]; !there {
		return ErrUnknownUser
	}
	delete(r.secrets, user)
	return r.down
}

// A user that a command added can authenticate with each algorithm, and a changed
// password counts at once although there is a cache.
func TestAccounts(t *testing.T) {
	var log bytes.Buffer
	db := memoryUsers{testUsers(t)}
	cache := NewCache(db, CacheOptions{})
	accounts := NewAccounts(AccountOptions{Users: db, Domains: ours, Changed: cache.Invalidate})
	r := registry(&log, accounts.Commands()...)
	accepted := func(name, password, domain string) (n int) {
		for _, alg := range Algorithms() {
			a := server(t, Options{Credentials: cache, Algorithms: []Algorithm{alg}})
			req := message(client{name: name, password: password}.answer(a.Challenge(domain, here), "MESSAGE", bobURI, 1))
			req.Realm = domain
			if verify(t, a, req).Outcome == Accepted {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		command  string
		args     []string
		want     string
		accepted int // by how many algorithms, with the last argument as password of dave
	}{
		{"sub_add", []string{"dave@second.test", "secret one"}, "", 3},
		{"sub_add", []string{"sip:dave@second.test", "secret two"}, "409 User sip:dave@second.test exists: sub_passwd changes the password", 0},
		{"sub_passwd", []string{"dave@second.test", "secret three"}, "", 3},
		{"sub.passwd", []string{"dave@SECOND.test:5070", "secret fóur"}, "", 3},
		{"sub_passwd", []string{"dave", "secret five"}, "404 No user sip:dave@sip.test", 0},
		{"sub_passwd", []string{"dave@second.test", ""}, "400 The password is empty", 0},
		{"sub_passwd", []string{"dave@second.test", "secret\n"}, "400 The password contains a control character", 0},
		{"sub_passwd", []string{"dave@second.test", strings.Repeat("x", 257)}, "400 The password is longer than 256 bytes", 0},
		{"sub_add", []string{"dave@other.example", "secret six"}, "400 other.example is not a domain of this server", 0},
		{"sub_add", []string{"dave@", "secret seven"}, `400 Bad user, URI "sip:dave@": empty host`, 0},
		{"sub_add", []string{"erin"}, "400 Too few or too many arguments", 0},
		{"sub_list", nil, "USER user=sip:dave@second.test algorithms=SHA-512-256 SHA-256 MD5\n" +
			"USER user=sip:alice@sip.test algorithms=SHA-512-256 SHA-256 MD5\n" +
			"USER user=sip:bob@sip.test algorithms=SHA-512-256 SHA-256 MD5\n" +
			"USER user=sip:carol@sip.test algorithms=MD5\n", 0},
		{"sub_remove", []string{"dave@second.test"}, "", 0},
		{"sub_remove", []string{"dave@second.test"}, "404 No user sip:dave@second.test", 0},
	} {
		if got := call(r, step.command, step.args...); !strings.HasPrefix(got, step.want) || step.want == "" && got != "" {
			t.Errorf("%s %q: got %q, want %q", step.command, step.args, got, step.want)
		}
		if len(step.args) == 2 {
			if n := accepted("dave", step.args[1], "second.test"); n != step.accepted {
				t.Errorf("%s %q: accepted by %d algorithms", step.command, step.args, n)
			}
		}
	}
	if n := accepted("dave", "secret fóur", "second.test"); n != 0 {
		t.Error("a removed user is accepted")
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "dave@second.test") {
		t.Errorf("the log has a password, or not the user:\n%s", &log)
	}
	for user, s := range db.secrets {
		if user.Domain == "second.test" || strings.Contains(s.Password, "secret") {
			t.Errorf("the password of %s is stored in the clear", user)
		}
	}
}

// Even if the database fails, the cached entry is removed.
func TestAccountsWhenTheDatabaseFails(t *testing.T) {
	db := memoryUsers{testUsers(t)}
	db.down = errors.New("connection lost")
	changed := 0
	accounts := NewAccounts(AccountOptions{
		Users: db, Domains: ours, Changed: func(sip.AoR) { changed++ }, Realm: func(string) string { return "chat" },
	})
	r := registry(&bytes.Buffer{}, accounts.Commands()...)
	if got := call(r, "sub_passwd", "alice", "new"); got != "500 command failed" || changed != 1 {
		t.Errorf("got %q, Changed called %d times", got, changed)
	}
	if got := call(r, "sub_list"); !strings.HasSuffix(got, "connection lost") {
		t.Errorf("the list does not end with the error: %q", got)
	}
	if s := db.secrets[aor(t, "alice")]; s.HA1[SHA256] != SHA256.HA1("alice", "chat", "new") || s.HA1B[MD5] != MD5.HA1("alice@sip.test", "chat", "new") {
		t.Error("the hashes are not of the realm")
	}
}
