package db

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/auth"
	"silod/imc"
	"silod/silo"
	"silod/sip"
)

// stock adds rows of every kind to a database.
func stock(t *testing.T, db *DB) {
	t.Helper()
	var ms []*silo.Message
	for i := range 450 {
		m := text(fmt.Sprint(i))
		switch i % 50 {
		case 0:
			m.Headers = append(m.Headers, sip.Header{Name: "X-Long", Value: strings.Repeat("x", 1500)})
		case 1:
			m.SendAt = noon.Add(time.Hour)
		case 2:
			m.From, m.Body = "\"\xff\" <sip:alice@example.org>;tag=2", []byte{0, 1, 255}
		case 3:
			m.Stuck = "488 Not here"
		case 4:
			m.Marks = []silo.Copy{{Device: "<urn:uuid:1>"}, {Device: "<urn:uuid:2>"}}
		}
		ms = append(ms, m)
	}
	for some := range slices.Chunk(ms, 150) { // db_text writes the table at every commit
		if err := db.Messages().AddAll(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	deleted := make(chan error, len(ms))
	for i := 0; i < len(ms); i += 7 {
		db.Messages().Delete(ms[i].ID, func(err error) { deleted <- err })
	}
	for i := 0; i < len(ms); i += 7 {
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{"r1", "r2"} {
		b := simpleBinding(c)
		b.Binding.Params, b.Binding.Flow = ";+sip.ice", flow("tcp:192.0.2.1:5060>203.0.113.1:40000#7")
		save(t, db.Bindings(), b)
	}
	if err := db.Users().AddUser(t.Context(), bob, auth.NewSecret(bob, "example.org", "pw")); err != nil {
		t.Fatal(err)
	}
	var last int64
	for i := range 5 {
		last = appendTo(t, db.Rooms(), room1, fmt.Sprint("said ", i)).Seq
	}
	apply(t, db.Rooms(), imc.Change{Room: imc.Room{AoR: room1, Private: true, Topic: "t", Created: noon.Local(), Title: "T"}, Put: []imc.Member{
		{User: bob, Role: imc.Owner, Cursor: last, Seen: noon.Local(), Since: 1, Nick: "B"}, {User: alice, Role: imc.Banned, Reason: "r"}, {User: aor("carol@example.org"), Muted: true},
	}})
}

// contents returns everything that can be read from a database.
func contents(t *testing.T, db *DB) []any {
	t.Helper()
	var out []any
	for _, q := range []silo.Query{{}, {Reminders: true}} {
		for m, err := range db.Messages().List(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, m)
		}
	}
	es, err := db.Rooms().Log(t.Context(), room1, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.reader.query(t.Context(), "SELECT silo_id, device, inc_time, refused, at FROM silod_device ORDER BY silo_id, device")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scanRow(rows, deviceTable.fields)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	secret := lookup(t, db.Users(), bob)
	return append(out, es, secret.HA1, secret.HA1B, loadRooms(t, db.Rooms()), loadBindings(t, db.Bindings(), noon))
}

// TestCopy copies from every engine to the next one, and then writes to the copy.
func TestCopy(t *testing.T) {
	t.Parallel()
	all := append([]engine{textEngine}, engines...)
	for i, e := range all {
		next := all[(i+1)%len(all)]
		t.Run(e.name+" to "+next.name, func(t *testing.T) {
			t.Parallel()
			from, to := open(t, e.fresh(t), Options{}), open(t, next.fresh(t), Options{})
			stock(t, from)
			var last Progress
			report := func(p Progress) { last = p }
			if err := Copy(t.Context(), from, to, CopyOptions{Report: report}); err != nil {
				t.Fatal(err)
			}
			if last != (Progress{"room messages", 5, 5}) {
				t.Errorf("last progress: %+v", last)
			}
			want, got := contents(t, from), contents(t, to)
			if len(want) < 300 || len(got) != len(want) {
				t.Fatalf("%d values of %d", len(got), len(want))
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Errorf("\n got %+v\nwant %+v", got[i], want[i])
				}
			}
			m, e := text("after"), appendTo(t, to.Rooms(), room1, "after")
			add(t, to.Messages(), m)
			if m.ID <= want[380].(silo.Message).ID || e.Seq <= 5 {
				t.Errorf("new numbers: %d, %d", m.ID, e.Seq)
			}
			if err := Copy(t.Context(), from, to, CopyOptions{}); err == nil || !strings.Contains(err.Error(), "must be empty, and its table") {
				t.Errorf("copied over something else: %v", err)
			}
		})
	}
}

// TestCopyInterrupted: an incomplete copy is not served, and the same copy again
// completes it.
func TestCopyInterrupted(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			from := open(t, "sqlite:"+t.TempDir()+"/from.db", Options{})
			stock(t, from)
			url := e.fresh(t)
			for _, cut := range []struct {
				what string
				done int
			}{{"messages", 200}, {"users", 0}, {"rooms", 2}, {"room messages", 5}} {
				to := open(t, url, Options{Unfinished: true})
				ctx, stop := context.WithCancel(t.Context())
				err := Copy(ctx, from, to, CopyOptions{Report: func(p Progress) {
					if p.What == cut.what && p.Done >= cut.done {
						stop()
					}
				}})
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("cut off at %+v: %v", cut, err)
				}
				closeDB(t, to)
				refused(t, url, Options{}, "an incomplete copy of sqlite:", "siloctl db copy")
			}
			to := open(t, url, Options{Unfinished: true})
			other := open(t, "sqlite:"+t.TempDir()+"/other.db", Options{})
			if err := Copy(t.Context(), other, to, CopyOptions{}); err == nil || !strings.Contains(err.Error(), "continue that copy") {
				t.Errorf("continued with another source: %v", err)
			}
			first := true
			err := Copy(t.Context(), from, to, CopyOptions{Report: func(p Progress) {
				if p.What == "messages" && p.Done > 0 && first {
					if first = false; p.Done != p.Total {
						t.Errorf("continued at %+v", p)
					}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if want, got := contents(t, from), contents(t, to); !reflect.DeepEqual(got, want) {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
			closeDB(t, to)
			closeDB(t, open(t, url, Options{}))
		})
	}
}

// TestCopyRefusals: a row that does not fit is passed over, with its reason.
func TestCopyRefusals(t *testing.T) {
	t.Parallel()
	from, to := open(t, "sqlite:"+t.TempDir()+"/from.db", Options{}), open(t, "text:"+t.TempDir(), Options{})
	add(t, from.Messages(), text("short"))
	add(t, from.Messages(), text(strings.Repeat("x", 20_000)))
	add(t, from.Messages(), text("last"))
	var passed []Passed
	if err := Copy(t.Context(), from, to, CopyOptions{Passed: func(p Passed) { passed = append(passed, p) }}); err != nil {
		t.Fatal(err)
	}
	if len(passed) != 1 || passed[0].Table != "silo" || passed[0].Row != "message 2 of sip:bob@example.org" ||
		!strings.Contains(passed[0].Reason, "16,384 bytes") || !passed[0].Lost {
		t.Errorf("passed over: %+v", passed)
	}
	if got := bodies(next(t, to.Messages(), 0, 10)); got != "short last" {
		t.Errorf("copied: %s", got)
	}
	if err := Copy(t.Context(), from, from, CopyOptions{}); err == nil || !strings.Contains(err.Error(), "cannot be copied to itself") {
		t.Errorf("copied to itself: %v", err)
	}
}
