package registrar

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

var alice = sip.AoR{User: "alice", Domain: "example.org"}

// memoryStore is a Store in memory. If fail is set, saves fail with it. With doubt they are made,
// and fail all the same.
type memoryStore struct {
	rows  map[string]Binding // nil: saves are only counted
	saves int
	fail  error
	doubt bool
}

func (k *memoryStore) Load(_ context.Context, now time.Time, f func(sip.AoR, Binding), stale func(string), _ func(error)) error {
	for _, b := range k.rows {
		if b.Expires.After(now) {
			f(alice, b)
		} else {
			stale(b.RUID)
		}
	}
	return nil
}

func (k *memoryStore) Save(_ context.Context, cs []Change) error {
	if k.fail != nil {
		return k.fail
	}
	k.saves++
	for _, c := range cs {
		switch {
		case k.rows == nil:
		case c.Removed:
			delete(k.rows, c.Binding.RUID)
		default:
			k.rows[c.Binding.RUID] = c.Binding
		}
	}
	if k.doubt {
		return ErrUnknown
	}
	return nil
}

// newTable returns an empty table, its store, and its clock.
func newTable(set Settings) (*Location, *memoryStore, *time.Time) {
	now := time.Unix(1_800_000_000, 0)
	k := &memoryStore{rows: map[string]Binding{}}
	return New(Options{Store: k, Now: func() time.Time { return now }}, set), k, &now
}

// register sends a REGISTER with these Contact headers, and with an Expires header unless
// expires is negative.
func register(t *testing.T, l *Location, callID string, cseq uint32, expires int, contacts ...string) ([]Binding, error) {
	t.Helper()
	r := &Register{
		AoR: alice, CallID: callID, CSeq: cseq, Expires: expires,
		Flow: func(u sip.URI) (sip.Flow, *Error) { return flowOf(u.HostPort()), nil },
	}
	for _, c := range contacts {
		list, err := sip.ParseList(c)
		if err != nil {
			t.Fatal(err)
		}
		r.Contacts = append(r.Contacts, list...)
	}
	res, err := carryOut(t, l, r)
	return res.Bindings, err
}

// carryOut carries a REGISTER out like the router.
func carryOut(t *testing.T, l *Location, r *Register) (Registered, error) {
	t.Helper()
	saves := l.opt.Store.(*memoryStore).saves
	res, ok, err := l.Refresh(r)
	if l.opt.Store.(*memoryStore).saves != saves {
		t.Error("Refresh has used the store")
	}
	if !ok {
		return l.Update(t.Context(), r)
	}
	return res, err
}

func contacts(bs []Binding, now time.Time) string {
	var out []string
	for _, b := range bs {
		out = append(out, fmt.Sprintf("%s %d", b.Contact, int(b.Expires.Sub(now).Seconds())))
	}
	return strings.Join(out, ", ")
}

