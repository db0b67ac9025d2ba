package dbtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	_ "github.com/go-sql-driver/mysql" // the drivers for the servers
	_ "github.com/lib/pq"
)

// program returns the path of a program, also where Debian keeps it outside of PATH.
func program(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	slices.Sort(found)
	for _, p := range append(found, "/usr/sbin/"+name) {
		if _, err := os.Stat(p); err == nil {
			name = p
		}
	}
	return name
}

// postgres is PostgreSQL. Its superuser is silod, without a password.
var postgres = engine{
	name:     "pg",
	programs: []string{program("initdb"), program("postgres")},
	init: func(data string) *exec.Cmd {
		return exec.Command(program("initdb"), "-D", data, "-U", "silod", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	},
	run: func(dir string, port int) *exec.Cmd {
		return exec.Command(program("postgres"), "-D", filepath.Join(dir, "data"), "-p", fmt.Sprint(port), "-k", dir,
			"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300")
	},
	url: func(dir string, port int, database string) string {
		return fmt.Sprintf("postgres://silod@127.0.0.1:%d/%s?sslmode=disable", port, database)
	},
	driver: "postgres",
	dsn: func(dir string, port int) string {
		return fmt.Sprintf("host=%s port=%d user=silod dbname=postgres sslmode=disable connect_timeout=5", dir, port)
	},
	create: "CREATE DATABASE %s",
	quit:   syscall.SIGQUIT,
}

// mariadb is MariaDB. Its superuser is root, without a password.
var mariadb = engine{
	name:     "my",
	programs: []string{program("mariadb-install-db"), program("mariadbd")},
	init: func(data string) *exec.Cmd {
		c := exec.Command(program("mariadb-install-db"), "--no-defaults", "--datadir="+data,
			"--auth-root-authentication-method=normal", "--skip-test-db")
		c.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(data)) // see --tmpdir below
		return c
	},
	run: func(dir string, port int) *exec.Cmd {
		return exec.Command(program("mariadbd"), "--no-defaults", "--datadir="+filepath.Join(dir, "data"),
			"--socket="+filepath.Join(dir, "s"), "--bind-address=127.0.0.1", fmt.Sprint("--port=", port),
			"--pid-file="+filepath.Join(dir, "pid"), "--max-connections=300", "--innodb-log-file-size=64M",
			"--tmpdir="+dir) // of its own: at its start a server deletes the files of others there
	},
	url: func(dir string, port int, database string) string {
		return fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", port, database)
	},
	driver: "mysql",
	dsn: func(dir string, port int) string {
		return fmt.Sprintf("root@unix(%s)/", filepath.Join(dir, "s"))
	},
	create: "CREATE DATABASE %s CHARACTER SET utf8mb4",
	quit:   syscall.SIGTERM,
}
