package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

var (
	alice = client{name: "alice", password: "pw-alice"}
	bob   = client{name: "bob", password: "pw-bob"}
	carol = client{name: "carol", password: "pw-carol"}
)

func TestChallenge(t *testing.T) {
	for _, tc := range []struct {
		offer []Algorithm
		want  string
	}{
		{nil, `Digest realm="sip.test", , qop="auth", algorithm=MD5` + "\n"}, // the default
		{[]Algorithm{SHA256, MD5}, `Digest realm="sip.test", , qop="auth", algorithm=SHA-256` + "\n" + `Digest realm="sip.test", , qop="auth", algorithm=MD5` + "\n"},
		{[]Algorithm{MD5, SHA512256}, `Digest realm="sip.test", , qop="auth", algorithm=MD5` + "\n" + `Digest realm="sip.test", , qop="auth", algorithm=SHA-512-256` + "\n"},
	} {
		a, err := New(Options{Algorithms: tc.offer, Credentials: testUsers(t), Domains: ours})
		if err != nil {
			t.Fatal(err)
		}
		got := shape(want(t, verify(t, a, message()), NoCredentials))
		if got = strings.ReplaceAll(got, `nonce="`, ""); got != tc.want {
			t.Errorf("%v: got\n%swant\n%s", tc.offer, got, tc.want)
		}
		if strings.ReplaceAll(shape(Result{Challenges: a.Challenge(realm, here)}), `nonce="`, "") != tc.want {
			t.Errorf("%v: Challenge and Verify differ", tc.offer)
		}
	}
}

func TestChallengesDiffer(t *testing.T) {
	a, seen := server(t, Options{Now: func() time.Time { return time.Unix(1, 0) }}), map[string]bool{}
	for range 100 {
		seen[a.Challenge(realm, here)[0]] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different challenges of 100", len(seen))
	}
}

func TestRealmIsQuotable(t *testing.T) {
	a := server(t, Options{})
	for _, c := range a.Challenge("a\"b\\c\r\nX: y", here) {
		if !strings.HasPrefix(c, `Digest realm="abcX: y", `) {
			t.Errorf("got %q", c)
		}
	}
}

func TestEachAlgorithmIsAccepted(t *testing.T) {
	for _, alg := range Algorithms() {
		for _, p := range []client{alice, bob} {
			a := server(t, Options{Algorithms: []Algorithm{alg}})
			answer := p.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
			res := want(t, verify(t, a, message(answer)), Accepted)
			if res.User != aor(t, p.name) || res.Name != p.name {
				t.Errorf("%s: user %s, name %s", alg, res.User, res.Name)
			}
		}
	}
}

// A client takes the first challenge that it can answer (RFC 8760 section 2.4).
func TestOldClientsAreAccepted(t *testing.T) {
	a := server(t, Options{Algorithms: []Algorithm{SHA512256, SHA256, MD5}})
	for _, alg := range Algorithms() {
		p := alice
		p.only = []Algorithm{alg}
		want(t, verify(t, a, message(p.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1))), Accepted)
	}
}

// Pidgin reads only the first challenge, and supports only MD5.
func TestFirstChallengeAnsweredWithMD5(t *testing.T) {
	a := server(t, Options{})
	first, err := parseParams(strings.TrimPrefix(a.Challenge(realm, here)[0], "Digest"))
	if err != nil {
		t.Fatal(err)
	}
	c := credentials{username: "alice", realm: realm, uri: bobURI, nonceText: first["nonce"], algorithm: MD5}
	answer := fmt.Sprintf(`Digest username="alice", realm="sip.test", nonce="%s", uri="%s", nc="00000001", response="%s"`,
		c.nonceText, c.uri, c.expected(MD5.HA1("alice", realm, "pw-alice"), "MESSAGE"))
	want(t, verify(t, a, message(answer)), Accepted)
}

