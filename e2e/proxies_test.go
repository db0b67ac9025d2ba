package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// behind is a silod with the configuration of docs/proxies.md. The proxies have the address
// 127.0.0.20, and connect to silod from 127.0.0.1.
type behind struct {
	t     *testing.T
	silod *daemon
	edit  *strings.Replacer // of the files: addresses, ports, domain and paths
	at    map[string]string // addresses of the proxies, by transport
}

func serveBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{t: t, silod: prepare(t), at: map[string]string{}}
	d := b.silod
	d.certificate(t)
	edits := []string{
		"udp:203.0.113.10:5060", "udp:" + d.addr, "advertise = \"sip.example.org\"", "advertise = \"127.0.0.20\"",
		"/etc/silod/sip.example.org.key", d.path("server.pem"), "/etc/silod/sip.example.org.pem", d.path("server.pem"),
		"/etc/nginx/sip.example.org.key", d.path("server.pem"), "/etc/nginx/sip.example.org.pem", d.path("server.pem"),
		"/etc/haproxy/sip.example.org.pem", d.path("server.pem"),
	}
	for transport, port := range map[string][2]string{"tcp": {"5060", "5060"}, "tls": {"5061", "5061"}, "wss": {"443", "8080"}} {
		b.at[transport] = fmt.Sprint("127.0.0.20:", freePort(t))
		edits = append(edits, "203.0.113.10:"+port[0], b.at[transport], "127.0.0.1:"+port[1], fmt.Sprint("127.0.0.1:", freePort(t)))
	}
	b.edit = strings.NewReplacer(append(edits, "example.org", domain)...)
	d.configure(t, "mi.reply_dir = '"+d.path("")+"'", b.read("silod.toml"))
	d.start(t)
	d.addUsers(t, "alice", "bob")
	return b
}

// read returns a file of testdata/proxies with the addresses and the domain of the test.
func (b *behind) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile("../testdata/proxies/" + name)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.edit.Replace(string(text))
}

// run starts a proxy and waits until it accepts connections.
func (b *behind) run(transport string, cmd *exec.Cmd) {
	b.t.Helper()
	p := start(b.t, cmd)
	eventually(b.t, func() error {
		if !p.running() {
			b.t.Fatalf("%s has ended:\n%s", p.name, p.output.String())
		}
		c, err := net.Dial("tcp", b.at[transport])
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

func (b *behind) nginx() {
	path, dir := installed(b.t, "nginx"), b.silod.dir
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%[1]s;\n", kind, dir)
	}
	file(b.t, fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n",
		dir, temp.String(), b.read("nginx.conf")), dir, "nginx.conf")
	b.run("wss", exec.Command(path, "-e", "stderr", "-p", dir, "-c", dir+"/nginx.conf"))
}

func (b *behind) haproxy() {
	path := installed(b.t, "haproxy")
	file(b.t, b.read("haproxy.cfg"), b.silod.dir, "haproxy.cfg")
	b.run("tcp", exec.Command(path, "-db", "-f", b.silod.path("haproxy.cfg")))
	if out, err := exec.Command(path, "-c", "-f", b.silod.path("haproxy.cfg")).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		b.t.Errorf("HAProxy says of its file: %v\n%s", err, out)
	}
}

// dial connects to a proxy from an address.
func (b *behind) dial(transport, from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", b.at[transport])
	if err == nil && transport == "tls" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return c, err
}

