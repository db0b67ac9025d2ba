package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the directory of the programs under test, which are built once for all
// tests, from the working tree.
var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "silod-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	args := []string{"build", "-o", dir + "/"}
	if raceEnabled {
		args = append(args, "-race") // the daemon reports races on its standard error
	}
	cmd := exec.Command("go", append(args, "./cmd/silod", "./cmd/siloctl")...)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", cmd.Args, err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

// built returns the path of a program under test.
func built(name string) string { return filepath.Join(programs, name) }

// installed returns the path of a program of another project. If it is not installed, the
// test is skipped.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	missing(t, name)
	return ""
}

// missing skips a test whose program is not installed, or fails it if all are required.
func missing(t *testing.T, name string) {
	t.Helper()
	if os.Getenv("SILOD_TEST_SERVERS") == "required" {
		t.Fatalf("%s is not installed, and SILOD_TEST_SERVERS=required", name)
	}
	t.Skipf("%s is not installed", name)
}

// long reports whether the tests may take long.
func long() bool { return os.Getenv("SILOD_TEST_LONG") == "1" }
