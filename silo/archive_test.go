package silo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/mi"
	"silod/silo"
	"silod/sip"
)

// export returns the lines of all stored messages.
func (b *box) export(args ...mi.Arg) []string {
	b.t.Helper()
	n, err := b.command("silo_export", args...)
	if err != nil {
		b.t.Fatal(err)
	}
	var lines []string
	for c, err := range n.Stream {
		if err != nil {
			b.t.Fatal(err)
		}
		lines = append(lines, c.Value.(string))
	}
	return lines
}

// restore imports lines and returns the result, such as "3 stored, 0 known, 0 expired".
func (b *box) restore(lines ...string) string {
	b.t.Helper()
	n, err := b.command("silo_import", mi.Arg{Value: strings.Join(lines, "\n")})
	if err != nil {
		return err.Error()
	}
	var results []string
	for _, c := range n.Nodes {
		if c.Name == "refused" {
			for _, r := range c.Nodes {
				results = append(results, fmt.Sprint("line ", r.Attrs[0].Value, " refused"))
			}
			continue
		}
		results = append(results, fmt.Sprint(c.Value, " ", c.Name))
	}
	return strings.Join(results, ", ")
}

// withoutID returns lines without the ID, which differs between stores.
func withoutID(lines []string) []string {
	var out []string
	for _, l := range lines {
		_, rest, _ := strings.Cut(l, `,"user"`)
		out = append(out, `{"user"`+rest)
	}
	return out
}

// archiveOf stores every kind of message and returns the export.
func archiveOf(b *box) []string {
	b.t.Helper()
	add := func(m *silo.Message) {
		m.Owner, m.Src, m.Dst = bob, "sip:alice@example.org", "sip:bob@example.org"
		if m.Stored.IsZero() {
			m.Stored = noon
		}
		if err := b.store.Add(b.t.Context(), m); err != nil {
			b.t.Fatal(err)
		}
	}
	plain := im.Message{
		From: `"Alice \"A\" Ünal" <sip:alice@example.org>;tag=a<b&c`, To: "<sip:bob@example.org>", CallID: "c1@example.org", CSeq: 7,
		Headers: []sip.Header{{Name: "Content-Type", Value: `text/plain;charset="utf-8"`}, {Name: "X-Own", Value: " as \xe9 written"}},
		Body:    []byte("Grüße\r\n\x00\u2028<b>&"),
	}
	binary, other := plain, plain
	binary.CallID, binary.Body = "c2@example.org", []byte("\xff\xfe\x00")
	other.CallID = "c3@example.org"
	for i, m := range []*silo.Message{
		{Message: plain, Expires: noon.Add(time.Hour)},
		{Message: binary},
		{Message: other, Expires: noon.Add(time.Hour), SendAt: noon.Add(30 * time.Minute)},
		{Message: im.Message{From: "<sip:alice@example.org>", To: "<sip:bob@example.org>", CallID: "stuck", CSeq: 1, Body: []byte("x")}},
		{Message: im.Message{From: "<sip:alice@example.org>", To: "<sip:bob@example.org>", CallID: "copied", CSeq: 1, Body: []byte("y")}},
	} {
		add(m)
		switch i {
		case 3:
			if _, err := b.store.SetAside(b.t.Context(), m.ID, "603 Decline", nil); err != nil {
				b.t.Fatal(err)
			}
		case 4:
			for device, refused := range map[string]string{"<urn:uuid:1>": "", "<urn:uuid:2>": "415 No"} {
				done := make(chan error, 1)
				b.store.Mark(m.ID, []silo.Copy{{Device: device, Refused: refused}}, func(err error) { done <- err })
				if err := <-done; err != nil {
					b.t.Fatal(err)
				}
			}
		}
	}
	return b.export()
}

