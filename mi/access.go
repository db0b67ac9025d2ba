package mi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// Access is the owner, group and mode of the file of a FIFO or a socket.
type Access struct {
	Mode  fs.FileMode // 0 is 0660
	User  string      // name or number; "" is the daemon's own
	Group string      // likewise
}

// Apply sets the owner, group and mode of path, in this order. If the file was created
// without permissions for others, no other user can open it before all are set.
func (a Access) Apply(path string) error {
	uid, gid := -1, -1
	var err error
	if a.User != "" {
		if uid, err = lookup(a.User, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return fmt.Errorf("owner of %s: %w", path, err)
		}
	}
	if a.Group != "" {
		if gid, err = lookup(a.Group, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}); err != nil {
			return fmt.Errorf("group of %s: %w", path, err)
		}
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return fmt.Errorf("set the owner of %s: %w", path, err)
		}
	}
	mode := a.Mode
	if mode == 0 {
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("set the mode of %s: %w", path, err)
	}
	return nil
}

// lookup returns the number of a user or group. A number is returned as it is, and works on
// a system that does not know its name.
func lookup(s string, byName func(string) (string, error)) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, nil
	}
	id, err := byName(s)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}

// SameFile reports whether path is the file that was created there. A symbolic link at path
// is not followed.
func SameFile(path string, made fs.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && made != nil && os.SameFile(now, made)
}

// RemoveMade removes path if it is the file that was created there.
func RemoveMade(path string, made fs.FileInfo) error {
	if !SameFile(path, made) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
