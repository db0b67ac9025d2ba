package db

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"silod/auth"
	"silod/silo"
)

// fromStranger returns a message with a charge.
func fromStranger(body string, bytes int64) *silo.Message {
	m := text(body)
	m.Src = "sip:x@elsewhere.example"
	m.Charge = &silo.Charge{Source: netip.MustParsePrefix("2001:db8::/64"), Bytes: bytes}
	return m
}

// An observed records what an Observer is told.
type observed struct {
	mu     sync.Mutex
	stored []silo.Charge
	gone   []int64
}

func (o *observed) observe(stored []silo.Charge, gone []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stored, o.gone = append(o.stored, stored...), append(o.gone, gone...)
}

// take returns what was recorded since the last call.
func (o *observed) take() (stored []silo.Charge, gone []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	stored, gone = o.stored, o.gone
	o.stored, o.gone = nil, nil
	return stored, gone
}

func charges(t *testing.T, st silo.Store) []silo.Charge {
	t.Helper()
	list, err := st.Charges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b silo.Charge) int { return int(a.ID - b.ID) })
	return list
}

// TestStrangers follows the charges of messages that are stored and deleted in each way.
func TestStrangers(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		var o observed
		st.Observe(o.observe)
		ms := []*silo.Message{fromStranger("one", 1), fromStranger("two", 2), fromStranger("three", 3), fromStranger("four", 4), text("mine")}
		ms[3].Expires = noon.Add(time.Second)
		add(t, st, ms...)
		stored, gone := o.take()
		if len(stored) != 4 || len(gone) != 0 || stored[1] != (silo.Charge{ID: ms[1].ID, Source: ms[1].Charge.Source, Bytes: 2}) {
			t.Errorf("stored %v, gone %v", stored, gone)
		}
		if got := charges(t, st); !slices.Equal(got, stored) {
			t.Errorf("charges %v, want %v", got, stored)
		}
		remove(t, st, ms[0].ID)
		if _, err := st.Expire(t.Context(), noon.Add(time.Minute), 10); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Purge(t.Context(), silo.Query{Owner: bob, From: "sip:x@elsewhere.example", Limit: 1}, 1); err != nil {
			t.Fatal(err)
		}
		if _, gone := o.take(); !slices.Equal(gone, []int64{ms[0].ID, ms[3].ID, ms[1].ID}) {
			t.Errorf("gone %v", gone)
		}
		if got := charges(t, st); len(got) != 1 || got[0].ID != ms[2].ID {
			t.Errorf("charges %v", got)
		}

		// The message of a reminder has the charge of the reminder.
		later := fromStranger("later", 5)
		later.SendAt = noon.Add(time.Minute)
		add(t, st, later)
		o.take()
		now := text("later")
		if ok, err := releaseOne(t, st, later.ID, now); !ok || err != nil {
			t.Fatal(ok, err)
		}
		stored, gone = o.take()
		if len(stored) != 1 || stored[0].ID != now.ID || stored[0].Bytes != 5 || !slices.Equal(gone, []int64{later.ID}) {
			t.Errorf("released: stored %v, gone %v", stored, gone)
		}
		if got := charges(t, st); len(got) != 2 || got[1].ID != now.ID || got[1].Bytes != 5 {
			t.Errorf("charges %v", got)
		}

		// Nothing is left of a feigned message.
		before := charges(t, st)
		feigned := text("feigned")
		if err := st.Feign(t.Context(), feigned); err != nil || feigned.ID <= now.ID {
			t.Fatal(feigned.ID, err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "three mine later" || !slices.Equal(charges(t, st), before) {
			t.Errorf("stored %s", got)
		}
	})
}

// TestStrangersAfterDoubt has a write end although its outcome is unknown, and the connection lead
// to another server. The charges must be read again after each.
func TestStrangersAfterDoubt(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			w, unknown := &db.writer, 0
			db.Messages().Observe(func(stored []silo.Charge, gone []int64) {
				if len(stored)+len(gone) == 0 {
					unknown++
				}
			})
			row, err := db.layout.messageRow(fromStranger("late", 4), noon)
			if err != nil {
				t.Fatal(err)
			}
			if !w.layout.traits.keyed {
				t.Skip("the outcome of every write is known")
			}
			var told error
			o := &op{
				join: func(p *plan) { p.messages = append(p.messages, row) }, deadline: time.Now().Add(-time.Hour),
				done: func(err error) { told = err },
			}
			b := newBatch([]*op{o})
			b.state = batchUnknown // as if the answer to COMMIT had been lost
			if w.commit(b); !errors.Is(told, errUnknown) || !b.told || b.state != batchRefused || unknown == 0 {
				t.Errorf("%v, state %d, and %d times unknown", told, b.state, unknown)
			}
			unknown = 0
			w.disconnect()
			b.deadline = time.Now().Add(time.Minute)
			b.state, b.told = batchOpen, false
			if _, err := w.attempt(b); err != nil || unknown != 1 {
				t.Errorf("new connection: %v, and %d times unknown", err, unknown)
			}
		})
	}
}

