package main

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"silod/db"
	"silod/mi"
	"silod/mi/socket"
)

// TestMain makes siloctl a command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"siloctl": main})
}

// TestScripts runs the examples of the documentation. Besides testscript's own
// commands they have
//
//	silod        starts a daemon: a registry with rooms, messages and users, on
//	             the default control socket
//	sipserver    starts a SIP server and sets $SIP to its address
//	opened URL   uses a database, as a daemon does
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
			e.Setenv("RUNTIME_DIRECTORY", "")
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("STATE_DIRECTORY", "")
			e.Setenv("TZ", "UTC")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or each siloctl takes a second more
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"silod": func(ts *testscript.TestScript, _ bool, _ []string) {
				ctx, stop := context.WithCancel(context.Background())
				done, err := serve(ctx, filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "silod", "control.sock"), newFake().commands())
				ts.Check(err)
				ts.Defer(func() { stop(); <-done })
			},
			"sipserver": func(ts *testscript.TestScript, _ bool, _ []string) {
				s, err := newSIPServer()
				ts.Check(err)
				ts.Defer(s.close)
				ts.Setenv("SIP", s.addr())
			},
			"opened": func(ts *testscript.TestScript, _ bool, args []string) {
				engine, path, _ := strings.Cut(args[0], ":")
				d, err := db.Open(context.Background(), engine+":"+ts.MkAbs(path), db.Options{})
				ts.Check(err)
				ts.Defer(func() { ts.Check(d.Close()) })
			},
			"waitfor": waitFor,
		},
	})
}

// waitFor waits until a file, which a command in the background writes, has a line with a
// prefix.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		f, err := os.Open(ts.MkAbs(args[0]))
		if err == nil {
			lines := bufio.NewScanner(f)
			for lines.Scan() {
				if len(lines.Text()) >= len(args[1]) && lines.Text()[:len(args[1])] == args[1] {
					f.Close()
					return
				}
			}
			f.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s has no line %q", args[0], args[1])
}

// serve serves commands on a control socket until ctx ends, then sends its error to done.
func serve(ctx context.Context, path string, cmds []mi.Command) (done <-chan error, err error) {
	log := slog.New(slog.DiscardHandler)
	reg := mi.NewRegistry(log)
	core := &mi.Core{Registry: reg, Name: "silod", Version: "1.2.3", Started: time.Now()}
	reg.Add(core.Commands()...)
	reg.Add(cmds...)
	s := socket.NewControl(socket.Options{Registry: reg, Log: log, Path: path})
	if err := s.Listen(ctx); err != nil {
		return nil, err
	}
	c := make(chan error, 1)
	go func() { c <- s.Run(ctx) }()
	return c, nil
}
