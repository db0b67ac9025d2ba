package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	_ "github.com/lib/pq" // to create databases and to count rows

	"silod/bench/proc"
	"silod/bench/rows"
)

// A postgres is a private server on loopback that all systems use, each with a new
// database. It runs with PostgreSQL's default settings, so commits are durable.
type postgres struct {
	process *proc.Process
	dir     string
	port    uint16
	made    int
}

// program returns the path of one of PostgreSQL's programs, which Debian does not put
// into PATH.
func program(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return slices.Max(found), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w; install PostgreSQL (Debian: apt-get install postgresql)", err)
	}
	return path, nil
}

// serverUser returns the user ID for PostgreSQL, which refuses to run as root; 0 if this
// process is not root.
func serverUser() int {
	if os.Getuid() != 0 {
		return 0
	}
	const nobody = 65534
	u, err := user.Lookup("postgres")
	if err != nil {
		return nobody
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nobody
	}
	return id
}

// maxConnections is enough for Kamailio, which opens one for each process and module.
const maxConnections = "300"

func (r *rig) startPostgres(ctx context.Context) (*postgres, error) {
	p := &postgres{dir: filepath.Join(r.dir, "postgresql")}
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	server, err := program("postgres")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	uid := serverUser()
	if uid != 0 {
		if err := os.Chown(p.dir, uid, uid); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(p.dir, "data")
	init := exec.CommandContext(ctx, initdb, "-D", data, "-U", "silod", "-A", "trust", "-E", "UTF8", "--locale=C")
	init.Dir = "/"
	if uid != 0 {
		init.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	p.process, err = proc.Start(proc.Command{
		Args: []string{
			server, "-D", data, "-p", strconv.Itoa(int(p.port)), "-k", p.dir,
			"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=" + maxConnections,
		},
		CPUs: r.subs, UID: uid, Log: filepath.Join(r.out, "postgresql.log"),
	})
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx); err != nil {
		_ = p.stop()
		return nil, err
	}
	return p, nil
}

// ready waits until the server accepts connections.
func (p *postgres) ready(ctx context.Context) error {
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = p.exec(ctx, "postgres", "SELECT 1"); err == nil {
			return nil
		}
		if ended := p.process.Err(); ended != nil {
			return ended
		}
	}
	return fmt.Errorf("PostgreSQL does not answer: %w", err)
}

func (p *postgres) stop() error { return p.process.Stop(syscall.SIGINT) } // a fast shutdown

// exec executes statements in a database of the server.
func (p *postgres) exec(ctx context.Context, name string, statements ...string) error {
	db, err := sql.Open("postgres", (&database{p, name}).dsn())
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
	}
	return nil
}

// A database is a database of the server.
type database struct {
	server *postgres
	name   string
}

// newDatabase creates a database, empty or as a copy. It starts the server if it does not run yet.
func (r *rig) newDatabase(ctx context.Context, copyOf *database) (*database, error) {
	if r.postgres == nil {
		p, err := r.startPostgres(ctx)
		if err != nil {
			return nil, err
		}
		r.postgres = p
	}
	r.postgres.made++
	d := &database{server: r.postgres, name: "bench" + strconv.Itoa(r.postgres.made)}
	create := "CREATE DATABASE " + d.name
	if copyOf != nil {
		create += " TEMPLATE " + copyOf.name + " STRATEGY FILE_COPY"
	}
	// The checkpoint keeps writes of the previous database out of this measurement.
	return d, r.postgres.exec(ctx, "postgres", create, "CHECKPOINT")
}

// url returns the URL of the database in the form that silod and Kamailio share.
func (d *database) url() string {
	return fmt.Sprintf("postgres://silod:silod@127.0.0.1:%d/%s", d.server.port, d.name)
}

func (d *database) dsn() string { return d.url() + "?sslmode=disable" }

func (d *database) rows(ctx context.Context) (int, error) {
	return countRows(ctx, "postgres", d.dsn())
}

func (d *database) fill(ctx context.Context, n rows.Rows) error {
	return n.Fill(ctx, "postgres", d.dsn(), domain)
}

func (d *database) drop() error {
	return d.server.exec(context.Background(), "postgres", "DROP DATABASE "+d.name+" WITH (FORCE)")
}
