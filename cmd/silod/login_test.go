package main

import (
	"crypto/md5"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"silod/mi"
	"silod/mi/client"
	"silod/sip"
)

// withDigest configures authentication.
const withDigest = "auth.mode = 'digest'"

// A login is the credentials of a user and how a client sends them.
type login struct {
	user, password string
	algorithm      string // "": the first that is offered
	legacy         bool   // as in RFC 2069, without a nonce count
	wrongURI       string // the uri parameter if it is not the Request-URI
}

var (
	asAlice = login{user: "alice", password: "alice's pässword"}
	asBob   = login{user: "bob", password: "bob's password"}
)

// serveUsers starts a daemon with authentication and the users alice and bob.
func serveUsers(t *testing.T, more ...string) *served {
	t.Helper()
	s := serve(t, append([]string{withDigest}, more...)...)
	s.addUsers()
	return s
}

func (s *served) addUsers() {
	s.t.Helper()
	for _, l := range []login{asAlice, asBob} {
		s.call("sub_add", l.user+"@127.0.0.1", l.password)
	}
}

// phoneFrom returns a user agent that sends from another address, for example 127.0.0.9.
func (s *served) phoneFrom(network, from, user string) *ua {
	s.t.Helper()
	addr := s.addr(network)
	local := net.Addr(&net.UDPAddr{IP: net.ParseIP(from)})
	if network == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	d := net.Dialer{LocalAddr: local}
	c, err := d.Dial(network, addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	u := newUA(s.t, c, "sip:"+user+"@127.0.0.1")
	u.daemon = s.daemon
	return u
}

// challenges returns the challenges in a response.
func challenges(answer string) []string {
	var list []string
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		if name == "WWW-Authenticate" || name == "Proxy-Authenticate" {
			list = append(list, value)
		}
	}
	return list
}

var challengeParam = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

// params returns the parameters of a challenge.
func params(challenge string) map[string]string {
	m := map[string]string{}
	for _, p := range challengeParam.FindAllStringSubmatch(challenge, -1) {
		m[p[1]] = p[2]
	}
	return m
}

// answer returns the credentials for one of the challenges (RFC 7616 section 3.4.1, RFC
// 2069).
func (l login) answer(t *testing.T, challenges []string, method, uri string, count int) string {
	t.Helper()
	for _, c := range challenges {
		p := params(c)
		alg := p["algorithm"]
		if l.algorithm != "" && alg != l.algorithm {
			continue
		}
		if l.wrongURI != "" {
			uri = l.wrongURI
		}
		sum := func(parts ...string) string {
			text := []byte(strings.Join(parts, ":"))
			if alg == "SHA-256" {
				return fmt.Sprintf("%x", sha256.Sum256(text))
			}
			return fmt.Sprintf("%x", md5.Sum(text))
		}
		ha1, ha2 := sum(l.user, p["realm"], l.password), sum(method, uri)
		const form = `Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=%s, response="%s"`
		if l.legacy {
			return fmt.Sprintf(form, l.user, p["realm"], p["nonce"], uri, alg, sum(ha1, p["nonce"], ha2))
		}
		nc := fmt.Sprintf("%08x", count)
		response := sum(ha1, p["nonce"], nc, "c0ffee", "auth", ha2)
		return fmt.Sprintf(form+`, qop=auth, nc=%s, cnonce="c0ffee"`, l.user, p["realm"], p["nonce"], uri, alg, response, nc)
	}
	t.Fatalf("no challenge for %s among %q", l.algorithm, challenges)
	return ""
}

// with inserts a header field after Via.
func with(request, name, value string) string {
	return strings.Replace(request, "\r\nMax-Forwards:", "\r\n"+name+": "+value+"\r\nMax-Forwards:", 1)
}

