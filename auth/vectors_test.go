package auth

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/icholy/digest"

	"silod/sip"
)

// The examples of RFC 2069 and the last of RFC 7616 are as corrected by errata 749 and
// 4897.
func TestPublishedExamples(t *testing.T) {
	const (
		rfc2617 = `, nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", opaque="5ccc069c403ebaf9f0171e9517f40e41"`
		rfc7616 = `, realm="http-auth@example.org", uri="/dir/index.html", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ` +
			`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
		biloxi = `, realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="sip:bob@biloxi.com", opaque="5ccc069c403ebaf9f0171e9517f40e41"`
	)
	for _, tc := range []struct{ name, user, password, method, params, response string }{
		{"RFC 2069 section 2.4", "Mufasa", "CircleOfLife", "GET", `realm="testrealm@host.com"` + rfc2617, "1949323746fe6a43ef61f9606e7febea"},
		{
			"RFC 2617 section 3.5", "Mufasa", "Circle Of Life", "GET",
			`realm="testrealm@host.com", qop=auth, nc=00000001, cnonce="0a4f113b"` + rfc2617, "6629fae49393a05397450978507c4ef1",
		},
		{"RFC 7616 section 3.9.1, MD5", "Mufasa", "Circle of Life", "GET", "algorithm=MD5" + rfc7616, "8ca523f5e9506fed4657c9700eebdbec"},
		{
			"RFC 7616 section 3.9.1, SHA-256", "Mufasa", "Circle of Life", "GET",
			"algorithm=SHA-256" + rfc7616, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		},
		{
			"RFC 7616 section 3.9.2, SHA-512-256", "Jäsøn Doe", "Secret, or not?", "GET",
			`realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, ` +
				`cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth, opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"`,
			"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
		},
		// Digest Authentication Examples for SIP, draft-smith-sipping-auth-examples-01.
		{"SIP, no qop", "bob", "zanzibar", "INVITE", "algorithm=MD5" + biloxi, "bf57e4e0d0bffc0fbaedce64d59add5e"},
		{"SIP, qop=auth", "bob", "zanzibar", "INVITE", `qop=auth, nc=00000001, cnonce="0a4f113b"` + biloxi, "89eb0059246c02b2f6ee02c7961d5ea3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := parseCredentials(`Digest username="` + tc.user + `", ` + tc.params + `, response="` + tc.response + `"`)
			if err != nil || c == nil {
				t.Fatal(c, err)
			}
			got := c.expected(c.algorithm.HA1(tc.user, c.realm, tc.password), tc.method)
			if got != tc.response || c.response != tc.response {
				t.Errorf("response %s, want %s", got, tc.response)
			}
		})
	}
}

// fromClient is a line of testdata/clients.txt.
type fromClient struct{ client, method, uri, value string }

func fromClients(t testing.TB) []fromClient {
	t.Helper()
	f, err := os.Open("testdata/clients.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []fromClient
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		fields := strings.SplitN(s.Text(), " ", 4)
		_, value, _ := strings.Cut(fields[3], ":")
		lines = append(lines, fromClient{fields[0], fields[1], fields[2], value})
	}
	if len(lines) < 50 {
		t.Fatalf("only %d lines", len(lines))
	}
	return lines
}

// The responses that real clients computed are those that are expected of them.
func TestResponsesOfRealClients(t *testing.T) {
	for _, l := range fromClients(t) {
		c, err := parseCredentials(l.value)
		if err != nil || c == nil {
			t.Fatalf("%s: %v", l.client, err)
		}
		if got := c.expected(MD5.HA1(c.username, realm, "pw-"+c.username), l.method); got != c.response {
			t.Errorf("%s: %s: response %s, want %s", l.client, l.value, c.response, got)
		}
		if c.realm != realm || !sameTarget(ours, c.uri, l.uri) {
			t.Errorf("%s: realm %q, uri %q for %s", l.client, c.realm, c.uri, l.uri)
		}
	}
}

// Each client's header is accepted with our nonce and the response to it: the order of
// the parameters, spaces and quotes is the client's.
func TestHeadersOfRealClients(t *testing.T) {
	nonces, responses := regexp.MustCompile(`nonce="[^"]*"`), regexp.MustCompile(`response="[^"]*"`)
	users := &memoryCredentials{secrets: map[sip.AoR]Secret{}}
	a := server(t, Options{Credentials: users})
	for _, l := range fromClients(t) {
		old, err := parseCredentials(l.value)
		if err != nil {
			t.Fatal(err)
		}
		user := aor(t, old.username)
		users.secrets[user] = NewSecret(user, realm, "pw-"+old.username)

		challenge, err := parseParams(strings.TrimPrefix(a.Challenge(realm, here)[0], "Digest"))
		if err != nil {
			t.Fatal(err)
		}
		// cnonce="..." ends in nonce="..." too.
		value := nonces.ReplaceAllStringFunc(l.value, func(s string) string {
			if s == `nonce="`+old.nonceText+`"` {
				return `nonce="` + challenge["nonce"] + `"`
			}
			return s
		})
		c, err := parseCredentials(value)
		if err != nil || c.nonceText != challenge["nonce"] || c.cnonce != old.cnonce {
			t.Fatalf("%s: %v", value, err)
		}
		right := c.expected(MD5.HA1(c.username, realm, "pw-"+c.username), l.method)
		value = responses.ReplaceAllString(value, `response="`+right+`"`)

		req := Request{Method: l.method, URI: l.uri, Realm: realm, Source: here, Credentials: []string{value}}
		if res := verify(t, a, req); res.Outcome != Accepted || res.User != user {
			t.Errorf("%s: outcome %v, %s, of %s", l.client, res.Outcome, res.Reason, value)
		}
		if res := verify(t, a, req); old.qop != "" && res.Outcome != Replayed {
			t.Errorf("%s: sent again, it has outcome %v", l.client, res.Outcome)
		}
	}
}

// A client library reads each challenge, and its answer is accepted.
func TestForeignImplementation(t *testing.T) {
	for _, alg := range Algorithms() {
		a := server(t, Options{Algorithms: []Algorithm{alg}})
		challenge, err := digest.ParseChallenge(a.Challenge(realm, here)[0])
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 2; n++ {
			answer, err := digest.Digest(challenge, digest.Options{
				Method: "MESSAGE", URI: bobURI, Username: "alice", Password: "pw-alice", Count: n,
			})
			if err != nil {
				t.Fatal(err)
			}
			want(t, verify(t, a, message(answer.String())), Accepted)
		}
	}
}
