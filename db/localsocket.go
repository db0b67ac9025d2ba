package db

import (
	"bufio"
	"context"
	"database/sql/driver"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// The C libraries that Kamailio uses reach a server on this machine at a Unix socket: that of
// MySQL for the host localhost, that of PostgreSQL without a host. Accounts may be valid for the
// socket alone (MariaDB's unix_socket, PostgreSQL's peer). silod tries the socket first, then TCP.

// mysqlSocketPaths are where builds of MySQL and MariaDB have their socket.
var mysqlSocketPaths = []string{"/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"}

// mysqlOptionFiles are the option files of MySQL's clients.
var mysqlOptionFiles = []string{"/etc/my.cnf", "/etc/mysql/my.cnf"}

// mysqlSockets returns the sockets at which the server may be: the one that the environment, or else
// an option file, names for clients, or else those at the usual places.
func mysqlSockets() []string {
	if path := os.Getenv("MYSQL_UNIX_PORT"); path != "" {
		return []string{path}
	}
	named := ""
	for _, file := range mysqlOptionFiles {
		named = optionSocket(file, named, 5)
	}
	if named != "" {
		return []string{named}
	}
	var paths []string
	for _, path := range mysqlSocketPaths {
		if trustedSocket(path, "mysql") {
			paths = append(paths, path)
		}
	}
	return paths
}

// optionSocket returns the socket that an option file, or one that it includes up to a depth, names
// for clients, or else the one that was named before.
func optionSocket(file, named string, depth int) string {
	f, err := os.Open(file)
	if err != nil || depth == 0 {
		return named
	}
	defer f.Close()
	group := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		name, value, _ := strings.Cut(line, "=")
		directive, path, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "["):
			group = strings.Trim(line, "[]")
		case directive == "!include":
			named = optionSocket(strings.TrimSpace(path), named, depth-1)
		case directive == "!includedir":
			files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(path), "*.cnf"))
			for _, file := range files {
				named = optionSocket(file, named, depth-1)
			}
		case strings.TrimSpace(name) == "socket" && (group == "client" || group == "client-server" || group == "client-mariadb"):
			named = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return named
}

// trustedSocket reports whether there is a socket that belongs to root, to this process's user or to
// an account. Another user of the machine could make one in /tmp and wait for passwords.
func trustedSocket(path, account string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	if st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return true
	}
	u, err := user.Lookup(account)
	return err == nil && u.Uid == strconv.FormatUint(uint64(st.Uid), 10)
}

// A mysqlLocal is a driver.Connector to the server on this machine.
type mysqlLocal struct {
	driver.Connector // by TCP
	cfg              *mysql.Config
}

// Connect implements driver.Connector.
func (l mysqlLocal) Connect(ctx context.Context) (driver.Conn, error) {
	var failed error // at the sockets
	for _, path := range mysqlSockets() {
		cfg := l.cfg.Clone()
		cfg.Net, cfg.Addr = "unix", path
		c, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		conn, err := c.Connect(ctx)
		if err == nil {
			return conn, nil
		}
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		failed = err
	}
	conn, err := l.Connector.Connect(ctx)
	if err == nil {
		return conn, nil
	}
	if failed != nil {
		err = fmt.Errorf("%w; %w", failed, err)
	}
	return nil, err
}

// postgresSocketDirs are where builds of PostgreSQL have their socket.
var postgresSocketDirs = []string{"/run/postgresql", "/var/run/postgresql", "/tmp"}

// postgresSocketDir returns the directory with the socket for a port, "" if there is none.
func postgresSocketDir(port uint16) string {
	for _, dir := range postgresSocketDirs {
		if trustedSocket(filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(int(port))), "postgres") {
			return dir
		}
	}
	return ""
}
