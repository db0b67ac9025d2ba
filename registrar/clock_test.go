package registrar

import (
	"context"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// A loaded store has one binding with an end, and the row of one that has expired.
type loadedStore struct{ Store }

func (loadedStore) Load(_ context.Context, now time.Time, f func(sip.AoR, Binding), stale func(string), _ func(error)) error {
	f(sip.AoR{User: "bob", Domain: "example.org"}, Binding{Contact: "sip:bob@192.0.2.1", Expires: now.Round(0).Add(time.Minute), RUID: RUIDPrefix + "1"})
	stale(RUIDPrefix + "2")
	return nil
}

// The end of a loaded binding does not follow the clock when that is set: it has a monotonic
// reading. While the clock may be wrong, rows of bindings that have expired by it are kept.
func TestLoadWhileTheClockMayBeWrong(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		l := New(Options{Store: loadedStore{}, KeepRows: func() bool { return wrong }}, Settings{})
		if n, err := l.Load(t.Context(), nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for _, b := range l.Bindings(sip.AoR{User: "bob", Domain: "example.org"}) {
			if !strings.Contains(b.Expires.String(), " m=") || time.Until(b.Expires) > time.Minute {
				t.Errorf("it ends at %v", b.Expires)
			}
		}
		if got := len(l.stale.ruids) == 0; got != wrong {
			t.Errorf("the row is kept: %v, want %v", got, wrong)
		}
	}
}
