package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/silo"
	"silod/sip"
)

func marksText(marks []silo.Copy) string {
	var list []string
	for _, c := range marks {
		list = append(list, fmt.Sprintf("{%q %q}", c.Device, c.Refused))
	}
	return "[" + strings.Join(list, " ") + "]"
}

// nextTo returns the messages for devices, each with its marks.
func nextTo(t testing.TB, st silo.Store, devices ...string) string {
	t.Helper()
	ms, err := st.Next(t.Context(), aor("bob@example.org"), devices, 0, 10, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.ReadMarks(t.Context(), ms, devices); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range ms {
		s := string(m.Body)
		for _, c := range m.Marks {
			s += "-" + c.Device
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

// A message is returned while one of the devices has not marked it, whether it was set aside
// or not.
func TestMessagesRefusedByDevices(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		if st.HasMarks() {
			t.Error("an empty database has marks")
		}
		long := strings.Repeat("x", 300)
		plain, one, both, broken := text("plain"), text("one"), text("both"), text("broken")
		one.Marks = []silo.Copy{{Device: "phone", Refused: "415 No"}, {Device: "phone", Refused: "488 No"}}
		both.Stuck = "603 Decline"
		both.Marks = []silo.Copy{{Device: "phone", Refused: "603 Decline"}, {Device: long, Refused: "400 Bad"}}
		add(t, st, plain, one, both, broken)
		if ok, err := st.SetAside(t.Context(), broken.ID, "sender cannot be read", nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
		for _, tc := range []struct {
			devices []string
			want    string
		}{
			{nil, "plain one"},
			{[]string{"phone"}, "plain"},
			{[]string{"Phone"}, "plain one-phone both-phone-" + deviceKey(long)},
			{[]string{long}, "plain one-phone"},
			{[]string{"phone", long}, "plain one-phone"},
			{[]string{"phone", "new"}, "plain one-phone both-phone-" + deviceKey(long)},
			{[]string{"phone", long, "new"}, "plain one-phone both-phone-" + long},
		} {
			if got := nextTo(t, st, tc.devices...); got != tc.want {
				t.Errorf("for %.20q: %.60q, want %.60q", tc.devices, got, tc.want)
			}
		}
		marks, err := st.Marks(t.Context(), one.ID)
		if got := marksText(marks); got != `[{"phone" "488 No"}]` || err != nil {
			t.Errorf("marks of one: %s, %v", got, err)
		}
		if n, err := st.Tally(t.Context(), silo.Query{}); n.Stuck != 2 || n.Messages != 4 || err != nil {
			t.Errorf("Tally = %+v, %v", n, err)
		}
		for _, m := range []*silo.Message{one, both, broken} {
			if ok, err := st.Requeue(t.Context(), m.ID); !ok || err != nil {
				t.Errorf("Requeue: %v, %v", ok, err)
			}
		}
		if got := nextTo(t, st, "phone", long); got != "plain one both broken" {
			t.Errorf("requeued: %q", got)
		}
		if n := rawValue(t, db, "SELECT COUNT(*) FROM silod_device"); n != int64(0) {
			t.Errorf("%v marks after Requeue", n)
		}
	})
}

// SetAside and Mark record devices together, with the time.
func TestMessagesSetAsideWithMarks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		m, got := text("1"), text("2")
		add(t, st, m, got)
		at := noon.Add(-time.Hour)
		ok, err := st.SetAside(t.Context(), m.ID, "415 No", []silo.Copy{{Device: "a", Refused: "415 No", At: at}, {Device: "b", Refused: "488 No"}})
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		marks, err := st.Marks(t.Context(), m.ID)
		if marksText(marks) != `[{"a" "415 No"} {"b" "488 No"}]` || err != nil || !marks[0].At.Equal(at) || marks[1].At.IsZero() {
			t.Errorf("marks: %v, %v", marks, err)
		}
		if s := nextTo(t, st, "a", "b"); s != "2" {
			t.Errorf("waiting: %q", s)
		}
		// Requeue keeps the marks of delivered copies.
		markCopy(t, st, got.ID, "a", "")
		if _, err := st.Requeue(t.Context(), got.ID); err != nil {
			t.Fatal(err)
		}
		if s := nextTo(t, st, "a"); s != "" {
			t.Errorf("waiting for a: %q", s)
		}
	})
}

// At the start, users are found whose other devices may wait.
func TestWaitingFindsRefusedMessages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		m := text("1")
		m.Stuck, m.Marks = "415 No", []silo.Copy{{Device: "a", Refused: "415 No"}}
		broken := text("2")
		broken.Owner = aor("carol@example.org")
		add(t, st, m, broken)
		if _, err := st.SetAside(t.Context(), broken.ID, "no", nil); err != nil {
			t.Fatal(err)
		}
		if got := waiting(t, st); got != "sip:bob@example.org" {
			t.Errorf("waiting: %q", got)
		}
	})
}

// waiting returns the owners of waiting messages.
func waiting(t testing.TB, st silo.Store) string {
	t.Helper()
	var owners []string
	if err := st.Waiting(t.Context(), noon, func(a sip.AoR) { owners = append(owners, a.String()) }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(owners, " ")
}

// Marks and reasons of messages that another program has deleted are deleted, and only those.
func TestTidy(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		var ms []*silo.Message
		for i := range 250 {
			m := text(fmt.Sprint(i))
			m.Stuck, m.Marks = "415 No", []silo.Copy{{Device: "a", Refused: "415 No"}, {Device: "b", Refused: "415 No"}}
			ms = append(ms, m)
		}
		if err := st.AddAll(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		if n, err := st.Tidy(t.Context()); n != 0 || err != nil {
			t.Errorf("Tidy = %d, %v", n, err)
		}
		deleteElsewhere(t, db, ms[0].ID)
		if n, err := st.Tidy(t.Context()); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		for table, want := range map[string]int64{"silod_device": 2, "silod_stuck": 1} {
			if n := rawValue(t, db, "SELECT COUNT(*) FROM "+table); asInt(n) != want {
				t.Errorf("%v rows in %s, want %d", n, table, want)
			}
		}
		if got := nextTo(t, st, "c"); got != "0-a-b" {
			t.Errorf("waiting: %q", got)
		}
	})
}

// deleteElsewhere deletes all messages but one as another program does.
func deleteElsewhere(t testing.TB, db *DB, but int64) {
	t.Helper()
	err := db.writer.step(t.Context(), 1, func(s *session) error {
		return s.exec("DELETE FROM {silo} WHERE {id} <> $1", but)
	})
	if err != nil {
		t.Fatal(err)
	}
}
