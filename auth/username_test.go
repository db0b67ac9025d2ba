package auth

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"silod/sip"
)

// loginAs logs in with a header in which this replaces the user name. The client has hashed the
// name as given.
func loginAs(t testing.TB, a *Authenticator, header, hashed, password string) Result {
	t.Helper()
	answer := client{name: hashed, password: password}.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
	return verify(t, a, message(strings.Replace(answer, `username="`+hashed+`"`, header, 1)))
}

// Clients write the names of users in many ways, and hash them as they are written. A password in
// the clear serves all; HA1s serve those that write the name as it is stored, or as in the AoR.
func TestUserNames(t *testing.T) {
	const password = "pässword"
	for _, tc := range []struct {
		user           string // as in a URI
		header, hashed string
		byHA1          bool // an HA1 serves it too
	}{
		{"9901%231", `username="9901#1"`, "9901#1", true},
		{"9901%231", `username="9901%231"`, "9901%231", true},
		{"9901%231", `username="9901#1@sip.test"`, "9901#1@sip.test", true},
		{"9901%231", `username="9901%231@sip.test"`, "9901%231@sip.test", true},
		{"9901%231", `username="9901%231@SIP.test"`, "9901%231@SIP.test", false},
		{"j%C3%BCrgen", `username="jürgen"`, "jürgen", true},
		{"j%C3%BCrgen", `username="j%C3%BCrgen"`, "j%C3%BCrgen", true},
		{"j%C3%BCrgen", `username="j%c3%bcrgen"`, "j%c3%bcrgen", false},
		{"j%C3%BCrgen", "username=\"j\xfcrgen\"", "j\xfcrgen", false},
		{"j%C3%BCrgen", "username=\"j\xfcrgen@sip.test\"", "j\xfcrgen@sip.test", false},
		{"j%C3%BCrgen", `username*=UTF-8''j%C3%BCrgen`, "jürgen", true},
		{"j%C3%BCrgen", `username*=utf-8'de'j%c3%bcrgen`, "jürgen", true},
		{"hans%20maier", `username="hans%20maier"`, "hans%20maier", true},
		{"hans%20maier", `username="hans maier"`, "hans maier", true},
		{"hans%20maier", `username="hans maier@sip.test"`, "hans maier@sip.test", true},
		{"a%22b", `username="a\"b"`, `a"b`, true},
		{"a%22b", `username="a\"b"`, `a\"b`, false},
		{"a%5Cb", `username="a\\b"`, `a\b`, true},
		{"a%5Cb", `username="a\\b"`, `a\\b`, false},
		{"alice", `username="al\ice"`, "alice", true},
		{"alice", `username="Alice"`, "Alice", false},
		{"alice", `username="alice@sip.test"`, "alice@sip.test", true},
		{"hans%40elsewhere.example", `username="hans@elsewhere.example"`, "hans@elsewhere.example", true},
		{"hans%40elsewhere.example", `username="hans@elsewhere.example@sip.test"`, "hans@elsewhere.example@sip.test", true},
		{"50%25", `username="50%"`, "50%", true},
		{"%7B%7D%7C%5E", `username="{}|^"`, "{}|^", true},
	} {
		user := aor(t, "sip:"+tc.user+"@sip.test")
		plain, hashed := Secret{Password: password}, NewSecret(user, realm, password)
		both := hashed
		both.Password = password
		old := hashed
		old.Password = "an old one"
		for name, kind := range map[string]struct {
			secret Secret
			want   bool
		}{
			"in the clear":             {plain, true},
			"HA1s":                     {hashed, tc.byHA1},
			"both":                     {both, true},
			"HA1s, and another secret": {old, tc.byHA1},
		} {
			a := server(t, Options{Algorithms: []Algorithm{MD5}, Credentials: &memoryCredentials{secrets: map[sip.AoR]Secret{user: kind.secret}}})
			res := loginAs(t, a, tc.header, tc.hashed, password)
			if (res.Outcome == Accepted) != kind.want || kind.want && res.User != user {
				t.Errorf("%s, hashed as %s, with %s: outcome %v of %s", tc.header, tc.hashed, name, res.Outcome, res.User)
			}
			if res := loginAs(t, a, tc.header, tc.hashed, "wrong"); res.Outcome != WrongPassword {
				t.Errorf("%s with a wrong password: outcome %v", tc.header, res.Outcome)
			}
		}
	}
}

// A client whose text is not in UTF-8 hashes the password in the same characters.
func TestLatin1Password(t *testing.T) {
	user := aor(t, "jürgen")
	a := server(t, Options{Credentials: &memoryCredentials{secrets: map[sip.AoR]Secret{user: {Password: "grün"}}}})
	want(t, loginAs(t, a, "username=\"j\xfcrgen\"", "j\xfcrgen", "gr\xfcn"), Accepted)
	want(t, loginAs(t, a, `username="jürgen"`, "jürgen", "gr\xfcn"), WrongPassword)
}

// All spellings of a user are one in the counts of failures.
func TestSpellingsFailTogether(t *testing.T) {
	bans := NewBans(BanOptions{})
	a := server(t, Options{Bans: bans, Algorithms: []Algorithm{MD5}})
	for i := range 21 {
		name := []string{"alice", "ALICE", "alic%65", "Alice@sip.test", `al\ice`}[i%5]
		want(t, loginAs(t, a, `username="`+name+`"`, name, fmt.Sprint(i)), WrongPassword)
	}
	want(t, loginAs(t, a, `username="alicE"`, "alicE", "x"), Banned)
	if n := bans.pairs.Len(); n != 1 || bans.Banned(flowFrom(here)) {
		t.Errorf("%d users have failed", n)
	}
}

