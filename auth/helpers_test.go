package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"silod/sip"
)

// The realm and domain of the tests, and the sources of their requests.
const realm = "sip.test"

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
	ours  = sip.NewDomains(realm, "second.test")
)

func aor(t testing.TB, s string) sip.AoR {
	t.Helper()
	a, _, err := ours.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// memoryCredentials are Credentials in memory.
type memoryCredentials struct {
	secrets map[sip.AoR]Secret
	asked   atomic.Int64
	down    error
}

func (p *memoryCredentials) Lookup(_ context.Context, user sip.AoR) (Secret, error) {
	p.asked.Add(1)
	if p.down != nil {
		return Secret{}, p.down
	}
	s, ok := p.secrets[user]
	if !ok {
		return Secret{}, ErrUnknownUser
	}
	return s, nil
}

// testUsers returns a user of each kind: for alice all HA1s are stored, for bob the
// password, for carol only Kamailio's columns.
func testUsers(t testing.TB) *memoryCredentials {
	alice, bob, carol := aor(t, "alice"), aor(t, "bob"), aor(t, "carol")
	return &memoryCredentials{secrets: map[sip.AoR]Secret{
		alice: NewSecret(alice, realm, "pw-alice"),
		bob:   {Password: "pw-bob"},
		carol: {HA1: Hashes{MD5: MD5.HA1("carol", realm, "pw-carol")}, HA1B: Hashes{MD5: MD5.HA1("carol@sip.test", realm, "pw-carol")}},
	}}
}

// server returns an Authenticator for testUsers, or for the credentials in opt. It offers SHA-256
// and MD5 unless opt says otherwise.
func server(t testing.TB, opt Options) *Authenticator {
	t.Helper()
	if opt.Credentials == nil {
		opt.Credentials = testUsers(t)
	}
	if opt.Algorithms == nil {
		opt.Algorithms = []Algorithm{SHA256, MD5}
	}
	opt.Domains = ours
	a, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A client answers challenges according to RFC 7616.
type client struct {
	name, password string
	only           []Algorithm // that it supports; nil: all
	noQOP          bool        // answers according to RFC 2069
}

// answer returns the answer to the first challenge that the client supports, or "".
func (p client) answer(challenges []string, method, uri string, nc int) string {
	for _, c := range challenges {
		params, err := parseParams(strings.TrimPrefix(c, "Digest"))
		if err != nil {
			panic(err)
		}
		alg := Algorithm(params["algorithm"])
		if p.only != nil && !slices.Contains(p.only, alg) {
			continue
		}
		ha1 := alg.HA1(p.name, params["realm"], p.password)
		ha2 := alg.sum(method, uri)
		if p.noQOP {
			return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s`,
				p.name, params["realm"], params["nonce"], uri, alg.sum(ha1, params["nonce"], ha2), alg)
		}
		count := fmt.Sprintf("%08x", nc)
		return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, cnonce="c", nc=%s, qop=auth`,
			p.name, params["realm"], params["nonce"], uri, alg.sum(ha1, params["nonce"], count, "c", "auth", ha2), alg, count)
	}
	return ""
}

// message returns a MESSAGE to bob with these credentials.
func message(credentials ...string) Request {
	return Request{Method: "MESSAGE", URI: bobURI, Realm: realm, Source: here, Credentials: credentials}
}

const bobURI = "sip:bob@sip.test"

func verify(t testing.TB, a *Authenticator, req Request) Result {
	t.Helper()
	res, err := a.Verify(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if (res.Outcome == Accepted) == res.User.IsZero() {
		t.Fatalf("outcome %v with user %q", res.Outcome, res.User)
	}
	unchallenged := []Outcome{Accepted, Malformed, Banned, Delayed}
	if needsChallenge := !slices.Contains(unchallenged, res.Outcome); needsChallenge != (len(res.Challenges) > 0) {
		t.Fatalf("outcome %v with challenges %q", res.Outcome, res.Challenges)
	}
	return res
}

// want checks an outcome and returns the result.
func want(t testing.TB, res Result, outcome Outcome) Result {
	t.Helper()
	if res.Outcome != outcome {
		t.Fatalf("outcome %v, want %v (%s)", res.Outcome, outcome, res.Reason)
	}
	return res
}

// shape returns the part of a result that a client sees, without the nonces.
func shape(res Result) string {
	var b strings.Builder
	for _, c := range res.Challenges {
		before, rest, _ := strings.Cut(c, `nonce="`)
		_, after, _ := strings.Cut(rest, `"`)
		b.WriteString(before + after + "\n")
	}
	return b.String()
}

// attempt sends a message, and answers challenges until the message is accepted or the
// challenge is one that a client does not answer by itself. It returns all results.
func (p client) attempt(t testing.TB, a *Authenticator, source netip.Addr) []Result {
	t.Helper()
	req := message()
	req.Source = source
	results := []Result{verify(t, a, req)}
	for range 10 {
		last := results[len(results)-1]
		if len(results) > 1 && !strings.Contains(strings.Join(last.Challenges, ""), "stale=true") {
			return results
		}
		answer := p.answer(last.Challenges, req.Method, req.URI, 1)
		if answer == "" {
			return results
		}
		req.Credentials = []string{answer}
		results = append(results, verify(t, a, req))
	}
	t.Fatal("challenged without end")
	return nil
}
