package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Dirs are the directories of one silod. They need not exist yet: see MakeDir.
type Dirs struct {
	State   string // of the database
	Runtime string // of the FIFO and the sockets
}

// DefaultDirs returns the directories that the environment names. The state directory
// is $STATE_DIRECTORY, which systemd sets, else $XDG_STATE_HOME/silod, else
// ~/.local/state/silod. The runtime directory is $RUNTIME_DIRECTORY, which systemd
// sets, else $XDG_RUNTIME_DIR/silod, else /tmp/silod-<uid>.
func DefaultDirs(getenv func(string) string) Dirs {
	return Dirs{State: stateDir(getenv), Runtime: runtimeDir(getenv)}
}

func stateDir(getenv func(string) string) string {
	if d := firstDir(getenv("STATE_DIRECTORY")); d != "" {
		return d
	}
	if d := getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "silod")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "silod")
	}
	return "/var/lib/silod"
}

func runtimeDir(getenv func(string) string) string {
	if d := firstDir(getenv("RUNTIME_DIRECTORY")); d != "" {
		return d
	}
	if d := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		return filepath.Join(d, "silod")
	}
	return fmt.Sprintf("/tmp/silod-%d", os.Getuid())
}

// firstDir returns the first of the directories in a variable of systemd's, which
// separates them by colons; "" if it is not an absolute path.
func firstDir(list string) string {
	first, _, _ := strings.Cut(list, ":")
	if !filepath.IsAbs(first) {
		return ""
	}
	return first
}

// MakeDir creates dir with mode 0700 if it does not exist. An existing directory keeps
// its mode. If its parent is world-writable, as /tmp is, dir must belong to this user and
// not be writable by others: otherwise another user could have put a FIFO there.
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
		return fmt.Errorf("%s is a %s, not a directory: remove it", dir, fileType(info.Mode()))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user: remove it, or set another path in [mi]", dir)
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
