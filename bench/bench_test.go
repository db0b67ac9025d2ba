package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/bench/load"
	"silod/config"
)

func TestFlags(t *testing.T) {
	o, err := parseFlags([]string{"-mode", "relay,raw", "-systems", "silod,kamailio", "-seconds", "0.5", "-rounds", "1"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.modes, []string{"relay", "raw"}) || !slices.Equal(o.systems, []string{"silod", "kamailio"}) ||
		o.seconds != 500*time.Millisecond || o.rounds != 1 {
		t.Errorf("flags read as %+v", o)
	}
	if o, err = parseFlags(nil); err != nil || !slices.Equal(o.modes, modeNames()) || o.systems != nil {
		t.Errorf("without flags: %+v, %v", o, err)
	}
	for _, tt := range []struct{ args, want string }{
		{"-mode fast", `unknown mode "fast"; modes: raw, register, relay, store, deliver, return, room, rooms`},
		{"-systems opensips", `unknown system "opensips"; systems: silod, silod-sqlite, kamailio, kamailio-fm, floor`},
		{"-transport sctp", "want udp or tcp"},
		{"-pin all", "want auto, split or none"},
		{"-rounds 0", "must be positive"},
		{"-pprof -silod x", "omit -silod"},
		{"relay", `unexpected argument "relay"`},
	} {
		_, err := parseFlags(strings.Fields(tt.args))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestCommandInTheDocument(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "go run ./bench"},
		{"-write docs/x.md", "go run ./bench"},
		{"-rounds 5 -out=/tmp/x -data /disk --silod ./silod -pin split", "go run ./bench -rounds 5 -pin split"},
	} {
		if got := command(strings.Fields(tt.args)); got != tt.want {
			t.Errorf("%q is documented as %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		of   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.of, got, tt.want)
		}
	}
}

// A table contains the medians of the rounds, the sums of faults, and ratios.
func TestTable(t *testing.T) {
	r := &report{Machine: &machine{}}
	for i := range 3 {
		f := float64(i)
		r.Samples = append(r.Samples,
			&Sample{Mode: "relay", System: "silod", Rate: 1000 + f, DaemonCPU: 10, P50: 1, P99: 2, Memory: 50e6, Cores: 0.5},
			&Sample{Mode: "relay", System: "kamailio", Rate: 500 + f, DaemonCPU: 38, DatabaseCPU: 2, P50: 2, P99: 20, Disordered: 7, Others: 0.3},
			&Sample{Mode: "raw", System: "silod", Rate: 1})
	}
	var b strings.Builder
	r.print(&b, "relay")
	want := `
relay: messages, medians of 3
  system            rate/s  CPU us  daemon  database  p50 ms  p99 ms  memory MB  cores  missing  repeated  disorder
  silod               1001    10.0    10.0       0.0    1.00    2.00         50   0.50        0         0         0
  kamailio             501    40.0    38.0       2.0    2.00      20          0   0.00        0         0        21
  silod / kamailio    2.00    0.25    0.26      0.00    0.50    0.10          -
  kamailio: 0.30 processors were busy with other programs: CPU time is more reliable than rates
`
	if b.String() != want {
		t.Errorf("table\n%s\nwant\n%s", b.String(), want)
	}
	path := filepath.Join(t.TempDir(), "benchmark.md")
	if err := r.document(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### relay: messages", "| silod / kamailio | 2.00 | 0.25 |", "| kamailio | 501 | 40.0 |", "modparam(\"msilo\"",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q:\n%s", want, text)
		}
	}
}

// A user may have one open request at most, so each belongs to one slot.
func TestEachSlotHasItsPeople(t *testing.T) {
	s := &stage{}
	people := s.people(5)
	src := eachOf(people, 2, func(i int, p *person, m *load.Message) load.Turn {
		if p.sent == 2 {
			return load.Done
		}
		return s.message(i, p, m)
	})
	var got []string
	var m load.Message
	for slot := range 2 {
		for src(slot, &m) == load.Send {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(m.URI, "sip:"), "@"+domain))
			m.Body = m.Body[:0]
		}
	}
	if want := strings.Fields("u0 u2 u4 u0 u2 u4 u1 u3 u1 u3"); !slices.Equal(got, want) {
		t.Errorf("people in this order: %v, want %v", got, want)
	}
	if turn := eachOf(people, 6, s.message)(5, &m); turn != load.Done {
		t.Errorf("a slot without people is told %v, want Done", turn)
	}
	for _, tt := range []struct {
		user string
		want int
		ok   bool
	}{{"u0", 0, true}, {"u123", 123, true}, {"alice", 0, false}, {"u", 0, false}, {"u-1", 0, false}, {"", 0, false}} {
		if n, ok := number([]byte(tt.user)); ok != tt.ok || ok && n != tt.want {
			t.Errorf("number of %q is %d, %v", tt.user, n, ok)
		}
	}
}

func TestDisorderInARoom(t *testing.T) {
	talk := &talk{seen: [][]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {1, 3}, {3, 2, 1, 0}}}
	talk.said.Store(4)
	if n := talk.disordered(); n != 4 {
		t.Errorf("%d deliveries out of order, want 4", n)
	}
}

func TestConfigurations(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "silod.toml")
	values := settings{Addr: "127.0.0.1:5080", Domain: domain, DB: "sqlite:" + dir + "/silod.db", Proxy: "sip:127.0.0.1:5080"}
	if err := configure(file, silodConfig, values); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(file, config.Dirs{State: dir, Runtime: dir}); err != nil {
		t.Error(err)
	}
	if err := findKamailio(t.Context(), nil); err != nil {
		if os.Getenv("SILOD_TEST_SERVERS") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	file = filepath.Join(dir, "kamailio.cfg")
	values.DB = "postgres://silod:silod@127.0.0.1:5432/bench"
	if err := configure(file, kamailioConfig, values); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kamailio", "-c", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// All modes run for a short time with a real silod: every message arrives once and in
// order. Rates are not checked.
func TestModesWithSilod(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs silod")
	}
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			o, err := parseFlags([]string{
				"-systems", "silod-sqlite", "-rounds", "1", "-seconds", "0.3", "-warmup", "0.1", "-users", "20", "-rows", "500",
				"-pin", "none", "-out", t.TempDir(), "-data", t.TempDir(), "-transport", transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := newRig(t.Context(), o) // builds silod, which takes minutes on a machine that has built nothing yet
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.close(); err != nil {
					t.Error(err)
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			rep := &report{Machine: r.machine}
			for _, m := range modes {
				if m.name == "return" && transport != "udp" {
					continue // over a connection, a device returns when it is closed
				}
				if err := r.measure(ctx, rep, m); err != nil {
					t.Fatal(err)
				}
				rep.print(io.Discard, m.name)
				s := rep.Samples[len(rep.Samples)-1]
				if s.Done == 0 || s.Missing != 0 || s.Repeated != 0 || s.Disordered != 0 {
					t.Errorf("%s: %+v", m.name, s)
				}
			}
			if err := rep.save(o.out); err != nil {
				t.Error(err)
			}
		})
	}
}