// TestStrangersOfOtherPrograms deletes messages as another program does.
func TestStrangersOfOtherPrograms(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{})
			ms := []*silo.Message{fromStranger("one", 1), fromStranger("two", 2)}
			add(t, db.Messages(), ms...)
			rawExec(t, db, fmt.Sprintf("DELETE FROM silo WHERE id = %d", ms[0].ID))
			if got := charges(t, db.Messages()); len(got) != 1 || got[0].ID != ms[1].ID {
				t.Errorf("charges %v", got)
			}
			if n, err := db.Messages().Tidy(t.Context()); n != 2 || err != nil {
				t.Error(n, err)
			}
			if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_stranger")); n != 1 {
				t.Errorf("%d rows are left", n)
			}
			closeDB(t, db)
			if got := charges(t, open(t, url, Options{}).Messages()); len(got) != 1 || got[0].ID != ms[1].ID {
				t.Errorf("after a restart: charges %v", got)
			}
		})
	}
}

// TestCopyStrangers copies the charges.
func TestCopyStrangers(t *testing.T) {
	from, to := open(t, engines[0].fresh(t), Options{}), open(t, textEngine.fresh(t), Options{})
	ms := []*silo.Message{fromStranger("one", 1), fromStranger("two", 2), text("mine")}
	add(t, from.Messages(), ms...)
	if err := Copy(t.Context(), from, to, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, want := charges(t, to.Messages()), charges(t, from.Messages()); len(got) != 2 || !slices.Equal(got, want) {
		t.Errorf("charges %v, want %v", got, want)
	}
}

// TestUsage counts messages and their sizes.
func TestUsage(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		long := fromStranger("four", 0)
		long.Charge = nil
		later := text("later")
		later.SendAt = noon.Add(time.Hour)
		add(t, st, text("one"), text("two"), long, later)
		usage := func(from string, reminders bool) silo.Usage {
			t.Helper()
			u, err := st.Usage(t.Context(), bob, from, reminders)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		const alice = "sip:alice@example.org"
		one, all := usage(alice, false), usage("", false)
		if one.Messages != 2 || all.Messages != 3 || one.Bytes < 2*(silo.Overhead+3) || one.Bytes > 3*silo.Size(&text("one").Message) || all.Bytes <= one.Bytes {
			t.Errorf("alice has %v of %v", one, all)
		}
		if u := usage("", true); u.Messages != 1 {
			t.Errorf("reminders: %v", u)
		}
		found := map[string]silo.Usage{}
		for _, least := range []silo.Usage{{Messages: 3, Bytes: 1 << 40}, {Messages: 100, Bytes: all.Bytes - one.Bytes}} {
			clear(found)
			if err := st.UsageBySender(t.Context(), least, func(from string, u silo.Usage) { found[from] = u }); err != nil {
				t.Fatal(err)
			}
			if found[alice].Messages != 3 {
				t.Errorf("%v: %v", least, found)
			}
		}
		if len(found) != 2 {
			t.Errorf("senders %v", found)
		}
	})
}

// TestUserExists looks up users and aliases.
func TestUserExists(t *testing.T) {
	var late atomic.Int64
	now := func() time.Time { return noon.Add(time.Duration(late.Load())) }
	onEachWith(t, Options{Now: now}, func(t *testing.T, db *DB) {
		if err := db.Users().AddUser(t.Context(), bob, auth.NewSecret(bob, "example.org", "pw")); err != nil {
			t.Fatal(err)
		}
		check := func(name string, want bool) {
			t.Helper()
			if got, err := db.Users().Exists(t.Context(), aor(name)); got != want || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		check("sip:bob@example.org", true)
		check("sip:bob@example.com", false)
		check("sip:bo@example.org", false)
		check("sip:robert@example.org", false)
		if _, ok := db.layout.dialect.(*textDB); ok {
			return
		}
		rawExec(t, db, "CREATE TABLE dbaliases (alias_username VARCHAR(64), alias_domain VARCHAR(64), username VARCHAR(64), domain VARCHAR(64))",
			"INSERT INTO dbaliases VALUES ('robert', 'example.org', 'bob', 'example.org')")
		late.Add(int64(noAliasesFor))
		check("sip:robert@example.org", true)
		check("sip:robert@example.com", false)
	})
}