// RFC 3261 section 10.3: each line is one REGISTER.
func TestRegister(t *testing.T) {
	l, k, now := newTable(Settings{Min: 60 * time.Second, Max: 2 * time.Hour, MaxContacts: 3})
	for i, tc := range []struct {
		callID   string
		cseq     uint32
		expires  int
		contacts []string
		want     string // bindings, or the error
	}{
		{"a", 1, -1, []string{"<sip:1@h>"}, "sip:1@h 3600"},
		{"a", 2, 120, []string{"<sip:1@h>"}, "sip:1@h 120"},
		{"a", 3, 120, []string{"<sip:1@h>;expires=300"}, "sip:1@h 300"},
		{"a", 4, -1, nil, "sip:1@h 300"}, // a query
		{"b", 1, -1, []string{"<sip:2@h>;q=0.5, <sip:3@h>;expires=x"}, "sip:1@h 300, sip:2@h 3600, sip:3@h 3600"},
		{"c", 1, -1, []string{"<sip:4@h>"}, "403 Too many contacts, 3 are allowed"},
		{"b", 1, 60, []string{"<sip:2@h>"}, "500 REGISTER is out of order, a later one was already carried out"},
		// If one contact is out of order, the other is not changed either.
		{"b", 1, 60, []string{"<sip:1@h>, <sip:2@h>"}, "500 REGISTER is out of order, a later one was already carried out"},
		{"c", 2, 30, []string{"<sip:1@h>"}, "sip:1@h 60, sip:2@h 3600, sip:3@h 3600"}, // raised to the minimum
		{"c", 3, 7201, []string{"<sip:1@h>"}, "sip:1@h 7200, sip:2@h 3600, sip:3@h 3600"},
		{"b", 2, 0, []string{"<sip:2@h>"}, "sip:1@h 7200, sip:3@h 3600"},
		{"d", 1, 0, []string{"<sip:unknown@h>"}, "sip:1@h 7200, sip:3@h 3600"},
		{"d", 2, 60, []string{"*"}, "400 Contact * needs Expires: 0 and no other contact"},
		{"d", 2, 0, []string{"*", "<sip:1@h>"}, "400 Contact * needs Expires: 0 and no other contact"},
		{"c", 3, 0, []string{"*"}, "500 REGISTER is out of order, a later one was already carried out"},
		{"d", 3, 0, []string{"*"}, ""},
		// RFC 3261 section 19.1.4: the same URI, written differently.
		{"e", 1, 60, []string{"<sip:%61@H;transport=UDP>"}, "sip:%61@h;transport=UDP 60"},
		{"e", 2, 90, []string{"<sip:a@h;Transport=udp>"}, "sip:a@h;Transport=udp 90"},
	} {
		bs, err := register(t, l, tc.callID, tc.cseq, tc.expires, tc.contacts...)
		got := contacts(bs, *now)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("REGISTER %d: got %q, want %q", i, got, tc.want)
		}
		if err == nil && len(k.rows) != len(bs) {
			t.Errorf("REGISTER %d: %d bindings, %d rows in the store", i, len(bs), len(k.rows))
		}
	}
}

// RFC 5626 section 6: a device with a new address replaces its binding.
func TestInstanceReplaces(t *testing.T) {
	l, _, now := newTable(Settings{})
	const instance = `;+sip.instance="<urn:uuid:1>"`
	_, _ = register(t, l, "a", 1, 60, "<sip:x@old.invalid>;reg-id=1"+instance)
	_, _ = register(t, l, "b", 1, 60, "<sip:y@new.invalid>;reg-id=1"+instance)
	bs, err := register(t, l, "c", 1, 60, "<sip:z@second.invalid>;reg-id=2"+instance)
	if got := contacts(bs, *now); err != nil || got != "sip:y@new.invalid 60, sip:z@second.invalid 60" {
		t.Errorf("got %s, %v", got, err)
	}
	if v := bs[0].ContactValue(*now); v != `<sip:y@new.invalid>;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1` {
		t.Errorf("listed as %s", v)
	}
}

func TestStoreFailureChangesNothing(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 60, "<sip:1@h>")
	k.fail = errors.New("disk full")
	_, err := register(t, l, "a", 2, 600, "<sip:1@h>, <sip:2@h>")
	var refusal *Error
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("got %v", err)
	}
	if got := contacts(l.Bindings(alice), *now); got != "sip:1@h 60" {
		t.Errorf("now %s", got)
	}
	k.fail = nil
	// The same request again is not out of order: it was not carried out.
	if _, err := register(t, l, "a", 2, 600, "<sip:1@h>, <sip:2@h>"); err != nil {
		t.Error(err)
	}
}

func TestExpiryAndClosedFlows(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 60, "<sip:1@h1>")
	_, _ = register(t, l, "b", 1, 600, "<sip:2@h2>")
	_, _ = register(t, l, "c", 1, 600, "<sip:3@h3>")
	*now = now.Add(time.Minute)
	if got := contacts(l.Bindings(alice), *now); got != "sip:2@h2 540, sip:3@h3 540" {
		t.Errorf("after a minute: %s", got)
	}
	l.FlowClosed(t.Context(), flowOf("h2"))
	if got := contacts(l.Bindings(alice), *now); got != "sip:3@h3 540" {
		t.Errorf("after the flow closed: %s", got)
	}
	*now = now.Add(time.Hour)
	l.sweep(t.Context())
	if aors, _ := l.Counts(); aors != 0 || l.Online(alice) || len(k.rows) != 0 {
		t.Errorf("%d AoRs and %d rows are left", aors, len(k.rows))
	}
}

