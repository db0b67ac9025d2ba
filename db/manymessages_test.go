package db

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/silo"
	"silod/sip"
)

// A plainRow is a message as plain SQL reads it.
type plainRow struct {
	owner    sip.AoR
	from     string
	inc, snd int64
	stuck    bool
}

// plainRows returns all messages by their IDs.
func plainRows(t *testing.T, db *DB) map[int64]plainRow {
	t.Helper()
	rows, err := db.messages.reader.query(t.Context(), `SELECT id, username, domain, src_addr, inc_time, snd_time,
		(SELECT COUNT(*) FROM silod_stuck t WHERE t.silo_id = id AND t.inc_time = s.inc_time) FROM silo s`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int64]plainRow{}
	for rows.Next() {
		var id int64
		var n rowName
		var r plainRow
		if err := scan(rows, &id, &n.user, &n.domain, &r.from, &r.inc, &r.snd, &r.stuck); err != nil {
			t.Fatal(err)
		}
		r.owner, r.from = db.layout.aor(n), cmp.Or(r.from, anonymous)
		all[id] = r
	}
	return all
}

// has reports whether a query has a row. Purge takes no reminders where the query does not say so.
func (r plainRow) has(q *silo.Query) bool {
	return (q.Owner.IsZero() || q.Owner == r.owner) && (q.From == "" || r.from == q.From || q.SameFrom != nil && q.SameFrom(r.from)) &&
		(q.Before.IsZero() || r.inc < q.Before.Unix()) && (r.snd > 0) == q.Reminders && (!q.Stuck || r.stuck)
}

// A manyMessages changes a database at random, also while messages are purged.
type manyMessages struct {
	t       *testing.T
	db      *DB
	rnd     *rand.Rand
	touched map[int64]bool // deleted or requeued by others
	added   []int64
	later   map[int64]plainRow // rows that were added during the purge
}

// add stores n messages of any owner, sender, time and state, some as other programs write them.
func (mm *manyMessages) add(n int) {
	for i := range n {
		m := text(fmt.Sprint(i))
		m.Owner = aor(fmt.Sprintf("u%d@example.org", mm.rnd.IntN(3)))
		m.Src, m.Stored = fmt.Sprintf("sip:s%d@example.org", mm.rnd.IntN(4)), noon.Add(time.Duration(mm.rnd.IntN(60))*time.Second)
		if mm.rnd.IntN(4) == 0 {
			m.SendAt = noon.Add(time.Duration(mm.rnd.IntN(1000)) * time.Hour)
		} else if mm.rnd.IntN(4) == 0 {
			m.Stuck = "415 No"
		}
		if mm.rnd.IntN(6) == 0 {
			m.Marks = []silo.Copy{{Device: "<urn:uuid:1>"}}
		}
		if err := mm.db.messages.Add(mm.t.Context(), m); err != nil {
			mm.t.Error(err)
			return
		}
		mm.added = append(mm.added, m.ID)
		set := []string{
			"domain = 'EXAMPLE.org'", "domain = NULL", "src_addr = NULL", "src_addr = 'sip:S1@Example.ORG:5060;transport=udp'",
			"callid = NULL", "ctype = NULL",
		}
		if mm.db.layout.dialect.schema() == "sqlite" { // the others store no such text
			set = append(set, "src_addr = x'ff'", "src_addr = CAST(x'ff' AS TEXT)")
		}
		if k := mm.rnd.IntN(3 * len(set)); k < len(set) {
			rawExec(mm.t, mm.db, fmt.Sprintf("UPDATE silo SET %s WHERE id = %d", set[k], m.ID))
		}
	}
	mm.db.messages.spellings.reread()
	later(mm.db)
}

// disturb delivers and requeues some of the rows, and stores others, whose IDs may be those of delivered
// messages.
func (mm *manyMessages) disturb(ids []int64) {
	for range 1 + mm.rnd.IntN(3) {
		id := ids[mm.rnd.IntN(len(ids))]
		if mm.rnd.IntN(2) == 0 {
			id = ids[len(ids)-1]
		}
		mm.touched[id] = true
		if mm.rnd.IntN(3) == 0 {
			if _, err := mm.db.messages.Requeue(mm.t.Context(), id); err != nil {
				mm.t.Error(err)
			}
			continue
		}
		done := make(chan error, 1)
		mm.db.messages.Delete(id, func(err error) { done <- err })
		if err := <-done; err != nil {
			mm.t.Error(err)
		}
	}
	mm.added = nil
	mm.add(mm.rnd.IntN(3))
	rows := plainRows(mm.t, mm.db)
	for _, id := range mm.added {
		mm.touched[id], mm.later[id] = false, rows[id]
	}
}

