package db

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

// Load tells which rows of silod belong to no binding: those that have expired, and those of
// silod_binding whose row of location is gone. It never names a row of another program.
func TestStaleBindings(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Bindings()
		for _, ruid := range []string{"silod-live", "silod-expired", "silod-orphan", "uloc-expired", "uloc-live"} {
			b := simpleBinding(ruid)
			b.Binding.Params = ";x=y" // needs a row of silod_binding
			b.Binding.ViaNAT = true
			if strings.HasSuffix(ruid, "expired") {
				b.Binding.Expires = noon.Local()
			}
			save(t, st, b)
		}
		rawExec(t, db, "DELETE FROM location WHERE ruid = 'silod-orphan'")
		var stale, live []string
		err := st.Load(t.Context(), noon, func(_ sip.AoR, b registrar.Binding) {
			live = append(live, b.RUID)
			if !b.ViaNAT {
				t.Errorf("%s is not behind a NAT", b.RUID)
			}
		}, func(ruid string) { stale = append(stale, ruid) }, func(err error) { t.Errorf("skipped: %v", err) })
		slices.Sort(live)
		slices.Sort(stale)
		if err != nil || strings.Join(live, " ") != "silod-live uloc-live" || strings.Join(stale, " ") != "silod-expired silod-orphan" {
			t.Errorf("live %v, stale %v, %v", live, stale, err)
		}
		for _, ruid := range stale {
			save(t, st, registrar.Change{Binding: registrar.Binding{RUID: ruid}, Removed: true})
		}
		err = st.Load(t.Context(), noon, func(sip.AoR, registrar.Binding) {}, func(ruid string) { t.Errorf("%s is still stale", ruid) }, func(error) {})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestFlowColumns reads the columns received and socket as Kamailio writes them.
func TestFlowColumns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ received, socket, want string }{
		{"sip:203.0.113.1:40000", "udp:192.0.2.1:5060", "udp:192.0.2.1:5060>203.0.113.1:40000"},
		{"sip:203.0.113.1:40000", "", "udp:0.0.0.0:0>203.0.113.1:40000"},
		{"sip:203.0.113.1:40000", "udp:sip.example.org:5060", "udp:0.0.0.0:0>203.0.113.1:40000"},
		{"sip:[2001:db8::1]:40000", "", "udp:[::]:0>[2001:db8::1]:40000"},
		{"sip:203.0.113.1", "udp:192.0.2.1:5060", "udp:192.0.2.1:5060>203.0.113.1:5060"},
		{"sip:203.0.113.1:40000;transport=tcp", "tcp:192.0.2.1:5060", "tcp:192.0.2.1:5060>203.0.113.1:40000#0"},
		{"sips:203.0.113.1:40000", "tls:192.0.2.1:5061", "tls:192.0.2.1:5061>203.0.113.1:40000#0"},
		{"", "udp:192.0.2.1:5060", ""},
		{"sip:phone.example.org", "udp:192.0.2.1:5060", ""},
		{"sip:203.0.113.1;transport=sctp", "", ""},
		{"no URI", "", ""},
	} {
		if got := flowOf(tc.received, tc.socket).String(); got != tc.want {
			t.Errorf("received %q, socket %q: %q, want %q", tc.received, tc.socket, got, tc.want)
		}
	}
}

// TestLoadFromAnotherCharacterSet: the table location of many Kamailio databases is in latin1,
// silod's own tables and connections are in utf8mb4, and MySQL uses no index to compare two such
// columns. Loading must not take the square of the number of rows.
func TestLoadFromAnotherCharacterSet(t *testing.T) {
	t.Parallel()
	e := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == "mariadb" })]
	db := open(t, e.prepared(t, append(fixture(t, "8", e.name), "DELETE FROM location")...), Options{})
	const count = 10_000
	changes := make([]registrar.Change, count)
	for i := range changes {
		changes[i] = simpleBinding(fmt.Sprint("silod-", i))
		changes[i].Binding.Params = ";x"
	}
	for some := range slices.Chunk(changes, 250) {
		save(t, db.Bindings(), some...)
	}
	load := func() (took time.Duration, stale int) {
		began, n := time.Now(), 0
		err := db.Bindings().Load(t.Context(), noon, func(sip.AoR, registrar.Binding) { n++ }, func(string) { stale++ }, func(err error) { t.Error(err) })
		if err != nil || n+stale != count {
			t.Fatalf("%d bindings and %d rows without, %v", n, stale, err)
		}
		return time.Since(began), stale
	}
	same, _ := load()
	rawExec(t, db, "ALTER TABLE location CONVERT TO CHARACTER SET latin1", "DELETE FROM location WHERE ruid = 'silod-7'")
	took, stale := load()
	if took > 3*same+500*time.Millisecond || stale != 1 {
		t.Errorf("loaded in %v, and before in %v; %d rows are left over", took, same, stale)
	}
}
