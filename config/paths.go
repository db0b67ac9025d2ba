package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// StateDir is where the database lives: $STATE_DIRECTORY, which systemd sets, else
// $XDG_STATE_HOME/silod, else ~/.local/state/silod. It need not exist yet.
func StateDir() string {
	if d := systemd("STATE_DIRECTORY"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "silod")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "silod")
	}
	return "/var/lib/silod"
}

// RuntimeDir is where FIFO and sockets live: $RUNTIME_DIRECTORY, which systemd
// sets, else $XDG_RUNTIME_DIR/silod, else /tmp/silod-<uid>. It need not exist yet.
func RuntimeDir() string {
	if d := systemd("RUNTIME_DIRECTORY"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		return filepath.Join(d, "silod")
	}
	return fmt.Sprintf("/tmp/silod-%d", os.Getuid())
}

// systemd gives the first of the directories that systemd names in a variable.
func systemd(name string) string {
	first, _, _ := strings.Cut(os.Getenv(name), ":")
	if !filepath.IsAbs(first) {
		return ""
	}
	return first
}

// MakeDir makes dir with mode 0700 if it is missing. One that exists keeps its
// mode, but in a world-writable parent such as /tmp it must be ours and not open
// to others, or somebody else could put a FIFO of theirs in it.
func MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	parent, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	if parent.Mode().Perm()&0o002 == 0 {
		return nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a %s and not a directory of ours: remove it", dir, fileType(info.Mode()))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user: remove it, or set another place in [mi]", dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others: chmod 700 %s", dir, dir)
	}
	return nil
}

func fileType(m fs.FileMode) string {
	if m&fs.ModeSymlink != 0 {
		return "symbolic link"
	}
	return "file"
}