// open opens a connection that carries SIP through a proxy. A client over wss also claims an
// address in X-Forwarded-For.
func (b *behind) open(transport, from string) net.Conn {
	b.t.Helper()
	var c net.Conn
	var err error
	if transport == "wss" {
		var ws *websocket.Conn
		ws, _, err = websocket.Dial(b.t.Context(), "wss://"+b.at["wss"]+"/", &websocket.DialOptions{
			Subprotocols: []string{"sip"}, HTTPHeader: http.Header{"X-Forwarded-For": {"127.0.0.1, 198.51.100.9"}},
			HTTPClient: &http.Client{Transport: &http.Transport{
				DialContext:     func(context.Context, string, string) (net.Conn, error) { return b.dial(transport, from) },
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			}},
		})
		if err == nil {
			c = websocket.NetConn(b.t.Context(), ws, websocket.MessageText)
		}
	} else {
		c, err = b.dial(transport, from)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// checkSource connects through a proxy and checks that silod sees the client's address: in its
// answer and in its list of connections.
func (b *behind) checkSource(transport, from string) {
	b.t.Helper()
	c := b.open(transport, from)
	_ = c.SetDeadline(time.Now().Add(patience))
	via := map[string]string{"tcp": "TCP", "tls": "TLS", "wss": "WSS"}[transport]
	if _, err := io.WriteString(c, "OPTIONS sip:"+domain+" SIP/2.0\r\nVia: SIP/2.0/"+via+" x7tq.invalid;branch=z9hG4bK"+transport+";rport\r\n"+
		"From: <sip:alice@"+domain+">;tag=1\r\nTo: <sip:"+domain+">\r\nCall-ID: "+from+"\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"+
		"Content-Length: 0\r\n\r\n"); err != nil {
		b.t.Fatal(err)
	}
	line, err := "", error(nil)
	for r := bufio.NewReader(c); err == nil && !strings.HasPrefix(line, "Via:"); {
		line, err = r.ReadString('\n')
	}
	if !strings.Contains(strings.TrimSpace(line)+";", ";received="+from+";") {
		b.t.Errorf("%s from %s: silod has answered with %q, %v", transport, from, line, err)
	}
	list, err := b.silod.call("list_tcp_conns")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, n := range list.Nodes {
		if attribute(n, "src_ip") == from {
			return
		}
	}
	b.t.Errorf("%s from %s: it is not in the list of connections", transport, from)
}

// TestNginx runs silod behind nginx, which ends TLS for a browser.
func TestNginx(t *testing.T) {
	t.Parallel()
	b := serveBehind(t)
	b.nginx()
	b.checkSource("wss", "127.0.0.21")
	b.checkSource("wss", "127.0.0.22")
	b.talk()
}

// TestHAProxy runs silod behind HAProxy, which sends PROXY headers for phones and
// X-Forwarded-For for browsers, and checks that silod is up.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	b := serveBehind(t)
	b.haproxy()
	for _, transport := range []string{"tcp", "tls", "wss"} {
		b.checkSource(transport, "127.0.0.21")
		b.checkSource(transport, "127.0.0.22")
	}
	b.talk()
	before := b.silod.counter(t, "sip:connections_total")
	eventually(t, func() error { // health checks follow, which speak for HAProxy
		if n := b.silod.counter(t, "sip:connections_total"); n < before+2 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	if strings.Contains(b.silod.logs.String(), "connection of a proxy closed") {
		t.Error("a header of HAProxy is not valid for silod")
	}
}

// talk lets a browser behind the proxy exchange messages with a phone.
func (b *behind) talk() {
	b.t.Helper()
	if _, err := os.Stat("../bin/npm/node_modules/jssip"); errors.Is(err, os.ErrNotExist) && os.Getenv("SILOD_TEST_SERVERS") != "required" {
		b.t.Log("without JsSIP")
		return
	}
	alice := linphone(b.t, b.silod, "udp", "alice")
	b.silod.awaitOnline(b.t, "alice", true)
	bob := browser(b.t, "jssip", "wss://"+b.at["wss"], "bob")
	bob.await("registered\n")
	bob.say("alice", hard)
	alice.awaitText("bob", hard)
	alice.say("bob", "back: "+hard)
	bob.awaitText("alice", "back: "+hard)
	bob.unregister()
	b.silod.awaitOnline(b.t, "bob", false)
}
