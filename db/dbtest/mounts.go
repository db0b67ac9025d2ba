package dbtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownMounts is set in the environment of a process of OwnMounts.
const ownMounts = "SILOD_TEST_OWN_MOUNTS"

// OwnMounts has a test run in a process with a mount namespace of its own, so that its mounts
// end with it, also after a panic or a timeout. It reports whether this is that process. If it
// is not, the test has run when OwnMounts returns. Where the system does not allow it, the test
// is skipped.
func OwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMounts) != "" {
		return true
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	if end, ok := t.Deadline(); ok {
		c.Args = append(c.Args, "-test.timeout="+time.Until(end).String())
	}
	c.Env = append(os.Environ(), ownMounts+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = 10 * time.Second // for servers that still have its output open
	runtime.LockOSThread()         // whose end Pdeathsig is about
	defer runtime.UnlockOSThread()
	switch out, err := c.CombinedOutput(); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("needs the right to mount a filesystem: ", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name())):
		t.Skipf("%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Fatalf("did not run\n%s", out)
	}
	return false
}

// SmallDisk mounts a filesystem of so many megabytes at a directory, which keeps its owner. The
// test has OwnMounts. It is skipped where mounting is not allowed.
func SmallDisk(t *testing.T, dir, megabytes string) {
	t.Helper()
	var owner syscall.Stat_t
	if err := syscall.Stat(dir, &owner); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=777,size="+megabytes+"m"); err != nil {
		t.Skip("needs the right to mount a filesystem: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // so that the directory can be removed
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}
