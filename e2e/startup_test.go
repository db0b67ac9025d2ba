package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// refuses starts a daemon that cannot serve. It must exit with code 1, after one line on
// standard error for each of the problems, which has all the words of that problem.
func (d *daemon) refuses(t *testing.T, problems ...[]string) {
	t.Helper()
	d.launch(t)
	if code := d.exit(); code != 1 {
		t.Errorf("silod ended with exit code %d, want 1", code)
	}
	var written []string
	for line := range strings.Lines(d.logs.String()) {
		if !strings.HasPrefix(line, "time=") { // its log
			written = append(written, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(written) != len(problems) {
		t.Fatalf("silod wrote %d lines, want %d:\n%s", len(written), len(problems), strings.Join(written, "\n"))
	}
	for i, words := range problems {
		for _, w := range words {
			if !strings.Contains(written[i], w) {
				t.Errorf("silod wrote, without %q:\n%s", w, written[i])
			}
		}
	}
	if out := d.output.String(); out != "" {
		t.Errorf("silod printed its addresses although it cannot serve: %s", out)
	}
}

// listens returns the line of a configuration with which the daemon listens on addr.
func listens(addr string) string { return fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%[1]s']", addr) }

func TestPortIsTaken(t *testing.T) {
	t.Run("by another silod", func(t *testing.T) {
		first := serve(t)
		second := prepare(t)
		second.configure(t, listens(first.addr))
		second.refuses(t, []string{"silod: ", "udp:" + first.addr, "address already in use"})
		first.checkAlive(t)
	})
	t.Run("by something else", func(t *testing.T) {
		for _, network := range []string{"udp", "tcp"} {
			d := prepare(t)
			if network == "udp" {
				c, err := net.ListenPacket("udp", d.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			} else {
				l, err := net.Listen("tcp", d.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			d.refuses(t, []string{"silod: ", network + ":" + d.addr, "address already in use"})
		}
	})
	t.Run("of an address of another machine", func(t *testing.T) {
		d := prepare(t)
		d.configure(t, listens("203.0.113.1:5060"), "auth.mode = 'none'")
		d.refuses(t, []string{"silod: ", "203.0.113.1:5060"})
	})
}

func TestDirectoryCannotBeUsed(t *testing.T) {
	t.Run("state", func(t *testing.T) {
		d := prepare(t)
		// Not a directory without permissions, in which root can write.
		notDir := file(t, "", t.TempDir(), "file")
		d.configure(t, listens(d.addr), "db.url = 'sqlite:"+filepath.Join(notDir, "silod.db")+"'")
		d.refuses(t, []string{"silod: ", notDir, "not a directory"})
	})
	t.Run("state by default", func(t *testing.T) {
		d := prepare(t)
		notDir := file(t, "", t.TempDir(), "file")
		d.env = []string{"STATE_DIRECTORY=" + filepath.Join(notDir, "state")}
		d.refuses(t, []string{"silod: ", notDir, "not a directory"})
	})
	t.Run("runtime", func(t *testing.T) {
		d := prepare(t)
		notDir := file(t, "", t.TempDir(), "file")
		d.env = []string{"RUNTIME_DIRECTORY=" + filepath.Join(notDir, "run")}
		d.refuses(t, []string{"silod: ", notDir, "not a directory"})
	})
	t.Run("database", func(t *testing.T) {
		d := prepare(t)
		file(t, "this is no database, but it is as long as one: "+strings.Repeat("x", 5000), d.dir, "silod.db")
		d.refuses(t, []string{"silod: ", d.path("silod.db")})
		if got := string(read(t, d.path("silod.db"))); !strings.HasPrefix(got, "this is no database") {
			t.Error("silod has overwritten the file")
		}
	})
}

// TestSecondSilod starts a second daemon with a database, FIFO or socket of the first.
func TestSecondSilod(t *testing.T) {
	first := serve(t)
	free := func() string { return listens(fmt.Sprintf("127.0.0.1:%d", freePort(t))) }
	database := "db.url = 'sqlite:" + first.path("silod.db") + "'"
	second := func(t *testing.T, more ...string) *daemon {
		d := prepare(t)
		d.configure(t, append([]string{free()}, more...)...)
		return d
	}
	t.Run("database", func(t *testing.T) {
		second(t, database).refuses(t,
			[]string{"silod: ", first.path("silod.db"), fmt.Sprintf("in use by process %d", first.cmd.Process.Pid)})
	})
	t.Run("FIFO", func(t *testing.T) {
		second(t, "mi.fifo_name = '"+first.path("silod.fifo")+"'").refuses(t,
			[]string{"silod: ", "mi.fifo_name", first.path("silod.fifo"), "another silod"})
	})
	t.Run("datagram socket", func(t *testing.T) {
		second(t, "mi.socket_name = '"+first.path("silod.sock")+"'").refuses(t,
			[]string{"silod: ", "mi.socket_name", first.path("silod.sock")})
	})
	t.Run("control socket", func(t *testing.T) {
		second(t, "mi.control_socket = '"+first.path("control.sock")+"'").refuses(t,
			[]string{"silod: ", "mi.control_socket", first.path("control.sock")})
	})
	// The first still serves.
	first.checkAlive(t)
	if got := first.byFIFO(t, "pwd", ""); !strings.HasPrefix(got, "200 OK\n") {
		t.Errorf("the FIFO of the first answers %q", got)
	}
	if got := first.byDatagram(t, ":pwd:\n"); !strings.HasPrefix(got, "200 OK\n") {
		t.Errorf("the datagram socket of the first answers %q", got)
	}
	if _, err := first.call("pwd"); err != nil {
		t.Error(err)
	}
}

func TestBadConfiguration(t *testing.T) {
	d := prepare(t)
	path := d.path("silod.toml")
	for _, tt := range []struct {
		text     string
		problems [][]string
	}{
		{"[silo]\n\nadd_dat = 1\n", [][]string{{path + ":3: ", "silo.add_dat", "silo.add_date"}}},
		{"[sip]\nlisten = ['udp:127.0.0.1:70000']\n", [][]string{{path + ":2: ", "sip.listen", "70000"}}},
		{"[silo]\nexpire_time = 'long'\n[registrar]\nmin_expires = -1\n", [][]string{
			{path + ":2: ", "silo.expire_time", "integer"}, {path + ":4: ", "registrar.min_expires", "3600"},
		}},
		{"[sip]\nlisten = ['udp:0.0.0.0:5060']\n", [][]string{{"auth.mode", "udp:0.0.0.0:5060"}}},
		{"[sip\n", [][]string{{path + ":2: "}}},
		{"sip\x00", [][]string{{path + ":1: "}}},
	} {
		file(t, tt.text, path)
		d.logs = transcript{}
		d.refuses(t, tt.problems...)
		// silod check prints the same.
		out, err := d.command("silod", "check", "--config", path).CombinedOutput()
		if err == nil || string(out) != d.logs.String() {
			t.Errorf("silod check says %q, %v; silod says %q", out, err, d.logs.String())
		}
	}
	t.Run("a file that cannot be read", func(t *testing.T) {
		d := prepare(t)
		if err := os.Remove(d.path("silod.toml")); err != nil {
			t.Fatal(err)
		}
		d.refuses(t, []string{d.path("silod.toml"), "no such file"})
	})
	t.Run("a directory", func(t *testing.T) {
		d := prepare(t)
		if err := os.Remove(d.path("silod.toml")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(d.path("silod.toml"), 0o700); err != nil {
			t.Fatal(err)
		}
		d.refuses(t, []string{d.path("silod.toml"), "is a directory"})
	})
}

// TestEnd stops a daemon with open connections and incomplete requests.
func TestEnd(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			d := serve(t)
			kept := d.storeTexts(t)
			half, idle := dial(t, "tcp", d.addr), dial(t, "tcp", d.addr)
			half.send("MESSAGE " + uri("bob") + " SIP/2.0\r\nVia: ")
			idle.send(idle.message("carol", "hello"))
			idle.answer()
			control, err := net.Dial("unix", d.path("control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer control.Close()
			d.signal(sig)
			if code := d.exit(); code != 0 {
				t.Errorf("silod ended with exit code %d, want 0", code)
			}
			idle.closed()
			for _, name := range []string{"silod.fifo", "silod.sock", "control.sock"} {
				if _, err := os.Lstat(d.path(name)); err == nil {
					t.Errorf("%s was left behind", name)
				}
			}
			for line := range strings.Lines(d.logs.String()) {
				if !strings.HasPrefix(line, "time=") {
					t.Errorf("silod wrote: %s", line)
				}
			}
			// With the same state and port: nothing is lost.
			d.start(t)
			d.awaitStored(t, "bob", kept...)
			d.awaitStored(t, "carol", "hello")
		})
	}
	t.Run("in the middle of a delivery", func(t *testing.T) {
		d := serve(t, "sip.stop_timeout = '1s'")
		bob := dial(t, "udp", d.addr)
		bob.register("bob")
		alice := dial(t, "udp", d.addr)
		alice.send(alice.message("bob", "do you hear me?"))
		if res := bob.answer(); res.body != "do you hear me?" {
			t.Fatalf("bob got\n%s", res)
		}
		// bob does not answer. The response to alice is correct: not delivered, or stored.
		d.stop()
		switch res := alice.answer(); res.status {
		case 202:
			d.start(t)
			d.awaitStored(t, "bob", "do you hear me?")
		case 503:
			if res.header.Get("Retry-After") == "" {
				t.Errorf("503 without Retry-After:\n%s", res)
			}
		default:
			t.Errorf("want 202 or 503:\n%s", res)
		}
	})
	// The second signal ends the daemon at once.
	t.Run("twice", func(t *testing.T) {
		d := serve(t, "sip.stop_timeout = '5m'", "sip.accept_timeout = '30s'")
		bob := dial(t, "udp", d.addr)
		bob.register("bob")
		alice := dial(t, "udp", d.addr)
		alice.send(alice.message("bob", "hello?"))
		bob.answer()
		d.signal(syscall.SIGINT)
		eventually(t, func() error { // the signal takes its time
			alice.send(alice.message("carol", "are you still there?"))
			if res := alice.answer(); res.status != 503 || res.header.Get("Retry-After") == "" {
				return fmt.Errorf("want 503 with Retry-After from a daemon that is stopping:\n%s", res)
			}
			return nil
		})
		d.signal(syscall.SIGINT)
		if code := d.exit(); code == 0 {
			t.Error("silod ended with exit code 0 after the second signal")
		}
	})
}