// again returns a new request with another branch, Call-ID and CSeq.
func again(request string) string {
	n := branches.Add(1)
	request = regexp.MustCompile(`branch=z9hG4bK\w+`).ReplaceAllString(request, fmt.Sprintf("branch=z9hG4bKt%d", n))
	request = regexp.MustCompile(`Call-ID: \S+`).ReplaceAllString(request, fmt.Sprintf("Call-ID: call-%d@test", n))
	return regexp.MustCompile(`CSeq: \d+`).ReplaceAllString(request, fmt.Sprintf("CSeq: %d", n))
}

// credentialsFor maps the status of a challenge to the header field for credentials.
var credentialsFor = map[int]string{401: "Authorization", 407: "Proxy-Authorization"}

// prove sends a request and answers its challenge as clients do, more than once only for
// stale=true. It returns all responses.
func (u *ua) prove(l login, request string) []string {
	u.t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	uri, _, _ := strings.Cut(rest, " ")
	answers := []string{u.ask(request)}
	for try := range 5 {
		last := answers[len(answers)-1]
		header := credentialsFor[status(last)]
		if header == "" || try > 0 && !strings.Contains(last, "stale=true") {
			break
		}
		answers = append(answers, u.ask(with(again(request), header, l.answer(u.t, challenges(last), method, uri, 1))))
	}
	return answers
}

// proven returns the last response of prove.
func (u *ua) proven(l login, request string) string {
	u.t.Helper()
	answers := u.prove(l, request)
	return answers[len(answers)-1]
}

// login registers with a password.
func (u *ua) login(l login) string {
	u.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>", l.user, u.conn.LocalAddr(), u.conn.LocalAddr().Network())
	a := u.proven(l, u.request("REGISTER", "sip:127.0.0.1", u.aor, "", contact, "Expires: 300"))
	if status(a) != 200 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
	u.awaitLook()
	return a
}

// text returns a MESSAGE.
func (u *ua) text(to, text string, more ...string) string {
	return u.request("MESSAGE", to, to, text, append([]string{"Content-Type: text/plain", "User-Agent: a test"}, more...)...)
}

// sql changes the database as another program does.
func (s *served) sql(statement string) {
	s.t.Helper()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "silod.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

// aor returns the AoR of a user at 127.0.0.1.
func (s *served) aor(user string) sip.AoR {
	s.t.Helper()
	a, ours, err := s.domains.Parse(user + "@127.0.0.1")
	if err != nil || !ours {
		s.t.Fatal(a, ours, err)
	}
	return a
}

// hashes returns all hashes of passwords in the database.
func (s *served) hashes() []string {
	s.t.Helper()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "silod.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer pool.Close()
	rows, err := pool.QueryContext(s.t.Context(), "SELECT ha1 FROM subscriber UNION SELECT ha1b FROM subscriber UNION SELECT ha1 FROM silod_secret")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var h string
		if err := rows.Scan(&h); err != nil {
			s.t.Fatal(err)
		}
		if h != "" {
			list = append(list, h)
		}
	}
	return list
}

// callNamed runs a management command with named arguments: "older_than", "0".
func (s *served) callNamed(command string, pairs ...string) (*mi.Node, error) {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), client.Target{Socket: filepath.Join(s.dir, "control.sock")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	var args []mi.Arg
	for i := 0; i < len(pairs); i += 2 {
		args = append(args, mi.Arg{Name: pairs[i], Value: pairs[i+1]})
	}
	return c.Call(s.t.Context(), command, args...)
}

// tryCall runs a management command that may fail.
func (s *served) tryCall(command string, args ...string) (*mi.Node, error) {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), client.Target{Socket: filepath.Join(s.dir, "control.sock")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	list := make([]mi.Arg, len(args))
	for i, a := range args {
		list[i].Value = a
	}
	return c.Call(s.t.Context(), command, list...)
}

// nodeAttr returns an attribute of a node as text.
func nodeAttr(n *mi.Node, name string) string {
	for _, a := range n.Attrs {
		if a.Name == name {
			return fmt.Sprint(a.Value)
		}
	}
	return ""
}
