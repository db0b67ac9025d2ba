package db

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/im"
	"silod/imc"
)

// The test binary runs itself as a process that can be killed or that has another user.
// The environment names its task.
const childEnv = "SILOD_DB_TEST_CHILD"

func TestMain(m *testing.M) {
	switch task, url, _ := strings.Cut(os.Getenv(childEnv), " "); task {
	case "":
		code := m.Run()
		dbtest.Stop()
		os.Exit(code)
	case "open":
		db, err := Open(context.Background(), url, Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		_ = db.Close()
	case "store":
		childStore(url)
	}
}

// child starts the test binary again. lines are its output.
func child(t testing.TB, task, url string, change ...func(*exec.Cmd)) (cmd *exec.Cmd, lines chan string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+task+" "+url)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, f := range change {
		f(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines = make(chan string, 1000)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range lines { // until its output ends
		}
		_ = cmd.Wait()
	})
	return cmd, lines
}

// childStore stores from many callers at full speed and prints the names of the
// acknowledged messages.
func childStore(url string) {
	ctx := context.Background()
	db, err := Open(ctx, url, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(what string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what)
	}
	for c := range 16 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("m-%d-%d-%d", os.Getpid(), c, i)
				if db.Messages().Add(ctx, text(name)) == nil {
					say(name)
				}
				name = fmt.Sprintf("e-%d-%d-%d", os.Getpid(), c, i)
				e := &imc.Entry{Room: room1, From: alice, At: noon, Message: im.Message{Body: []byte(name)}}
				if db.Rooms().Append(ctx, e, func() {}) == nil {
					say(name)
				}
			}
		}()
	}
	select {}
}

// TestKill: after SIGKILL every acknowledged message is stored once, and no other message
// is stored.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for _, e := range append([]engine{textEngine}, engines...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			acked := map[string]bool{}
			for range rounds {
				cmd, lines := child(t, "store", url)
				wait := time.NewTimer(time.Duration(100+rand.IntN(300)) * time.Millisecond)
				for range 50 { // not before it works
					name, ok := <-lines
					if !ok {
						t.Fatal("child ended by itself")
					}
					acked[name] = true
				}
				<-wait.C
				_ = cmd.Process.Kill()
				for name := range lines {
					acked[name] = true
				}
				_ = cmd.Wait()
			}
			db := open(t, url, Options{})
			found := map[string]int{}
			for after := int64(0); ; {
				ms := next(t, db.Messages(), after, 500)
				if len(ms) == 0 {
					break
				}
				for _, m := range ms {
					found[string(m.Body)]++
					after = m.ID
				}
			}
			es, err := db.Rooms().Log(t.Context(), room1, 0, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range es {
				found[string(e.Body)]++
			}
			for name := range acked {
				if found[name] != 1 {
					t.Errorf("%s was acknowledged and is there %d times", name, found[name])
				}
			}
			if extra := len(found) - len(acked); extra < 0 || extra > rounds*16 {
				t.Errorf("%d acknowledged, %d stored", len(acked), len(found))
			}
			t.Logf("%d kills, %d acknowledged, %d stored", rounds, len(acked), len(found))
		})
	}
}
