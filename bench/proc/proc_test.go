package proc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const numbers = " S 7 42 42 0 -1 4194560 1200 3400 5 6 150 50 30 20 20 0 8 0 1234 1000000 900"
	for _, tt := range []struct {
		line string
		want Stat
	}{
		{"42 (postgres)" + numbers, Stat{PID: 42, Parent: 7, Name: "postgres", CPU: 2 * time.Second, Reaped: 500 * time.Millisecond}},
		{"42 (a) S 1 (b)" + numbers + "\n", Stat{PID: 42, Parent: 7, Name: "a) S 1 (b", CPU: 2 * time.Second, Reaped: 500 * time.Millisecond}},
		{"42 ()" + numbers, Stat{PID: 42, Parent: 7, CPU: 2 * time.Second, Reaped: 500 * time.Millisecond}},
	} {
		if got, err := ParseStat([]byte(tt.line)); err != nil || got != tt.want {
			t.Errorf("%q reads %+v, %v; want %+v", tt.line, got, err, tt.want)
		}
	}
	for _, line := range []string{
		"", "42", "42 (name", "42 name) S 1", "x (name)" + numbers, "42 (name) S 7 42",
		"42 (name)" + strings.Replace(numbers, "150", "many", 1),
	} {
		if got, err := ParseStat([]byte(line)); err == nil {
			t.Errorf("%q reads %+v, want an error", line, got)
		}
	}
}

func TestParsePSS(t *testing.T) {
	const rollup = "00400000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:   2048 kB\nPss:   1024 kB\nPss_Anon: 1 kB\n"
	if n, err := parsePSS([]byte(rollup)); err != nil || n != 1<<20 {
		t.Errorf("%d bytes, %v; want 1 MiB", n, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Pss: 1 MB\n", "Pss: x kB\n"} {
		if n, err := parsePSS([]byte(bad)); err == nil {
			t.Errorf("%q reads %d bytes, want an error", bad, n)
		}
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy([]byte("cpu  100 20 30 99999 88888 1 2 47 5 0\ncpu0 1 2 3\n"))
	if err != nil || got != 2*time.Second {
		t.Errorf("busy %v, %v; want 2 s", got, err)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 3 4 5 6 7 x"} {
		if got, err := parseBusy([]byte(bad)); err == nil {
			t.Errorf("%q reads %v, want an error", bad, got)
		}
	}
	if before, err := Busy(); err != nil || before <= 0 {
		t.Errorf("this machine was busy for %v, %v", before, err)
	}
}

// script starts a shell script that runs until the test ends.
func script(t *testing.T, cpus []int, text string) *Process {
	t.Helper()
	p, err := Start(Command{
		Args: []string{"sh", "-c", text}, CPUs: cpus, Log: filepath.Join(t.TempDir(), "log"),
		Env: []string{"GREETING=hello"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL) })
	return p
}

// until polls until ok returns true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestTree(t *testing.T) {
	p := script(t, nil, "sh -c 'sleep 60 & sleep 60 & wait' & wait")
	until(t, "a shell, its shell and that one's two sleeps", func() bool {
		tree, err := Tree(p.PID())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range tree {
			if s.Name == "sleep" {
				n++
			}
		}
		return n == 2 && tree[0].PID == p.PID() && tree[1].Parent == p.PID()
	})
	if n, err := Memory(p.PID()); err != nil || n <= 0 {
		t.Errorf("memory %d, %v", n, err)
	}
	if err := p.Stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	until(t, "the group ends with the shell", func() bool {
		return syscall.Kill(-p.PID(), 0) == syscall.ESRCH
	})
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("it ended by a signal, and Err says %v", err)
	}
}

// The time of children that have ended counts, because the sessions of a database end.
func TestCPUOfEndedChildren(t *testing.T) {
	p := script(t, nil, "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; sleep 60")
	until(t, "CPU time of the inner shell", func() bool {
		tree, err := Tree(p.PID())
		if err != nil {
			t.Fatal(err)
		}
		return len(tree) == 2 && tree[1].Name == "sleep"
	})
	got, err := CPU(p.PID())
	if err != nil || got == 0 {
		t.Errorf("CPU time %v, %v", got, err)
	}
	if none, err := CPU(); err != nil || none != 0 {
		t.Errorf("CPU time of no process is %v, %v", none, err)
	}
}

func TestProcessorsAndEnvironment(t *testing.T) {
	cpus, err := Allowed()
	if err != nil || len(cpus) == 0 {
		t.Fatal(cpus, err)
	}
	one := cpus[len(cpus)-1:]
	p := script(t, one, "echo $GREETING; grep Cpus_allowed_list /proc/self/status; exit 3")
	until(t, "its end", func() bool { return p.Err() != nil })
	log, err := os.ReadFile(p.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Fields(string(log)), []string{"hello", "Cpus_allowed_list:", List(one)}; !slices.Equal(got, want) {
		t.Errorf("log is %q, want %q", got, want)
	}
	if err := p.Err(); !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "hello") {
		t.Errorf("Err gives neither the status nor the log: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	if _, err := Start(Command{Args: []string{"no-such-program"}, Log: filepath.Join(t.TempDir(), "log")}); err == nil {
		t.Error("a program that is not there was started")
	}
}
