package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Standby starts a PostgreSQL server that replicates this one. This one waits for it at
// every commit.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	other := s.LateStandby(t)
	s.exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	s.exec(t, "SELECT pg_reload_conf()")
	s.await(t, "sync")
	return other
}

// LateStandby starts a PostgreSQL server that replicates this one with a delay: this one
// does not wait for it.
func (s *Server) LateStandby(t testing.TB) *Server {
	t.Helper()
	clone := *s.engine
	clone.init = func(data string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program("pg_basebackup"), "-D", data, "-R", "-X", "stream", "-c", "fast",
			"-d", fmt.Sprintf("host=%s port=%d user=silod application_name=standby", s.dir, s.port))
	}
	other := start(t, &clone)
	t.Cleanup(other.close)
	s.await(t, "async")
	return other
}

// await waits for a standby with a state.
func (s *Server) await(t testing.TB, state string) {
	t.Helper()
	text := fmt.Sprintf("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '%s'", state)
	for deadline := time.Now().Add(time.Minute); s.value(t, text) != 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the standby does not follow")
		}
	}
}

// Forget freezes a standby and sends it nothing any more.
func (s *Server) Forget(t testing.TB, standby *Server) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.value(t, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the standby does not catch up")
		}
		time.Sleep(20 * time.Millisecond)
	}
	standby.Freeze()
	s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
}

// Promote makes a standby the primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.exec(t, "SELECT pg_promote()")
}

// With returns the URL of a database on this server, or on another when this one is down.
func (s *Server) With(other *Server, url string) string {
	return strings.Replace(url, fmt.Sprintf(":%d/", s.port), fmt.Sprintf(":%d,127.0.0.1:%d/", s.port, other.port), 1)
}

// exec runs a statement on the server.
func (s *Server) exec(t testing.TB, text string) {
	t.Helper()
	pool := s.open(t)
	defer pool.Close()
	if _, err := pool.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// value reads one number.
func (s *Server) value(t testing.TB, text string) (n int) {
	t.Helper()
	pool := s.open(t)
	defer pool.Close()
	if err := pool.QueryRowContext(context.Background(), text).Scan(&n); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

// open returns a pool of connections to the server.
func (s *Server) open(t testing.TB) *sql.DB {
	t.Helper()
	pool, err := sql.Open(s.engine.driver, s.engine.dsn(s.dir, s.port))
	if err != nil {
		t.Fatal(err)
	}
	return pool
}
