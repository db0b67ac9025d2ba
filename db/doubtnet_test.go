package db

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/silo"
)

// A badNetwork stands between silod and a server. After lose, the next connection over which a
// COMMIT is sent is lost without either end noticing.
type badNetwork struct {
	t    *testing.T
	ln   net.Listener
	addr string // of the server

	mu     sync.Mutex
	lose   string        // "request", "answer" or ""
	closed chan struct{} // new connections wait for it; nil: they do not
	conns  []net.Conn
}

// through returns the URL of a database with the network in front of its server.
func through(t *testing.T, of string) (*badNetwork, string) {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &badNetwork{t: t, ln: ln, addr: u.Host}
	t.Cleanup(func() {
		ln.Close()
		n.open()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.conns {
			c.Close()
		}
	})
	go n.serve()
	return n, strings.Replace(of, u.Host, ln.Addr().String(), 1)
}

func (n *badNetwork) serve() {
	for {
		client, err := n.ln.Accept()
		if err != nil {
			return
		}
		go n.carry(client)
	}
}

func (n *badNetwork) carry(client net.Conn) {
	n.mu.Lock()
	closed := n.closed
	n.conns = append(n.conns, client)
	n.mu.Unlock()
	if closed != nil {
		<-closed
	}
	server, err := net.Dial("tcp", n.addr)
	if err != nil {
		client.Close()
		return
	}
	n.mu.Lock()
	n.conns = append(n.conns, server)
	n.mu.Unlock()
	lost := make(chan struct{})
	go func() {
		buf := make([]byte, 1<<16)
		for {
			c, err := server.Read(buf)
			select {
			case <-lost:
				return // and leave both ends open
			default:
			}
			if err != nil {
				client.Close()
				return
			}
			_, _ = client.Write(buf[:c])
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		c, err := client.Read(buf)
		if err != nil {
			server.Close()
			return
		}
		n.mu.Lock()
		lose := n.lose
		if lose != "" && bytes.Contains(buf[:c], []byte("COMMIT")) {
			n.lose = ""
			close(lost)
		} else {
			lose = ""
		}
		n.mu.Unlock()
		if lose != "request" {
			_, _ = server.Write(buf[:c])
		}
		if lose != "" {
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}

// loseNext loses the next COMMIT or its answer. With shut, new connections hang until open.
func (n *badNetwork) loseNext(what string, shut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lose = what; shut {
		n.closed = make(chan struct{})
	}
}

func (n *badNetwork) open() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed != nil {
		close(n.closed)
		n.closed = nil
	}
}

// A connection that is lost at a commit, without a sign of that, is given up after a while, and
// another one tells the outcome. If that takes too long, nothing is stored.
func TestCommitLost(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		if e.name == "sqlite" {
			continue
		}
		for _, what := range []string{"request", "answer"} {
			for _, shut := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", e.name, what, shut), func(t *testing.T) {
					t.Parallel()
					n, url := through(t, e.fresh(t))
					db := open(t, url, Options{})
					db.writer.lookout.first = 200 * time.Millisecond
					add(t, db.Messages(), text("before"))
					n.loseNext(what, shut)
					if shut {
						if err := db.Messages().Add(inTime(t), text("lost")); !errors.Is(err, silo.ErrBusy) || !db.InDoubt() {
							t.Error(err, db.InDoubt())
						}
						n.open()
						awaitDoubt(t, db, false)
					} else {
						add(t, db.Messages(), text("kept"))
					}
					add(t, db.Messages(), text("after"))
					want := "before kept after"
					if shut {
						want = "before after"
					}
					if got := bodies(next(t, db.Messages(), 0, 10)); got != want {
						t.Errorf("stored %q", got)
					}
				})
			}
		}
	}
}
