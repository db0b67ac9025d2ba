package db

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

func loadBindings(t testing.TB, st registrar.Store, now time.Time) map[string]registrar.Change {
	t.Helper()
	out := map[string]registrar.Change{}
	err := st.Load(t.Context(), now, func(a sip.AoR, b registrar.Binding) {
		out[b.RUID] = registrar.Change{AoR: a, Binding: b}
	}, func(string) {}, func(err error) { t.Errorf("skipped: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func save(t testing.TB, st registrar.Store, cs ...registrar.Change) {
	t.Helper()
	if err := st.Save(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
}

func simpleBinding(ruid string) registrar.Change {
	return registrar.Change{AoR: bob, Binding: registrar.Binding{
		Contact: "sip:bob@192.0.2.1:5062", Q: 1, Expires: noon.Add(time.Hour).Local(), CallID: "reg@x", CSeq: 2, RUID: ruid,
		Modified: noon.Local(),
	}}
}

func TestBindingsRoundTrip(t *testing.T) {
	t.Parallel()
	full := simpleBinding("silod-1-full")
	full.Binding.Params = `;+sip.ice;x="ü\" ,"`
	full.Binding.Q = 0.333
	full.Binding.CSeq = 1<<32 - 1
	full.Binding.Instance = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
	full.Binding.RegID = 3
	full.Binding.Path = []string{"<sip:edge1@192.0.2.9;lr>", `"P, Q" <sip:edge2.example.org;lr;ob>;a=b`}
	full.Binding.Flow = flow("tcp:127.0.0.1:5060>192.0.2.1:40000#7")
	full.Binding.UserAgent = "Phone/1.0 (ünï) \xff '"
	full.Binding.Methods = "MESSAGE, OPTIONS, X-OWN"
	long := simpleBinding("silod-1-long")
	long.Binding.Contact = "sip:bob@192.0.2.1;gr=" + strings.Repeat("g", 400)
	long.Binding.Path = []string{"<sip:" + strings.Repeat("p", 600) + ".example.org;lr>"}
	long.Binding.UserAgent = strings.Repeat("u", 300)
	long.Binding.Instance = strings.Repeat("i", 300)
	long.Binding.CallID = strings.Repeat("c", 300)
	long.Binding.Methods = "INVITE, CANCEL, ACK, BYE, MESSAGE"
	long.Binding.Q = 0
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Bindings()
		want := map[string]registrar.Change{}
		udp := simpleBinding("silod-1-udp")
		udp.Binding.Flow = flow("udp:[::1]:5060>[2001:db8::1]:40000")
		for _, c := range []registrar.Change{simpleBinding("silod-1-simple"), full, long, udp} {
			save(t, st, c)
			want[c.Binding.RUID] = c
		}
		check := func() {
			t.Helper()
			got := loadBindings(t, st, noon)
			for ruid, w := range want {
				if !reflect.DeepEqual(got[ruid], w) {
					t.Errorf("%s:\n got %+q\nwant %+q", ruid, fmt.Sprint(got[ruid]), fmt.Sprint(w))
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d bindings, want %d", len(got), len(want))
			}
		}
		check()
		// A refresh updates in place and removes lines that no longer apply.
		again := simpleBinding("silod-1-full")
		again.Binding.CSeq = 3
		want["silod-1-full"] = again
		save(t, st, again)
		check()
		if got := rawValue(t, db, "SELECT received FROM location WHERE ruid = 'silod-1-udp'"); asText(got) != "sip:[2001:db8::1]:40000" {
			t.Errorf("received = %q", got)
		}
		gone := long
		gone.Removed = true
		delete(want, "silod-1-long")
		save(t, st, gone)
		check()
		if n := fmt.Sprint(rawValue(t, db, "SELECT COUNT(*) FROM silod_binding")); n != "0" {
			t.Errorf("%s rows are left in silod_binding", n)
		}
		if got := loadBindings(t, st, noon.Add(time.Hour)); len(got) != 0 {
			t.Errorf("expired bindings are loaded: %v", got)
		}
	})
}

// TestBindingsOneSave: the last change of a RUID counts, in one call and in concurrent
// calls. A call is written completely or not at all.
func TestBindingsOneSave(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Bindings()
		a, b := simpleBinding("r1"), simpleBinding("r1")
		b.Binding.Contact = "sip:bob@192.0.2.2"
		a.Removed = true
		save(t, st, b, a, b)
		if got := loadBindings(t, st, noon)["r1"]; got.Binding.Contact != b.Binding.Contact {
			t.Errorf("got %v", got)
		}
		bad := simpleBinding("r3")
		bad.AoR.User = "\xff"
		if err := st.Save(t.Context(), []registrar.Change{simpleBinding("r2"), bad}); !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("an address that is not UTF-8: %v", err)
		}
		if got := loadBindings(t, st, noon); len(got) != 1 {
			t.Errorf("half a call is stored: %v", got)
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				c := simpleBinding(fmt.Sprint("r-", i%10))
				c.Binding.CSeq = uint32(i)
				save(t, st, c)
			})
		}
		wg.Wait()
		if got := loadBindings(t, st, noon); len(got) != 11 {
			t.Errorf("%d bindings, want 11", len(got))
		}
	})
}

// flow reads a flow.
func flow(text string) sip.Flow {
	f, err := sip.ParseFlow(text)
	if err != nil {
		panic(err)
	}
	return f
}