func TestWrongAnswers(t *testing.T) {
	a := server(t, Options{Algorithms: []Algorithm{MD5}})
	for _, tc := range []struct {
		name   string
		client client
		change func(answer string) string
		method string
		want   Outcome
	}{
		{"another password", client{name: "alice", password: "pw-bob"}, nil, "MESSAGE", WrongPassword},
		{"no password", client{name: "alice"}, nil, "MESSAGE", WrongPassword},
		{"another user's answer", alice, func(s string) string { return strings.Replace(s, "alice", "bob", 1) }, "MESSAGE", WrongPassword},
		{"another method's", alice, nil, "REGISTER", WrongPassword},
		{"another count", alice, func(s string) string { return strings.Replace(s, "nc=00000001", "nc=00000002", 1) }, "MESSAGE", WrongPassword},
		{"a response that is cut", alice, func(s string) string { return strings.Replace(s, `", algorithm`, `0", algorithm`, 1) }, "MESSAGE", WrongPassword},
		{"an unknown user", client{name: "mallory", password: "x"}, nil, "MESSAGE", UnknownUser},
		{"another case, over which no hash is stored", client{name: "Alice", password: "pw-alice"}, nil, "MESSAGE", WrongPassword},
		{"another domain", client{name: "alice@other.example", password: "pw-alice"}, nil, "MESSAGE", UnknownUser},
		{"a name with a password in it", client{name: "alice:x", password: "pw-alice"}, nil, "MESSAGE", UnknownUser},
		{"a name that is a name-addr", client{name: "<sip:alice", password: "pw-alice"}, nil, "MESSAGE", UnknownUser},
		{"no name at all", client{name: "@sip.test", password: "pw-alice"}, nil, "MESSAGE", UnknownUser},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer := tc.client.answer(a.Challenge(realm, here), tc.method, bobURI, 1)
			if tc.change != nil {
				answer = tc.change(answer)
			}
			res := want(t, verify(t, a, message(answer)), tc.want)
			if strings.Contains(shape(res), "stale") {
				t.Errorf("a client would try again with the same password: %s", shape(res))
			}
		})
	}
}

// A row without a password accepts no password, not even an empty one.
func TestEmptySecret(t *testing.T) {
	eve := sip.AoR{User: "eve", Domain: realm}
	for _, s := range []Secret{{}, {HA1: Hashes{MD5: ""}}, {HA1: Hashes{MD5: MD5.HA1("eve", realm, "")[:20]}}} {
		a := server(t, Options{Algorithms: []Algorithm{MD5}, Credentials: &memoryCredentials{secrets: map[sip.AoR]Secret{eve: s}}})
		results := client{name: "eve"}.attempt(t, a, here)
		want(t, results[len(results)-1], WrongPassword)
	}
}

// For carol only Kamailio's ha1 is stored. She is accepted with a client that prefers
// SHA-256, and until then looks like an unknown user.
func TestUserWithOldHashOnly(t *testing.T) {
	a := server(t, Options{})
	results := carol.attempt(t, a, here)
	want(t, results[len(results)-1], Accepted)

	a = server(t, Options{})
	wrong := func(name string) (seen []string) {
		p := client{name: name, password: "wrong"}
		for _, res := range p.attempt(t, a, here) {
			seen = append(seen, shape(res))
		}
		return seen
	}
	ofAlice, ofCarol, ofNobody := wrong("alice"), wrong("carol"), wrong("nobody")
	if fmt.Sprint(ofAlice) != fmt.Sprint(ofNobody) || fmt.Sprint(ofCarol) != fmt.Sprint(ofNobody) {
		t.Errorf("users can be distinguished:\nalice %q\ncarol %q\nnobody %q", ofAlice, ofCarol, ofNobody)
	}
}

func TestUserNameWithDomain(t *testing.T) {
	for _, p := range []client{alice, bob, carol} {
		a := server(t, Options{Algorithms: []Algorithm{MD5}})
		name := p.name
		p.name += "@sip.test"
		results := p.attempt(t, a, here)
		if res := want(t, results[len(results)-1], Accepted); res.User != aor(t, name) {
			t.Errorf("user %s", res.User)
		}
	}
}

// One realm for several domains: a name without a domain is in that of the request.
func TestOneRealm(t *testing.T) {
	dave := sip.AoR{User: "dave", Domain: "second.test"}
	a := server(t, Options{Credentials: &memoryCredentials{secrets: map[sip.AoR]Secret{dave: NewSecret(dave, "chat", "pw-dave")}}})
	req := message(client{name: "dave", password: "pw-dave"}.answer(a.Challenge("chat", here), "MESSAGE", bobURI, 1))
	req.Realm = "chat"
	want(t, verify(t, a, req), UnknownUser)
	req.Domain = "second.test"
	if res := want(t, verify(t, a, req), Accepted); res.User != dave {
		t.Errorf("user %s", res.User)
	}
}

