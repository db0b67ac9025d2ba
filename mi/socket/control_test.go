package socket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"silod/mi"
	"silod/mi/client"
)

// dialControl connects to a control socket, as a script does.
func dialControl(t *testing.T, path string) (*net.UnixConn, *bufio.Reader) {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(soon))
	return c, bufio.NewReader(c)
}

func send(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// reply reads a classic reply.
func reply(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if line == "\n" {
			return b.String()
		}
		if err != nil {
			t.Fatalf("reply %q: %v", b.String(), err)
		}
	}
}

const pwdReply = "200 OK\nWD:: "

// TestControlTorture: after each of these inputs, the next command is served, on the same
// connection and on another.
func TestControlTorture(t *testing.T) {
	s := options(t, registry())
	start(t, NewControl(s))
	for name, rubbish := range map[string]string{
		"nothing":           "",
		"blank lines":       "\n\r\n\n",
		"no colon":          "pwd:r\n\n",
		"no second colon":   ":pwd\n\n",
		"HTTP":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"binary":            "\x00\xff\x16\x03\x01\x02\n\n",
		"long header":       ":" + strings.Repeat("x", 5000) + ":r\n\n",
		"too much":          ":echo:\n" + strings.Repeat("argument\n", 10000) + "\n",
		"open quote":        ":echo:\n\"abc\n\n",
		"no end":            ":echo:\na\n\n",
		"bad JSON":          "{\"method\": }\n\n",
		"open JSON":         "{\"method\": \"pwd\"\n\n",
		"JSON in JSON":      strings.Repeat("[", 50000) + "\n\n",
		"unknown":           ":nosuch:\n\n",
		"a command crashes": ":crash:\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, r := dialControl(t, s.Path)
			send(t, c, rubbish+":pwd:r\n\n")
			for line := ""; !strings.HasPrefix(line, "WD:: "); { // skip refusals
				var err error
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			other, r2 := dialControl(t, s.Path)
			send(t, other, ":pwd:\n\n")
			if got := reply(t, r2); !strings.HasPrefix(got, pwdReply) {
				t.Errorf("another connection: %q", got)
			}
		})
	}
}

// TestControlPieces: a request may arrive in any pieces, and several in one.
func TestControlPieces(t *testing.T) {
	s := options(t, registry())
	start(t, NewControl(s))
	c, r := dialControl(t, s.Path)
	for _, b := range []byte(":imc_list_members:\nsip:x\n\n") {
		send(t, c, string(b))
	}
	if got := reply(t, r); got != "404 no such room\n\n" {
		t.Errorf("byte by byte: %q", got)
	}
	send(t, c, strings.Repeat(":pwd:\n\n", 50))
	for range 50 {
		if got := reply(t, r); !strings.HasPrefix(got, pwdReply) {
			t.Fatalf("in one write: %q", got)
		}
	}
}

// TestControlHalfClosed: a client that has closed its sending direction gets its replies, as
// nc -N and socat need it.
func TestControlHalfClosed(t *testing.T) {
	r := registry()
	r.Add(mi.Command{Name: "slow", Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
		select {
		case <-time.After(700 * time.Millisecond): // longer than the interval of checks
			return &mi.Node{Value: "done"}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	s := options(t, r)
	start(t, NewControl(s))
	c, _ := dialControl(t, s.Path)
	send(t, c, ":slow:\n\n:pwd:\n")
	_ = c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "200 OK\ndone\n\n"+pwdReply) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestControlClientGone: a command ends when its client disconnects.
func TestControlClientGone(t *testing.T) {
	r := registry()
	running, ended := make(chan struct{}), make(chan struct{})
	r.Add(
		mi.Command{Name: "wait", Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
			close(running)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}},
	)
	s := options(t, r)
	start(t, NewControl(s))
	c, _ := dialControl(t, s.Path)
	send(t, c, ":wait:\n\n")
	<-running
	_ = c.Close()
	select {
	case <-ended:
	case <-time.After(soon / 4): // less than the command's timeout
		t.Error("the command still runs")
	}
}

// TestControlNeverReads: a client that does not read its reply is disconnected, and delays no
// other client.
func TestControlNeverReads(t *testing.T) {
	s, log := options(t, registry()), &lockedBuffer{}
	s.Log = slog.New(slog.NewTextHandler(log, nil))
	s.Timeout = 300 * time.Millisecond
	start(t, NewControl(s))
	c, r := dialControl(t, s.Path)
	send(t, c, ":rows:\n1000000\n\n")
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	other, r2 := dialControl(t, s.Path)
	send(t, other, ":pwd:\n\n")
	if got := reply(t, r2); !strings.HasPrefix(got, pwdReply) {
		t.Errorf("meanwhile: %q", got)
	}
	eventually(t, "disconnecting the client", func() bool {
		return strings.Contains(log.String(), `msg="control socket client lost"`)
	})
	if n, err := io.Copy(io.Discard, r); n > 10<<20 {
		t.Errorf("%d bytes came after all, %v", n, err)
	}
}

func TestControlTooManyConnections(t *testing.T) {
	s := options(t, registry())
	start(t, NewControl(s))
	var conns []*net.UnixConn
	for range maxConns {
		c, r := dialControl(t, s.Path)
		send(t, c, ":pwd:\n\n")
		reply(t, r)
		conns = append(conns, c)
	}
	_, r := dialControl(t, s.Path)
	if got := reply(t, r); got != "503 too many connections: try again\n\n" {
		t.Errorf("one too many: %q", got)
	}
	c, err := client.Dial(t.Context(), client.Target{Socket: s.Path, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, mi.Errorf(503, "too many connections: try again")) {
		t.Errorf("siloctl, one too many: %v", err)
	}
	_ = conns[0].Close()
	eventually(t, "accepting another connection", func() bool {
		_, err := c.Call(t.Context(), "pwd")
		return err == nil
	})
}

// TestControlStops: when the server stops, idle connections are closed and replies in progress
// are finished.
func TestControlStops(t *testing.T) {
	r := registry()
	running := make(chan struct{})
	r.Add(mi.Command{Name: "slow", Run: func(context.Context, *mi.Request) (*mi.Node, error) {
		close(running)
		time.Sleep(200 * time.Millisecond)
		return &mi.Node{Value: "done"}, nil
	}})
	s := options(t, r)
	s.Timeout = time.Hour
	stop := start(t, NewControl(s))
	_, idle := dialControl(t, s.Path)
	deaf, _ := dialControl(t, s.Path) // does not read, and does not delay the end
	send(t, deaf, ":rows:\n10000000\n\n")
	c, busy := dialControl(t, s.Path)
	send(t, c, ":slow:\n\n")
	<-running
	stop()
	if got := reply(t, busy); got != "200 OK\ndone\n\n" {
		t.Errorf("the reply in progress: %q", got)
	}
	if _, err := idle.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection: %v", err)
	}
}
