package fifo

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"silod/mi"
)

// TestRequestFile: the FIFO is created with its directory and permissions, and removed at the
// end.
func TestRequestFile(t *testing.T) {
	r := newRig(t, func(o *Options) {
		if o.Access.Mode = 0o620; os.Geteuid() == 0 {
			o.Access.User, o.Access.Group = "root", "65534"
		}
	})
	info, err := os.Lstat(r.Path)
	if err != nil || info.Mode() != fs.ModeNamedPipe|0o620 {
		t.Fatalf("got %v, %v", info.Mode(), err)
	}
	if st := stat(info); os.Geteuid() == 0 && (st.Uid != 0 || st.Gid != 65534) {
		t.Errorf("it belongs to %d:%d", st.Uid, st.Gid)
	}
	for dir := filepath.Dir(r.Path); dir != r.ReplyDir; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has %v, %v", dir, info.Mode(), err)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Dir(r.Path))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRequestFileTaken(t *testing.T) {
	r := newRig(t, nil)
	second := NewServer(Options{Registry: r.Registry, Log: r.Log, Path: r.Path})
	if err := second.Listen(); err == nil || !strings.Contains(err.Error(), "another silod reads from "+r.Path) {
		t.Errorf("a second server: %v", err)
	}
	r.serves()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(r.Path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Listen(); err == nil || !strings.Contains(err.Error(), "is not a FIFO") {
		t.Errorf("a file at its place: %v", err)
	}
	if b, err := os.ReadFile(r.Path); err != nil || string(b) != "precious" {
		t.Errorf("the file has now %q, %v", b, err)
	}
	_ = os.Remove(r.Path)

	if err := syscall.Mkfifo(r.Path, 0o600); err != nil { // a killed daemon leaves it behind
		t.Fatal(err)
	}
	if err := second.Listen(); err != nil {
		t.Errorf("a FIFO without a reader: %v", err)
	}
	_ = second.file.Close()

	unknown := NewServer(Options{Registry: r.Registry, Log: r.Log, Path: r.Path + "2", Access: mi.Access{Group: "no-such-group"}})
	if err := unknown.Listen(); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("an unknown group: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.Path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRequestFileLost: the FIFO is created again if it was removed or replaced, but not if
// another daemon has replaced it.
func TestRequestFileLost(t *testing.T) {
	r := newRig(t, nil)
	again := func() {
		t.Helper()
		for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
			f, err := os.OpenFile(r.Path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				_ = f.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it was not created again: %v", err)
			}
		}
		r.serves()
	}
	if err := os.Remove(r.Path); err != nil {
		t.Fatal(err)
	}
	again()
	_ = os.Remove(r.Path)
	if err := syscall.Mkfifo(r.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	again()

	other := NewServer(Options{Registry: r.Registry, Log: r.Log, Path: r.Path + ".other"})
	if err := other.Listen(); err != nil {
		t.Fatal(err)
	}
	defer other.file.Close()
	if err := os.Rename(other.opt.Path, r.Path); err != nil {
		t.Fatal(err)
	}
	r.logged("removed or replaced")
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		if strings.Count(r.log.String(), "removed or replaced") == 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the other daemon's FIFO was not noticed")
		}
	}
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), "another silod reads") {
		t.Errorf("the server ended with %v", err)
	}
	r.stop = func() error { return nil }
	if _, err := os.Lstat(r.Path); err != nil {
		t.Errorf("the other daemon's FIFO: %v", err)
	}
}