// One entry of the cache serves all spellings, and is removed for all.
func TestCacheOfSpellings(t *testing.T) {
	users := &memoryCredentials{secrets: map[sip.AoR]Secret{}}
	cache := NewCache(users, CacheOptions{})
	a := server(t, Options{Credentials: cache, Algorithms: []Algorithm{MD5}})
	names := []string{"9901#1", "9901%231", "9901#1@sip.test", "9901%231@SIP.TEST"}
	try := func(password string, outcome Outcome) {
		t.Helper()
		for _, name := range names {
			want(t, loginAs(t, a, `username="`+name+`"`, name, password), outcome)
		}
	}
	try("one", UnknownUser)
	for _, password := range []string{"one", "two"} {
		users.secrets[aor(t, "9901#1")] = Secret{Password: password}
		cache.Invalidate(aor(t, "9901%231"))
		try(password, Accepted)
	}
	if n := users.asked.Load(); n != 3 {
		t.Errorf("%d look-ups", n)
	}
}

func TestExtendedUserName(t *testing.T) {
	for in, why := range map[string]string{
		`Digest username="a", username*=UTF-8''a`: "username and username* exclude each other",
		`Digest username*=ISO-8859-1''a`:          "username*: expected UTF-8''NAME",
		`Digest username*=UTF-8`:                  "username*: expected UTF-8''NAME",
		`Digest username*=UTF-8'a`:                "username*: expected UTF-8''NAME",
		`Digest username*=UTF-8''%`:               "username*: not text in UTF-8 with escapes",
		`Digest username*=UTF-8''%zz`:             "username*: not text in UTF-8 with escapes",
		`Digest username*=UTF-8''%FC`:             "username*: not text in UTF-8 with escapes",
		`Digest username*=UTF-8''a%00`:            "username*: not text in UTF-8 with escapes",
	} {
		if c, err := parseCredentials(in); c != nil || err == nil || err.Error() != why {
			t.Errorf("%s: %+v, %v", in, c, err)
		}
	}
	// The example of RFC 7616 section 3.9.2.
	c, err := parseCredentials(`Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe`)
	if err != nil || c.username != "Jäsøn Doe" {
		t.Errorf("%+v, %v", c, err)
	}
}

// The HA1s of a new user are those of the name as an administrator writes it, because phones hash
// what their users write; those of a new password are of the name that is stored.
func TestAccountsKeepTheSpelling(t *testing.T) {
	for arg, name := range map[string]string{
		"Dave": "Dave", "sip:Dave@sip.test": "Dave", "<sip:9901%231@sip.test>": "9901#1", "9901#1": "9901#1", "j%C3%BCrgen@SIP.test": "jürgen",
		"Hans Maier": "Hans Maier", "sip:dave@sip.test;transport=tcp": "dave", "a%3Ab": "a%3Ab",
	} {
		db := memoryUsers{&memoryCredentials{secrets: map[sip.AoR]Secret{}}}
		r := registry(&bytes.Buffer{}, NewAccounts(AccountOptions{Users: db, Domains: ours}).Commands()...)
		if got := call(r, "sub_add", arg, "pw"); got != "" {
			t.Fatalf("sub_add %s: %s", arg, got)
		}
		if got := call(r, "sub_passwd", strings.ToUpper(aor(t, arg).String()), "pw2"); got != "" {
			t.Fatal(got)
		}
		s := db.secrets[aor(t, arg)]
		if s.Name != name || s.HA1[MD5] != MD5.HA1(name, realm, "pw2") || s.HA1B[MD5] != MD5.HA1(name+"@sip.test", realm, "pw2") {
			t.Errorf("%s: name %q, want %q", arg, s.Name, name)
		}
	}
}

// FuzzUserNames: whatever a name is, each user that it may mean is one of ours in the canonical
// form, which the name without its escapes means too, and it is hashed in at most four forms.
func FuzzUserNames(f *testing.F) {
	for _, name := range []string{
		"alice", "9901#1", "9901%231@sip.test", "j\xfcrgen", "jürgen@SECOND.test", `a\"b\\`, "@sip.test", "a@b@sip.test", "%", "%00", ":", "x@[::1]", "", " ", "%0d",
	} {
		f.Add(name, "pw")
	}
	f.Fuzz(func(t *testing.T, name, password string) {
		plain := unescape(name)
		list := appendCandidates(nil, ours, plain, realm)
		for _, c := range list {
			if again, isOurs, err := ours.Parse(c.user.String()); err != nil || !isOurs || again != c.user {
				t.Fatalf("%q is %q, and that is %q, %v, %v", name, c.user, again, isOurs, err)
			}
			if w := writtenName(c.user); !strings.Contains(c.user.User, "%3A") && ours.Row(w, c.user.Domain) != c.user {
				t.Fatalf("%q is written %q", c.user, w)
			}
		}
		if n := len(appendSpellings(nil, name, password)); len(list) > 2 || n < 1 || n > 4 {
			t.Fatalf("%q has %d users and %d forms", name, len(list), n)
		}
		if c, err := parseCredentials("Digest username*=" + name); err == nil && c != nil && !isText(c.username) {
			t.Fatalf("%q is %q", name, c.username)
		}
	})
}
