package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/template"

	_ "modernc.org/sqlite" // to count stored messages

	"silod/bench/proc"
	"silod/bench/rows"
)

//go:embed silod.toml
var silodConfig string

// settings are the values of a configuration template.
type settings struct {
	Addr, Domain, DB string
	Proxy            string // to which Kamailio's modules send: Kamailio itself
}

// configure writes a configuration file from a template.
func configure(path, text string, s settings) error {
	t, err := template.New(filepath.Base(path)).Parse(text)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.Execute(f, s); err != nil {
		return err
	}
	return f.Close()
}

func startSilodSQLite(ctx context.Context, r *rig, dir string) (*running, error) {
	path := filepath.Join(dir, "silod.db")
	if r.rows > 0 {
		if err := exec.CommandContext(ctx, "cp", r.filledFile, path).Run(); err != nil {
			return nil, fmt.Errorf("copy the filled database: %w", err)
		}
	}
	s, err := startSilod(ctx, r, dir, "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	s.rows = func(ctx context.Context) (int, error) {
		return countRows(ctx, "sqlite", "file:"+path+"?mode=ro")
	}
	return s, nil
}

func startSilodPostgres(ctx context.Context, r *rig, dir string) (*running, error) {
	d, err := r.newDatabase(ctx, r.filled)
	if err != nil {
		return nil, err
	}
	s, err := startSilod(ctx, r, dir, d.dsn())
	if err != nil {
		return nil, err
	}
	s.database, s.rows, s.cleanup = d.server.process, d.rows, d.drop
	return s, nil
}

// prepareSQLite builds silod and, once, a filled database that each measurement copies.
func prepareSQLite(ctx context.Context, r *rig) error {
	if err := buildSilod(ctx, r); err != nil || r.rows == 0 || r.filledFile != "" {
		return err
	}
	path := filepath.Join(r.dir, "filled.db")
	if err := r.createTables(ctx, "sqlite:"+path); err != nil {
		return err
	}
	r.filledFile = path
	return rows.Of(r.options.rows).Fill(ctx, "sqlite", "file:"+path, domain)
}

// preparePostgres is prepareSQLite for PostgreSQL.
func preparePostgres(ctx context.Context, r *rig) error {
	if err := buildSilod(ctx, r); err != nil || r.rows == 0 || r.filled != nil {
		return err
	}
	d, err := r.newDatabase(ctx, nil)
	if err != nil {
		return err
	}
	if err := r.createTables(ctx, d.dsn()); err != nil {
		return err
	}
	r.filled = d
	return d.fill(ctx, rows.Of(r.options.rows))
}

// createTables starts silod on an empty database, which creates the tables, and stops it.
func (r *rig) createTables(ctx context.Context, url string) error {
	dir, err := os.MkdirTemp(r.dir, "tables")
	if err != nil {
		return err
	}
	s, err := startSilod(ctx, r, dir, url)
	if err != nil {
		return err
	}
	return s.stop()
}

// buildSilod builds the daemon, with support for profiles if -pprof is set.
func buildSilod(ctx context.Context, r *rig) error {
	if r.silod != "" {
		return nil
	}
	var tags []string
	if r.profile {
		tags = []string{"bench"}
	}
	var err error
	r.silod, err = r.build(ctx, "./cmd/silod", tags...)
	return err
}

func startSilod(ctx context.Context, r *rig, dir, url string) (*running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &running{addr: loopback(port), end: syscall.SIGTERM}
	if r.profile {
		s.profile = filepath.Join(dir, "cpu.prof")
	}
	file := filepath.Join(dir, "silod.toml")
	if err := configure(file, silodConfig, settings{Addr: s.addr.String(), Domain: domain, DB: url}); err != nil {
		return nil, err
	}
	return s.start(ctx, proc.Command{
		Args: []string{r.silod, "--config", file}, CPUs: r.subs, Log: filepath.Join(r.out, "silod.log"),
		Env: []string{
			"STATE_DIRECTORY=" + dir, "RUNTIME_DIRECTORY=" + dir,
			"SILOD_CPUPROFILE=" + s.profile,
		},
	})
}

// countRows counts stored messages.
func countRows(ctx context.Context, driver, dsn string) (n int, err error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM silo").Scan(&n); err != nil {
		return 0, fmt.Errorf("count stored messages: %w", err)
	}
	return n, nil
}
