package fifo

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestReplyFile: if the file under the reply's name is not the FIFO of a user that may send
// requests, it stays as it is, the command does not run, and the next one is served.
func TestReplyFile(t *testing.T) {
	r := newRig(t, nil)
	path := func(name string) string { return filepath.Join(r.ReplyDir, name) }
	fifo := func(name string) {
		if err := syscall.Mkfifo(path(name), 0o622); err != nil {
			t.Fatal(err)
		}
	}
	// Each FIFO has a reader, so that only the checks prevent a reply.
	open := func(name string) {
		f, err := os.OpenFile(path(name), os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = f.SetReadDeadline(time.Now().Add(time.Millisecond))
			if n, _ := f.Read(make([]byte, 100)); n > 0 {
				t.Errorf("%s was written to", name)
			}
			_ = f.Close()
		})
	}
	for _, tc := range []struct {
		name string
		make func(name string)
		log  string
	}{
		{"missing", func(string) {}, "no such file"},
		{"file", func(name string) {
			if err := os.WriteFile(path(name), []byte("precious"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "is not a FIFO"},
		{"directory", func(name string) { _ = os.Mkdir(path(name), 0o700) }, "is not a FIFO"},
		{"device", func(name string) {
			if err := syscall.Mknod(path(name), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
				t.Skip(err)
			}
		}, "is not a FIFO"},
		{"symlink", func(name string) {
			fifo(name + "_target")
			if err := os.Symlink(path(name+"_target"), path(name)); err != nil {
				t.Fatal(err)
			}
			open(name + "_target")
		}, "is not a FIFO"},
		{"dangling", func(name string) { _ = os.Symlink(path("nowhere"), path(name)) }, "is not a FIFO"},
		{"hardlink", func(name string) {
			fifo(name + "_target")
			if err := os.Link(path(name+"_target"), path(name)); err != nil {
				t.Fatal(err)
			}
			open(name)
		}, "it has 2 hard links"},
		{"stranger", func(name string) {
			fifo(name)
			if os.Chown(path(name), 54321, 54321) != nil {
				t.Skip("only root can make another user's FIFO")
			}
			open(name)
		}, "its owner (uid 54321) may not write to"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.t = t
			tc.make(tc.name)
			r.write(":echo:" + tc.name + "\nx\n\n")
			r.logged("reply=" + tc.name)
			r.logged(tc.log)
			r.serves()
		})
	}
	if b, err := os.ReadFile(path("file")); err != nil || string(b) != "precious" {
		t.Errorf("the file has now %q, %v", b, err)
	}
	if _, err := os.Lstat(path("nowhere")); err == nil {
		t.Error("a dangling link was followed")
	}
}

// TestMayAsk: owners of reply FIFOs, for the owner and mode of a request FIFO.
func TestMayAsk(t *testing.T) {
	const stranger = 54321
	member, group := aMember(t)
	for _, tc := range []struct {
		name     string
		uid, gid uint32 // of the reply FIFO
		mode     uint32 // of the request FIFO of user 77
		group    uint32
		want     bool
	}{
		{"root", 0, 0, 0o600, 77, true},
		{"the daemon's user", uint32(os.Geteuid()), 1, 0o600, 77, true},
		{"the FIFO's owner", 77, 1, 0o600, 77, true},
		{"a stranger", stranger, stranger, 0o660, 77, false},
		{"a stranger where all may write", stranger, stranger, 0o662, 77, true},
		{"a process of the group", stranger, 77, 0o660, 77, true},
		{"one of a group that may not write", stranger, 77, 0o640, 77, false},
		{"a member of the group", member, member, 0o660, group, true},
		{"a member of a group that may not write", member, member, 0o600, group, member == 0},
	} {
		reply := &syscall.Stat_t{Uid: tc.uid, Gid: tc.gid}
		request := &syscall.Stat_t{Uid: 77, Gid: tc.group, Mode: tc.mode}
		if got := mayAsk(reply, request); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

// aMember returns a user of this machine and one of its groups.
func aMember(t *testing.T) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("this machine has no user nobody")
	}
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	return number(u.Uid), number(u.Gid)
}
