package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bundles has, for each library, the library and the page that uses it as one script.
var bundles = map[string]func() ([]byte, error){"jssip": bundle("jssip"), "sip.js": bundle("sip.js")}

// bundle makes a script of the packages that tools/install-test-deps has installed in bin/npm.
func bundle(library string) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		modules, err := filepath.Abs("../bin/npm/node_modules")
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(modules, ".bin", "esbuild"), "--bundle", "testdata/"+library+"/page.js", "--log-level=warning")
		cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
		cmd.Stderr = os.Stderr
		return cmd.Output()
	})
}

// browser starts a library for phones, jssip or sip.js, in Chromium. Its page gets commands over
// HTTP.
func browser(t *testing.T, library, server, user string) *device {
	t.Helper()
	if _, err := os.Stat("../bin/npm/node_modules/" + library); err != nil {
		missing(t, library+" (tools/install-test-deps)")
	}
	path := installed(t, "chromium")
	script, err := bundles[library]()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan []string, 100)
	var p *device
	ready := make(chan struct{}) // p is set
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<!doctype html><meta charset="utf-8"><script src="/page.js"></script>`)
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(script)
	})
	mux.HandleFunc("GET /told", func(w http.ResponseWriter, r *http.Request) {
		select {
		case words := <-told:
			_ = json.NewEncoder(w).Encode(words)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /said", func(_ http.ResponseWriter, r *http.Request) {
		<-ready
		text, _ := io.ReadAll(r.Body)
		_, _ = p.output.Write(text)
		if string(text) == "quit\n" {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	})
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)

	query := url.Values{"server": {server}, "uri": {uri(user)}, "password": {password}}
	home := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
		"--user-data-dir="+home, page.URL+"/?"+query.Encode())
	cmd.Env = append(os.Environ(), "HOME="+home)
	p = &device{
		program: start(t, cmd),
		user:    user,
		send:    func(to, text string) string { return "send\x00" + uri(to) + "\x00" + text },
		shows:   func(from, text string) string { return uri(from) + ": " + text + "\n" },
		quit:    "quit",
	}
	p.input = commands(told)
	close(ready)
	return p
}

// commands is a writer that sends each line to a page.
type commands chan<- []string

func (c commands) Write(line []byte) (int, error) {
	c <- strings.Split(strings.TrimSuffix(string(line), "\n"), "\x00")
	return len(line), nil
}

func (c commands) Close() error { return nil }

// serveWeb starts a daemon that browsers can reach too, and returns its URLs by transport.
func serveWeb(t *testing.T, more ...string) (*daemon, map[string]string) {
	t.Helper()
	d := &daemon{dir: shortDir(t), addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	ws, wss := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	d.certificate(t)
	d.configure(t, append([]string{
		fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%[1]s', 'ws:%s', 'wss:%s']", d.addr, ws, wss),
		fmt.Sprintf("sip.domains = ['%s']", domain),
		"sip.tls_certificate = 'server.pem'", "sip.tls_private_key = 'server.pem'",
		fmt.Sprintf("mi.reply_dir = '%s/'", d.dir),
		"silo.add_date = 0",
	}, more...)...)
	d.start(t)
	return d, map[string]string{"ws": "ws://" + ws, "wss": "wss://" + wss}
}

// certificate writes a self-signed certificate with its key.
func (d *daemon) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		// RFC 5280 section 4.1.2.4: the issuer is not empty. Linphone cannot read such a certificate.
		Subject:   pkix.Name{CommonName: domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), d.path("server.pem"))
}

// TestBrowser: a phone in a browser authenticates, exchanges messages with another phone,
// also in a room, and ends without unregistering, as when its page is closed.
func TestBrowser(t *testing.T) {
	for _, with := range []struct{ library, transport string }{{"jssip", "ws"}, {"jssip", "wss"}, {"sip.js", "wss"}} {
		t.Run(with.library+"/"+with.transport, func(t *testing.T) {
			t.Parallel()
			d, at := serveWeb(t, roomTexts, digest)
			d.addUsers(t, "alice", "bob")
			alice := linphone(t, d, "tcp", "alice")
			d.awaitOnline(t, "alice", true)

			alice.say("bob", hard)
			d.awaitStored(t, "bob", hard)
			bob := browser(t, with.library, at[with.transport], "bob")
			bob.await("registered\n")
			bob.awaitText("alice", hard)
			d.awaitStored(t, "bob")
			bob.say("alice", "back: "+hard)
			bob.await(uri("alice") + " answered 200\n")
			alice.awaitText("bob", "back: "+hard)
			alice.say("bob", "forth: "+hard)
			bob.awaitText("alice", "forth: "+hard)

			bob.say("chat-1", "#create")
			bob.awaitText("chat-1", "chat-1 is yours")
			alice.say("chat-1", "#join")
			bob.awaitText("chat-1", "alice is in chat-1")
			alice.say("chat-1", hard)
			bob.awaitText("chat-1", "[alice]: "+hard)
			bob.say("chat-1", hard)
			alice.awaitText("chat-1", "[bob]: "+hard)

			bob.kill() // without a REGISTER
			d.awaitOnline(t, "bob", false)
			alice.say("bob", "are you gone?")
			alice.say("chat-1", "and from here?")
			d.awaitStored(t, "bob", "are you gone?")
			bob = browser(t, with.library, at[with.transport], "bob")
			bob.awaitText("alice", "are you gone?")
			bob.awaitText("chat-1", "[alice]: and from here?")
			bob.unregister()
			d.awaitOnline(t, "bob", false)
		})
	}
}

// TestBrowserWithoutPassword: a phone with a wrong password cannot register or send.
func TestBrowserWithoutPassword(t *testing.T) {
	d, at := serveWeb(t, digest)
	if _, err := d.call("sub_add", "bob@"+domain, "another one"); err != nil {
		t.Fatal(err)
	}
	bob := browser(t, "jssip", at["ws"], "bob")
	bob.await("registration failed: Authentication Error\n")
	bob.say("alice", "hello")
	bob.await(uri("alice") + " answered 407\n")
	if n := d.counter(t, "auth:wrong_passwords"); n != 2 { // it answers the challenge of each request
		t.Errorf("%d wrong passwords, want 2", n)
	}
	d.awaitOnline(t, "bob", false)
}