// query returns a random selection.
func (mm *manyMessages) query() (q silo.Query) {
	if mm.rnd.IntN(2) == 0 {
		q.Owner = aor(fmt.Sprintf("u%d@example.org", mm.rnd.IntN(3)))
	}
	switch mm.rnd.IntN(4) {
	case 0:
		q.From = "sip:s1@example.org"
		q.SameFrom = func(s string) bool {
			return strings.HasPrefix(strings.ToLower(s), "sip:s1@") || s == "\xff" || s == anonymous
		}
	case 1:
		q.From = "sip:s2@example.org"
	}
	if mm.rnd.IntN(2) == 0 {
		q.Before = noon.Add(time.Duration(mm.rnd.IntN(60)) * time.Second)
	}
	q.Stuck, q.Reminders = mm.rnd.IntN(3) == 0, mm.rnd.IntN(4) == 0
	return q
}

// purge deletes the messages of a query in calls that end early, and disturbs it in between.
func (mm *manyMessages) purge(q silo.Query, ids []int64) {
	for calls, end := 0, false; !end; calls++ {
		part, left := q, 1+mm.rnd.IntN(3)
		end = true // where Each is not called
		part.Each = func(s silo.Slice) bool {
			q.AfterID, end = s.Last, s.End
			if calls < 20 { // else new messages may follow for ever
				mm.disturb(ids)
			}
			left--
			return left > 0
		}
		if _, err := mm.db.messages.Purge(mm.t.Context(), part, 1+mm.rnd.IntN(20)); err != nil || calls > 500 {
			mm.t.Fatal(calls, err)
		}
	}
}

// TestManyMessages: a list and a count have the messages that plain SQL finds, and a purge in any number
// of calls deletes these and no others, whatever happens meanwhile.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			seed := uint64(time.Now().UnixNano())
			t.Log("seed", seed)
			mm := &manyMessages{t: t, db: db, rnd: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // no secret
			for range 8 {
				mm.touched, mm.later = map[int64]bool{}, map[int64]plainRow{}
				db.messages.slice = 1 + mm.rnd.IntN(30)
				before := plainRows(t, db)
				mm.add(max(0, 80-len(before)))
				before = plainRows(t, db)
				q := mm.query()
				mm.check(q, before)
			}
		})
	}
}

// check lists, counts and purges the messages of a query.
func (mm *manyMessages) check(q silo.Query, before map[int64]plainRow) {
	t, st := mm.t, &mm.db.messages
	var all, want, listed []int64
	for id, r := range before {
		all = append(all, id)
		if r.has(&q) {
			want = append(want, id)
		}
	}
	slices.Sort(all)
	slices.Sort(want)
	for m, err := range st.List(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, m.ID)
	}
	sum, err := st.Tally(t.Context(), q)
	counted := sum.Messages
	if q.Reminders {
		counted = sum.Reminders
	}
	if err != nil || !slices.Equal(listed, want) || counted != len(want) {
		t.Errorf("%+v, slices of %d: listed %v, counted %+v, %v; want %v", q, st.slice, listed, sum, err, want)
	}
	mm.purge(q, all)
	after := plainRows(t, mm.db)
	for id, r := range before {
		_, is := after[id]
		if _, reused := mm.later[id]; !reused && !mm.touched[id] && is == r.has(&q) {
			t.Errorf("%+v, slices of %d: message %d, %+v: still there: %v", q, st.slice, id, r, is)
		}
	}
	for id, r := range mm.later {
		if _, is := after[id]; !is && !mm.touched[id] && !r.has(&q) {
			t.Errorf("%+v, slices of %d: new message %d, %+v, was deleted", q, st.slice, id, r)
		}
	}
}
