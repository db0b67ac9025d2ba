package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var replies atomic.Int64

// writeFIFO writes a text, which need not be a whole request, to the request FIFO.
func writeFIFO(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = f.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
}

// byFIFO runs a command over the FIFO, as kamctl does, and returns its reply. args are lines.
func (d *daemon) byFIFO(t *testing.T, command, args string) string {
	t.Helper()
	name := fmt.Sprintf("e2e-%d", replies.Add(1))
	if err := syscall.Mkfifo(d.path(name), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(d.path(name))
	f, err := os.OpenFile(d.path(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	writeFIFO(t, d.path("silod.fifo"), ":"+command+":"+name+"\n"+args+"\n")
	return readReply(t, f)
}

// readReply reads until the daemon closes a reply FIFO. Before the daemon has opened the FIFO,
// reading also returns io.EOF.
func readReply(t *testing.T, f *os.File) string {
	t.Helper()
	var text []byte
	buf := make([]byte, 1<<16)
	eventually(t, func() error {
		_ = f.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := f.Read(buf)
			text = append(text, buf[:n]...)
			switch {
			case err == nil:
			case errors.Is(err, io.EOF) && len(text) > 0:
				return nil
			default:
				return fmt.Errorf("no reply on %s: %w", f.Name(), err)
			}
		}
	})
	return string(text)
}

// byDatagram sends a datagram and returns the reply, or "" if there is none.
func (d *daemon) byDatagram(t *testing.T, raw string) string {
	t.Helper()
	own := d.path(fmt.Sprintf("e2e-%d", replies.Add(1)))
	c, err := net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: d.path("silod.sock"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(own)
	defer c.Close()
	if _, err := c.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	wait := patience
	if strings.TrimSpace(raw) == "" {
		wait = silence
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil && wait == patience {
		t.Fatalf("%.60q was not answered: %v", raw, err)
	}
	return string(buf[:n])
}

// siloctl runs siloctl and returns its standard output, standard error and exit code.
func (d *daemon) siloctl(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := d.command("siloctl", args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestManagement asks for rooms, members and stored messages over every interface: with a
// shell over the FIFO, over the datagram socket, and with siloctl.
func TestManagement(t *testing.T) {
	d := serve(t)
	w := dial(t, "tcp", d.addr)
	for _, m := range []struct{ from, to, text string }{
		{"alice", "chat-1", "#create"}, {"bob", "chat-1", "#join"}, {"alice", "carol", "see you at six"},
	} {
		w.send(strings.ReplaceAll(w.message(m.to, m.text), "mallory", m.from))
		if res := w.answer(); res.status/100 != 2 {
			t.Fatalf("want 2xx:\n%s", res)
		}
	}
	room := uri("chat-1")
	const rooms = "200 OK\nROOM::  URI=sip:chat-1@sip.test MEMBERS=2 OWNER=sip:alice@sip.test\n"
	const members = "200 OK\nROOM:: sip:chat-1@sip.test NR_OF_MEMBERS=2\n\tMEMBER:: sip:alice@sip.test\n\tMEMBER:: sip:bob@sip.test\n"

	t.Run("by hand", func(t *testing.T) {
		// As a user of Kamailio's FIFO types it.
		out, err := exec.Command("sh", "-c", `cd "$1" && mkfifo reply && { cat reply & } && printf ':imc_list_rooms:reply\n\n' > silod.fifo && wait`,
			"sh", d.dir).CombinedOutput()
		if err != nil || string(out) != rooms+"\n" {
			t.Errorf("imc_list_rooms returned %q, %v", out, err)
		}
	})
	t.Run("fifo", func(t *testing.T) {
		if got := d.byFIFO(t, "imc_list_members", room+"\n"); got != members+"\n" {
			t.Errorf("imc_list_members returned %q", got)
		}
		if got := d.byFIFO(t, "imc_list_members", uri("chat-2")+"\n"); got != "404 no such room\n\n" {
			t.Errorf("imc_list_members of no room returned %q", got)
		}
		if got := d.byFIFO(t, "frobnicate", ""); !strings.HasPrefix(got, "500 command 'frobnicate' not available\n") {
			t.Errorf("an unknown command returned %q", got)
		}
	})
	t.Run("datagram", func(t *testing.T) {
		if got := d.byDatagram(t, ":imc_list_rooms:\n"); got != rooms {
			t.Errorf("imc_list_rooms returned %q", got)
		}
		if got := d.byDatagram(t, ":imc_list_members:\n"+room+"\n"); got != members {
			t.Errorf("imc_list_members returned %q", got)
		}
	})
	t.Run("siloctl", func(t *testing.T) {
		for _, tt := range []struct {
			args  []string
			code  int
			words []string // on one line of its output
		}{
			{[]string{"imc_list_rooms"}, 0, []string{room, "2", uri("alice")}},
			{[]string{"imc_list_members", room}, 0, []string{uri("bob")}},
			{[]string{"-o", "mi", "imc_list_members", room}, 0, []string{"MEMBER:: " + uri("alice")}},
			{[]string{"messages", "list"}, 0, []string{uri("carol"), uri("alice"), "text/plain", "14"}},
			{[]string{"-o", "json", "messages", "list", "--user", "carol"}, 0, []string{`"owner":"` + uri("carol") + `"`}},
			{[]string{"--socket", d.path("silod.sock"), "imc_list_rooms"}, 0, []string{room}},
			{[]string{"--fifo", d.path("silod.fifo"), "--reply-dir", d.dir, "imc_list_rooms"}, 0, []string{room}},
			{[]string{"imc_list_members", uri("chat-2")}, 1, nil},
			{[]string{"imc_list_members"}, 1, nil},
			{[]string{"frobnicate"}, 2, nil},
			{[]string{"--frobnicate"}, 2, nil},
			{[]string{"--socket", filepath.Join(d.dir, "nothing"), "uptime"}, 3, nil},
		} {
			out, errs, code := d.siloctl(t, tt.args...)
			if code != tt.code {
				t.Errorf("siloctl %q ended with exit code %d, want %d:\n%s%s", tt.args, code, tt.code, out, errs)
			}
			if (errs == "") != (code == 0) {
				t.Errorf("siloctl %q ended with exit code %d and wrote to standard error: %q", tt.args, code, errs)
			}
			if !hasLine(out, tt.words) {
				t.Errorf("siloctl %q has no line with all of %q:\n%s", tt.args, tt.words, out)
			}
		}
	})
}

// hasLine reports whether one line has all the words.
func hasLine(text string, words []string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			return true
		}
	}
	return len(words) == 0
}

// TestSendAndListen runs the first steps of the tour in README.md.
func TestSendAndListen(t *testing.T) {
	d := serve(t)
	out, errs, code := d.siloctl(t, "send", "--server", d.addr, "alice@"+domain, "bob@"+domain, hard)
	if code != 0 || !strings.HasPrefix(out, "202 Accepted: stored") {
		t.Fatalf("siloctl send ended with exit code %d: %s%s", code, out, errs)
	}
	d.awaitStored(t, "bob", hard)
	out, errs, code = d.siloctl(t, "listen", "--server", d.addr, "--count", "1", "bob@"+domain)
	if code != 0 || !hasLine(out, []string{"alice@" + domain, hard}) {
		t.Errorf("siloctl listen ended with exit code %d: %s%s", code, out, errs)
	}
	d.awaitStored(t, "bob")
	d.awaitOnline(t, "bob", false)
}