func TestWhichCredentials(t *testing.T) {
	a := server(t, Options{})
	good := func() string { return alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1) }
	old := alice.answer(server(t, Options{}).Challenge(realm, here), "MESSAGE", bobURI, 1)
	elsewhere := strings.ReplaceAll(old, `realm="sip.test"`, `realm="other.example"`)
	many := make([]string, 1000)
	for i := range many {
		many[i] = client{name: "alice", password: fmt.Sprint(i)}.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
	}
	for _, tc := range []struct {
		name   string
		values []string
		want   Outcome
	}{
		{"none", nil, NoCredentials},
		{"another scheme", []string{"NoOneKnowsThisScheme opaque-data=here"}, NoCredentials},
		{"another realm's", []string{elsewhere}, NoCredentials},
		{"another realm's first", []string{elsewhere, good()}, Accepted},
		{"some that cannot be read first", []string{"Digest ", good()}, Accepted},
		{"some that cannot be read, and no others", []string{elsewhere, `Digest username="alice`}, NoCredentials},
		{"some that are empty", []string{`Digest username="alice", realm="sip.test", nonce="", uri="sip:sip.test", response=""`}, NoCredentials},
		{"some that are empty first", []string{`Digest username="alice", realm="sip.test", nonce="", uri="u", response=""`, good()}, Accepted},
		{"some for another nonce and another request", []string{strings.ReplaceAll(old, "bob", "eve")}, Stale},
		{"an algorithm of another network", []string{strings.ReplaceAll(old, "algorithm=SHA-256", "algorithm=AKAv1-MD5")}, NoCredentials},
		{"an old answer first", []string{old, good()}, Accepted},
		{"an old answer last", []string{good(), old}, Accepted},
		{"more than are read", append(slices.Repeat([]string{elsewhere}, maxCredentials), good()), NoCredentials},
		{"many guesses, of which one is tested", append(many, good()), WrongPassword},
	} {
		before := a.Stats.Wrong.Value()
		want(t, verify(t, a, message(tc.values...)), tc.want)
		if n := a.Stats.Wrong.Value() - before; n > 1 {
			t.Errorf("%s: %d passwords tested by one request", tc.name, n)
		}
	}
}

func TestMalformed(t *testing.T) {
	a := server(t, Options{})
	good := alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)
	for _, tc := range []struct{ old, new, reason string }{
		{`username="alice", `, ``, "Bad credentials, username is missing"},
		{`username="alice"`, `username=""`, "Bad credentials, username is missing"},
		{`uri="sip:bob@sip.test"`, `uri=""`, "Bad credentials, uri is missing"},
		{`cnonce="c"`, `cnonce=""`, "Bad credentials, qop without nc and cnonce"},
		{`, nc=00000001`, ``, "Bad credentials, qop without nc and cnonce"},
		{`nc=00000001`, `nc=1x`, "Bad credentials, nc is no count of eight hexadecimal digits"},
		{`uri="sip:bob@`, `uri="sip:eve@`, "Bad credentials, digest uri is of another request"},
	} {
		changed := strings.Replace(good, tc.old, tc.new, 1)
		if res := want(t, verify(t, a, message(changed)), Malformed); changed == good || res.Reason != tc.reason {
			t.Errorf("%s: reason %q", changed, res.Reason)
		}
	}
	want(t, verify(t, a, message(good)), Accepted)
}

// A backslash in the digest URI is written as it is or as a quoted pair; the hash is of the URI.
func TestBackslashInTheDigestURI(t *testing.T) {
	const uri = `sip:back\slash@sip.test`
	a := server(t, Options{})
	for _, written := range []string{uri, `sip:back\\slash@sip.test`} {
		credentials := alice.answer(a.Challenge(realm, here), "MESSAGE", uri, 1)
		m := message(strings.Replace(credentials, `uri="`+uri, `uri="`+written, 1))
		m.URI = uri
		want(t, verify(t, a, m), Accepted)
	}
}

// The client of credentials that cannot be read gets a challenge, and the reason beside it.
func TestUnreadable(t *testing.T) {
	bans := NewBans(BanOptions{})
	a := server(t, Options{Bans: bans})
	res := want(t, verify(t, a, message(`Digest username="alice", realm="sip.test", nonce="n`)), NoCredentials)
	if res.Reason != "credentials cannot be read, nonce: quotes are not closed" {
		t.Errorf("reason %q", res.Reason)
	}
	if a.Stats.Malformed.Value() != 1 || bans.Stats.Failures.Value() != 0 {
		t.Errorf("counted %d times, charged %d times", a.Stats.Malformed.Value(), bans.Stats.Failures.Value())
	}
}

func TestNotOffered(t *testing.T) {
	for _, tc := range []struct {
		name     string
		opt      Options
		client   client
		old, new string
	}{
		{"an algorithm", Options{Algorithms: []Algorithm{SHA256}}, alice, "algorithm=SHA-256", "algorithm=MD5"},
		{"an algorithm by default", Options{Algorithms: []Algorithm{SHA256}}, alice, ", algorithm=SHA-256", ""},
		{"an algorithm with a session", Options{}, alice, "algorithm=SHA-256", "algorithm=SHA-256-sess"},
		{"integrity", Options{}, alice, "qop=auth", "qop=auth-int"},
		{"an answer as of RFC 2069", Options{LegacyLife: -1}, client{name: "alice", password: "pw-alice", noQOP: true}, "x", "x"},
	} {
		bans := NewBans(BanOptions{})
		tc.opt.Bans = bans
		a := server(t, tc.opt)
		answer := strings.Replace(tc.client.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1), tc.old, tc.new, 1)
		want(t, verify(t, a, message(answer)), NoCredentials)
		if a.Stats.NotOffered.Value() != 1 || bans.Stats.Failures.Value() != 0 {
			t.Errorf("%s: counted %d times, charged %d times", tc.name, a.Stats.NotOffered.Value(), bans.Stats.Failures.Value())
		}
	}
}

