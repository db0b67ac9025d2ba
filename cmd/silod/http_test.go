package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

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
