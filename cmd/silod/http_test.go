package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"silod/config"
)

// get returns the status and the body of a page.
func (s *served) get(path string) (int, string) {
	s.t.Helper()
	res, err := http.Get("http://" + s.http.ln.Addr().String() + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestMonitoring(t *testing.T) {
	t.Parallel()
	s := serve(t, "http.listen = '127.0.0.1:0'")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(bob, "stored")
	b.register(300)
	b.next()
	s.eventually("the delivery", func() bool { return s.silo.Stats.Dumped.Value() == 1 })
	code, page := s.get("/metrics")
	for _, line := range []string{
		"silod_msilo_stored_messages_total 1", "silod_msilo_dumped_messages_total 1", "silod_usrloc_registered_users 1",
		"silod_accept_seconds_count 1", "silod_commit_seconds_count 1", "silod_delivery_seconds_count 1",
		"process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(page, "\n"+line) {
			t.Errorf("no %q among the metrics", line)
		}
	}
	if code != 200 {
		t.Errorf("metrics: %d", code)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/debug/pprof/": 404} {
		if code, _ := s.get(path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if err := s.database.Close(); err != nil {
		t.Fatal(err)
	}
	if code, text := s.get("/readyz"); code != 503 || !strings.Contains(text, "database") {
		t.Errorf("without a database: %d %s", code, text)
	}
}

// TestProfiles checks that profiles are shown if http.pprof is set, and that this requires
// a loopback address.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := serve(t, "http = {listen = '127.0.0.1:0', pprof = true}")
	for _, path := range []string{"", "goroutine?debug=1", "heap", "cmdline", "symbol", "profile?seconds=1", "trace?seconds=0.1"} {
		if code, text := s.get("/debug/pprof/" + path); code != 200 || text == "" {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	for _, listen := range []string{"", "0.0.0.0:9090", ":9090", "[::]:9090", "192.0.2.1:9090", "monitor.example.org:9090"} {
		_, err := config.Parse("test.toml", []byte("http = {listen = '"+listen+"', pprof = true}"), config.Dirs{})
		if err == nil || !strings.Contains(err.Error(), "http.pprof: profiles must not be public") {
			t.Errorf("%q: %v", listen, err)
		}
	}
	for _, listen := range []string{"127.0.0.1:9090", "localhost:9090", "[::1]:9090"} {
		if _, err := config.Parse("test.toml", []byte("http = {listen = '"+listen+"', pprof = true}"), config.Dirs{}); err != nil {
			t.Errorf("%q: %v", listen, err)
		}
	}
}
