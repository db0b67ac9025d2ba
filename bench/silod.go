package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"text/template"

	_ "modernc.org/sqlite" // to count stored messages

	"silod/bench/proc"
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
	s, err := startSilod(ctx, r, dir, "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	s.rows = func(ctx context.Context) (int, error) {
		return countRows(ctx, "sqlite", "file:"+path+"?mode=ro")
	}
	s.fill = func(ctx context.Context, n int) error {
		const numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < %d)"
		return fillTable(ctx, "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)", fmt.Sprintf(numbers, n))
	}
	return s, nil
}

func startSilodPostgres(ctx context.Context, r *rig, dir string) (*running, error) {
	d, err := r.newDatabase(ctx)
	if err != nil {
		return nil, err
	}
	s, err := startSilod(ctx, r, dir, d.dsn())
	if err != nil {
		return nil, err
	}
	s.database, s.rows, s.fill, s.cleanup = d.server.process, d.rows, d.fill, d.drop
	return s, nil
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

// fillTable stores a message for each n of s, which numbers defines, in mailboxes of 100
// messages that are not part of the load.
func fillTable(ctx context.Context, driver, dsn, numbers string) error {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, numbers+`
		INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
		SELECT 'sip:a@`+domain+`', 'sip:b@`+domain+`', 'other' || (n / 100), '`+domain+`', 1, 2147483647, 0, 'text/plain', 'x' FROM s`)
	return err
}