func TestUnavailable(t *testing.T) {
	down := errors.New("connection refused")
	a := server(t, Options{Credentials: &memoryCredentials{down: down}})
	res, err := a.Verify(context.Background(), message(alice.answer(a.Challenge(realm, here), "MESSAGE", bobURI, 1)))
	if !errors.Is(err, down) || res.Outcome == Accepted || err.Error() != "look up credentials of sip:alice@sip.test: connection refused" {
		t.Errorf("got %v, %v", res, err)
	}
}

func TestNew(t *testing.T) {
	for _, tc := range []struct {
		opt  Options
		want string
	}{
		{Options{Algorithms: []Algorithm{"MD4"}}, `digest algorithm "MD4" is unknown or repeated: use [SHA-512-256 SHA-256 MD5]`},
		{Options{Algorithms: []Algorithm{MD5, MD5}}, `digest algorithm "MD5" is unknown or repeated: use [SHA-512-256 SHA-256 MD5]`},
		{Options{Secret: []byte("short")}, "nonce secret has 5 bytes: use at least 16"},
	} {
		if _, err := New(tc.opt); err == nil || err.Error() != tc.want {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	s := NewSecret(sip.AoR{User: "alice", Domain: realm}, realm, "pw-alice")
	s.Password = "pw-alice"
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s", s, s, &s), s.LogValue().String()} {
		if strings.Contains(text, "pw-alice") || strings.Contains(text, s.HA1[MD5]) {
			t.Errorf("the secret is in %s", text)
		}
	}
}

// FuzzVerify: whatever the header is, it is accepted only with the response that was
// computed from the password for this request.
func FuzzVerify(f *testing.F) {
	a := server(f, Options{Now: func() time.Time { return time.Unix(1e9, 0) }, Nonces: 1 << 10})
	challenges := a.Challenge(realm, here)
	right := alice.answer(challenges, "MESSAGE", bobURI, 1)
	valid, err := parseCredentials(right)
	if err != nil {
		f.Fatal(err)
	}
	for _, l := range fromClients(f) {
		f.Add(l.method, l.uri, l.value)
	}
	f.Add("MESSAGE", bobURI, right)
	f.Add("REGISTER", bobURI, right)
	for _, name := range []string{`username*=UTF-8''alice`, `username="ALICE"`, `username="al\ice"`, `username="alic%65@sip.test"`, "username=\"alic\xe9\""} {
		f.Add("MESSAGE", bobURI, strings.Replace(right, `username="alice"`, name, 1))
	}
	f.Add("MESSAGE", bobURI, client{name: "carol", password: "x", noQOP: true}.answer(challenges, "MESSAGE", bobURI, 1))
	f.Fuzz(func(t *testing.T, method, uri, value string) {
		req := Request{Method: method, URI: uri, Realm: realm, Source: here, Credentials: []string{value, value}}
		res, err := a.Verify(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		if res.Outcome == Accepted && (!strings.Contains(strings.ToLower(value), valid.response) || method != "MESSAGE" || res.User != aor(t, "alice")) {
			t.Fatalf("%s %s with %q: accepted as %s", method, uri, value, res.User)
		}
	})
}

// Whatever the order of the challenges, a client that fails with the weakest algorithm is
// not told to try again: old clients would do so for ever.
func TestWeakestAlgorithmFirst(t *testing.T) {
	a := server(t, Options{Algorithms: []Algorithm{MD5, SHA256}})
	for _, p := range []client{{name: "alice", password: "wrong", only: []Algorithm{MD5}}, {name: "nobody", only: []Algorithm{MD5}}} {
		results := p.attempt(t, a, here)
		if last := shape(results[len(results)-1]); len(results) != 2 || strings.Contains(last, "stale") || !strings.Contains(last, "MD5") {
			t.Errorf("%s is answered %d times, and at last %s", p.name, len(results), last)
		}
	}
	newer := carol
	newer.only = []Algorithm{SHA256, MD5} // there is no hash of the first
	first := newer.answer(a.Challenge(realm, here)[1:], "MESSAGE", bobURI, 1)
	res := verify(t, a, message(first))
	if len(res.Challenges) != 1 || !strings.Contains(shape(res), "algorithm=MD5, stale=true") {
		t.Fatalf("challenges %q", res.Challenges)
	}
	want(t, verify(t, a, message(newer.answer(res.Challenges, "MESSAGE", bobURI, 1))), Accepted)
}
