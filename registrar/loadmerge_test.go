package registrar

import (
	"testing"
	"time"

	"silod/sip"
)

// Rows whose owners are spellings of one user are its bindings, each contact once: the newest.
func TestLoadMergesSpellings(t *testing.T) {
	l, k, now := newTable(Settings{})
	for _, b := range []Binding{
		{RUID: "uloc-1", Contact: "sip:c@192.0.2.1;transport=UDP", Modified: now.Add(-time.Minute)}, // Kamailio's
		{RUID: "silod-2", Contact: "sip:c@192.0.2.1;Transport=udp", Modified: now.Add(-2 * time.Minute)},
		{RUID: "silod-3", Contact: "sip:C@192.0.2.1;transport=udp", Modified: *now}, // a contact has case
		{RUID: "silod-4", Contact: "sip:c@192.0.2.1;transport=udp", Modified: now.Add(-time.Second)},
	} {
		b.Expires = now.Add(time.Hour)
		k.rows[b.RUID] = b
	}
	n, err := l.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, true })
	if err != nil || n != 2 {
		t.Errorf("%d bindings, %v", n, err)
	}
	found := map[string]bool{}
	for _, b := range l.Bindings(alice) {
		found[b.RUID] = true
	}
	if len(found) != 2 || !found["silod-3"] || !found["silod-4"] {
		t.Errorf("bindings of %v", found)
	}
	l.deleteStale(t.Context())
	if _, left := k.rows["uloc-1"]; !left || len(k.rows) != 3 { // another program's row stays
		t.Errorf("%d rows are left", len(k.rows))
	}
}
