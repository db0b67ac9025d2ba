package phone_test

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"hash"
	"regexp"
	"strings"
	"testing"
	"time"

	"silod/e2e/phone"
)

// digestCheck computes the response of RFC 7616 section 3.4.1 by itself.
func digestCheck(t *testing.T, w *wire, header, user, password string, h hash.Hash) bool {
	t.Helper()
	v := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="?([^",]*)"?`).FindAllStringSubmatch(w.header(header), -1) {
		v[m[1]] = m[2]
	}
	sum := func(s string) string { h.Reset(); h.Write([]byte(s)); return fmt.Sprintf("%x", h.Sum(nil)) }
	method, uri := strings.Fields(w.start)[0], strings.Fields(w.start)[1]
	if v["uri"] != uri {
		t.Errorf("digest for %s, request for %s", v["uri"], uri)
	}
	want := sum(sum(user+":"+v["realm"]+":"+password) + ":" + v["nonce"] + ":" + v["nc"] + ":" + v["cnonce"] + ":auth:" + sum(method+":"+uri))
	return v["response"] == want
}

func TestDigest(t *testing.T) {
	for _, tt := range []struct {
		name       string
		status     string
		challenges []string
		header     string
		hash       hash.Hash
	}{
		{"MD5", "401 Unauthorized", []string{`WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"`}, "Authorization", md5.New()},
		{"proxy", "407 Proxy Authentication Required", []string{`Proxy-Authenticate: Digest realm="r",nonce="n1",qop="auth,auth-int",algorithm=MD5,opaque="o"`}, "Proxy-Authorization", md5.New()},
		{"SHA-256 is preferred", "401 Unauthorized", []string{
			`WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256`,
			`WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=MD5`,
		}, "Authorization", sha256.New()},
		{"the known one of two", "401 Unauthorized", []string{
			`WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=SHA3`,
			`WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"`,
		}, "Authorization", md5.New()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newPeer(t, "udp")
			bob := open(t, phone.Config{Server: srv.addr, Password: "secret word"})
			go func() {
				first := srv.next("REGISTER")
				first.answer(tt.status, tt.challenges...)
				w := srv.next("REGISTER")
				if w.header("CSeq") != "2 REGISTER" || w.header("Via") == first.header("Via") {
					t.Errorf("second try repeats the first's CSeq or branch:\n%s", w.raw)
				}
				if digestCheck(t, w, tt.header, "bob", "secret word", tt.hash) {
					w.register(60)
					return
				}
				w.answer("403 Forbidden")
			}()
			if res, _, err := bob.Register(t.Context(), time.Minute); err != nil || !res.OK() {
				t.Errorf("Register returns %v, %v", res, err)
			}
		})
	}
}

func TestDigestEnds(t *testing.T) {
	challenge := func(nonce string, stale bool) string {
		return fmt.Sprintf(`WWW-Authenticate: Digest realm="r", nonce="%s", qop="auth", stale=%v`, nonce, stale)
	}
	t.Run("no password", func(t *testing.T) {
		srv := newPeer(t, "udp")
		bob := open(t, phone.Config{Server: srv.addr})
		go func() { srv.next("REGISTER").answer("401 Unauthorized", challenge("n", false)) }()
		if res, _, err := bob.Register(t.Context(), time.Minute); err != nil || res.Code != 401 {
			t.Errorf("Register returns %v, %v", res, err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		srv := newPeer(t, "udp")
		bob := open(t, phone.Config{Server: srv.addr, Password: "wrong"})
		go func() {
			srv.next("REGISTER").answer("401 Unauthorized", challenge("n1", false))
			srv.next("REGISTER").answer("401 Unauthorized", challenge("n2", false))
		}()
		if res, _, err := bob.Register(t.Context(), time.Minute); err != nil || res.Code != 401 {
			t.Errorf("Register returns %v, %v", res, err)
		}
	})
	t.Run("stale nonce", func(t *testing.T) {
		srv := newPeer(t, "udp")
		bob := open(t, phone.Config{Server: srv.addr, Password: "right"})
		go func() {
			srv.next("REGISTER").answer("401 Unauthorized", challenge("n1", false))
			srv.next("REGISTER").answer("401 Unauthorized", challenge("n2", true))
			w := srv.next("REGISTER")
			if !strings.Contains(w.header("Authorization"), `nonce="n2"`) {
				t.Errorf("third try has %s", w.header("Authorization"))
			}
			w.register(60)
		}()
		if res, _, err := bob.Register(t.Context(), time.Minute); err != nil || !res.OK() {
			t.Errorf("Register returns %v, %v", res, err)
		}
	})
}