func TestLoad(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h1>", "<sip:2@h2>")
	again := New(Options{Store: k, Now: func() time.Time { return *now }}, Settings{})
	n, err := again.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, f == flowOf("h2") })
	if got := contacts(again.Bindings(alice), *now); err != nil || n != 1 || got != "sip:2@h2 600" {
		t.Errorf("loaded %d: %s, %v", n, got, err)
	}
}

// Refreshed is set if a REGISTER changes nothing but the time at which bindings expire.
func TestRefreshed(t *testing.T) {
	l, _, now := newTable(Settings{})
	start, seq := *now, uint32(0)
	for _, tc := range []struct {
		contacts  string
		refreshed time.Duration // since the start; -1: zero
	}{
		{"<sip:1@h1>, <sip:2@h2>", -1},
		{"<sip:1@h1>", 0},
		{"<sip:1@h1>, <sip:2@h2>", 0},
		{"<sip:1@h1>", 2 * time.Minute},
		{"<sip:1@h1>;q=0.5", -1},
		{"<sip:1@h1>;q=0.5, <sip:3@h3>", -1},
		{"<sip:2@h2>;expires=0", -1},
	} {
		list, err := sip.ParseList(tc.contacts)
		if err != nil {
			t.Fatal(err)
		}
		seq++
		res, err := carryOut(t, l, &Register{
			AoR: alice, CallID: "a", CSeq: seq, Expires: 3600, Contacts: list,
			Flow: func(sip.URI) (sip.Flow, *Error) { return flow("udp:192.0.2.1:5060>203.0.113.1:40000"), nil },
		})
		want := time.Time{}
		if tc.refreshed >= 0 {
			want = start.Add(tc.refreshed)
		}
		if err != nil || !res.Refreshed.Equal(want) {
			t.Errorf("%s: refreshed %v, want %v, %v", tc.contacts, res.Refreshed, want, err)
		}
		*now = now.Add(time.Minute)
	}
}

// A refresh needs no commit of its own; all other changes are written at once.
func TestRefreshesAreWrittenTogether(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h1>")
	first := k.saves
	for i := range 10 {
		*now = now.Add(time.Minute)
		if _, err := register(t, l, "a", uint32(i+2), 600, "<sip:1@h1>"); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			l.flush(t.Context())
		}
	}
	if k.saves != first+1 {
		t.Errorf("%d commits for ten refreshes", k.saves-first)
	}
	l.flush(t.Context())
	for _, b := range k.rows {
		if got := b.Expires.Sub(*now); got != 10*time.Minute {
			t.Errorf("the row ends in %v", got)
		}
	}
	if _, err := register(t, l, "a", 20, 600, "<sip:1@h1>;q=0.3"); err != nil || k.saves != first+3 {
		t.Errorf("a change was not written at once: %d, %v", k.saves-first, err)
	}
	// A refresh just before the end in the store is written at once too.
	*now = now.Add(600*time.Second - writeAhead)
	if _, err := register(t, l, "a", 21, 600, "<sip:1@h1>;q=0.3"); err != nil || k.saves != first+4 {
		t.Errorf("a late refresh was not written at once: %d, %v", k.saves-first, err)
	}
}

func TestAllows(t *testing.T) {
	for methods, want := range map[string]bool{"": true, "INVITE, MESSAGE": true, "INVITE,ACK": false} {
		b := Binding{Methods: methods}
		if b.Allows("MESSAGE") != want {
			t.Errorf("%q: want %v", methods, want)
		}
	}
}

// flow reads a flow.
func flow(text string) sip.Flow {
	f, err := sip.ParseFlow(text)
	if err != nil {
		panic(err)
	}
	return f
}

// flowOf returns the flow of a host's connection, one for each name.
func flowOf(host string) sip.Flow {
	return sip.Flow{
		Transport: sip.TCP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.7:40000"),
		Conn: 1 + uint64(crc32.ChecksumIEEE([]byte(host))),
	}
}
