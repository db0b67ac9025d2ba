package db

import (
	"strings"

	xattr "golang.org/x/sys/unix"
)

// copyAttributes copies the access list and the user's attributes of a file, as far as the
// filesystem has them.
func copyAttributes(from, to string) {
	names := make([]byte, 16<<10)
	n, err := xattr.Listxattr(from, names)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(names[:max(n, 0)]), "\x00") {
		if name != "system.posix_acl_access" && !strings.HasPrefix(name, "user.") {
			continue
		}
		if n, err := xattr.Getxattr(from, name, value); err == nil {
			_ = xattr.Setxattr(to, name, value[:n], 0)
		}
	}
}