// An imported message is exported as before, except for its ID. A message that is
// stored already is not stored again, in the same store or in another.
func TestArchiveLosesNothing(t *testing.T) {
	from := newBox(t, silo.Settings{})
	lines := archiveOf(from)
	if len(lines) != 5 {
		t.Fatalf("exported %q", lines)
	}
	const first = `{"id":1,"user":"bob","domain":"example.org","stored":"2026-11-21T12:00:00Z","expires":"2026-11-21T13:00:00Z",` +
		`"src":"sip:alice@example.org","dst":"sip:bob@example.org","from":"\"Alice \\\"A\\\" Ünal\" <sip:alice@example.org>;tag=a<b&c",` +
		`"to":"<sip:bob@example.org>","call_id":"c1@example.org","cseq":7,"headers":[["Content-Type","text/plain;charset=\"utf-8\""],` +
		`["X-Own",{"base64":"IGFzIOkgd3JpdHRlbg=="}]],"body":"Grüße\r\n\u0000\u2028<b>&"}`
	if lines[0] != first {
		t.Errorf("got  %s\nwant %s", lines[0], first)
	}
	for i, part := range map[int]string{
		1: `"body":{"base64":"//4A"}`, 2: `"send_at":"2026-11-21T12:30:00Z"`, 3: `"stuck":"603 Decline"`,
		4: `"copies":[{"device":"<urn:uuid:1>","at":"2026-11-21T12:00:00Z"},{"device":"<urn:uuid:2>","refused":"415 No","at":"2026-11-21T12:00:00Z"}]`,
	} {
		if !strings.Contains(lines[i], part) {
			t.Errorf("no %s in %s", part, lines[i])
		}
	}
	if got := from.restore(lines...); got != "0 stored, 5 known, 0 expired" {
		t.Errorf("into the same store: %s", got)
	}
	to := newBox(t, silo.Settings{})
	for i, want := range []string{"5 stored, 0 known, 0 expired", "0 stored, 5 known, 0 expired", "0 stored, 5 known, 0 expired"} {
		if got := to.restore(lines...); got != want {
			t.Errorf("import %d: %s, want %s", i, got, want)
		}
		if got := to.export(); !slices.Equal(withoutID(got), withoutID(lines)) {
			t.Fatalf("import %d:\ngot  %s\nwant %s", i, strings.Join(got, "\n     "), strings.Join(lines, "\n     "))
		}
	}
}

// An import that was interrupted can be repeated.
func TestImportIsRepeated(t *testing.T) {
	lines := archiveOf(newBox(t, silo.Settings{}))
	to := newBox(t, silo.Settings{})
	if got := to.restore(lines[0], lines[2], lines[0]); got != "2 stored, 1 known, 0 expired" {
		t.Errorf("a part: %s", got)
	}
	// A message that was stored, but not set aside yet.
	half := strings.Replace(lines[3], `"stuck":"603 Decline",`, "", 1)
	if got := to.restore(half); got != "1 stored, 0 known, 0 expired" {
		t.Errorf("half of it: %s", got)
	}
	if got := to.restore(lines...); got != "2 stored, 3 known, 0 expired" {
		t.Errorf("all: %s", got)
	}
	if n := len(to.export(mi.Arg{Name: "stuck", Value: "yes"})); n != 1 {
		t.Errorf("%d are set aside", n)
	}
}

func TestImportRefuses(t *testing.T) {
	lines := archiveOf(newBox(t, silo.Settings{}))
	b := newBox(t, silo.Settings{})
	for text, want := range map[string]string{
		"":                                    "400 Nothing was stored, line 1: unexpected end of JSON input",
		lines[0] + "\nhello":                  "400 Nothing was stored, line 2: invalid character 'h' looking for beginning of value",
		`{"format":"silod messages"}`:         "400 Nothing was stored, line 1: user, domain and stored are needed",
		`{"user":7}`:                          `400 Nothing was stored, line 1: expected a string, or {"base64": "..."}`,
		`{"user":{"base64":"!"}}`:             "400 Nothing was stored, line 1: illegal base64 data at input byte 0",
		`{"user":"bob","domain":"x.org"}`:     "400 Nothing was stored, line 1: user, domain and stored are needed",
		`{"user":"bob","stored":"yesterday"}`: "400 Nothing was stored, line 1: parsing time",
	} {
		if got := b.restore(text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	long := strings.Replace(lines[0], `"user":"bob"`, `"user":"`+strings.Repeat("b", 100)+`"`, 1)
	if got, want := b.restore(lines[1], long, lines[0]), "2 stored, 0 known, 0 expired, line 2 refused"; got != want {
		t.Errorf("too long for its column: %s, want %s", got, want)
	}
	over := strings.Replace(lines[0], `"expires":"2026-11-21T13`, `"expires":"2026-11-20T13`, 1)
	if got, want := b.restore(over), "0 stored, 0 known, 1 expired"; got != want {
		t.Errorf("expired: %s, want %s", got, want)
	}
}

// goneStore is a Store from which every message is removed just before Requeue.
type goneStore struct{ silo.Store }

func (goneStore) Requeue(context.Context, int64) (bool, error) { return false, nil }

func TestRequeueOfARemovedMessage(t *testing.T) {
	b := newBox(t, silo.Settings{}, func(o *silo.Options) { o.Store = goneStore{o.Store} })
	id := b.put(text("x"))
	const want = "404 There is no message 1; it may have been delivered"
	if _, err := b.command("silo_requeue", values(fmt.Sprint(id))...); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
