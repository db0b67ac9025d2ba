package db

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"silod/silo"
	"silod/sip"
)

// TestMessagesFidelity: messages are read as they were stored.
func TestMessagesFidelity(t *testing.T) {
	t.Parallel()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	odd := func(change func(*silo.Message)) *silo.Message {
		m := text("hello")
		change(m)
		return m
	}
	h := func(kv ...string) (out []sip.Header) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, sip.Header{Name: kv[i], Value: kv[i+1]})
		}
		return out
	}
	cases := map[string]*silo.Message{
		"plain":       text("hello"),
		"every byte":  odd(func(m *silo.Message) { m.Body = every }),
		"empty body":  odd(func(m *silo.Message) { m.Body = []byte{} }),
		"64 KB body":  odd(func(m *silo.Message) { m.Body = []byte(strings.Repeat("\x00\xffü'", 13000)) }),
		"no type":     odd(func(m *silo.Message) { m.Headers = nil }),
		"charset":     odd(func(m *silo.Message) { m.Headers = h("Content-Type", `text/plain; charset="UTF-8"`) }),
		"type last":   odd(func(m *silo.Message) { m.Headers = h("Subject", "s", "Content-Type", "text/plain") }),
		"long type":   odd(func(m *silo.Message) { m.Headers = h("Content-Type", "application/vnd.gsma.rcs-ft-http+xml") }),
		"quotes":      odd(func(m *silo.Message) { m.Headers = h("X-A", `it's "so" \ and \x41 and $1 and ?`) }),
		"display":     odd(func(m *silo.Message) { m.From = `"Älice \"A\"" <sip:alice@example.org>;tag=x;y=z` }),
		"bytes":       odd(func(m *silo.Message) { m.From = "\"\xff\xfe\" <sip:alice@example.org>;tag=1" }),
		"emoji":       odd(func(m *silo.Message) { m.Headers = h("Subject", "🎉 ünï") }),
		"latin1":      odd(func(m *silo.Message) { m.Headers = h("Subject", "caf\xe9", "X-B", "\x01\x7f") }),
		"anonymous":   odd(func(m *silo.Message) { m.From = "Anonymous <sip:anonymous@anonymous.invalid>;tag=9" }),
		"no tag":      odd(func(m *silo.Message) { m.From = "<sip:alice@example.org>" }),
		"to tag":      odd(func(m *silo.Message) { m.To = `"Bob" <sip:bob@example.org>;tag=77` }),
		"long callid": odd(func(m *silo.Message) { m.CallID = strings.Repeat("c", 300) }),
		"odd callid":  odd(func(m *silo.Message) { m.CallID = "caf\xe9@x" }),
		"no callid":   odd(func(m *silo.Message) { m.CallID = ""; m.CSeq = 0 }),
		"cseq":        odd(func(m *silo.Message) { m.CSeq = 1<<32 - 1 }),
		"spaces":      odd(func(m *silo.Message) { m.Headers = h("X-A", "  two before, two behind  ", "X-Empty", "") }),
		"repeats":     odd(func(m *silo.Message) { m.Headers = h("X-A", "1", "X-B", "2", "X-A", "3") }),
		"our names": odd(func(m *silo.Message) {
			m.Headers = h("X-Silod-From", "<sip:boss@example.org>", "x-silod-cseq", "9", "X-Silod-Header", "X: y")
		}),
		"1 KB of headers": odd(func(m *silo.Message) { m.Headers = h("Subject", strings.Repeat("s", 1024), "X-A", "a") }),
		"60 KB of headers": odd(func(m *silo.Message) {
			for i := range 60 {
				m.Headers = append(m.Headers, h(fmt.Sprintf("X-%d", i), strings.Repeat("v", 1000))...)
			}
		}),
		"cpim": odd(func(m *silo.Message) {
			m.Headers = h("Date", "Sat, 21 Nov 2026 12:00:00 GMT", "Content-Type", "message/cpim", "Content-Disposition", "render",
				"Content-Language", "de", "Priority", "urgent", "Reply-To", "<sip:a@b>")
			m.Body = []byte("From: <sip:alice@example.org>\r\n\r\nContent-Type: text/plain\r\n\r\nhi")
		}),
	}
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		for name, m := range cases {
			m := *m
			if _, ok := db.layout.dialect.(*textDB); ok && len(m.Body) > textFieldMax {
				if err := st.Add(t.Context(), &m); !errors.Is(err, silo.ErrInvalid) {
					t.Errorf("%s: %v", name, err) // Kamailio would refuse the whole table
				}
				continue
			}
			add(t, st, &m)
			got, err := st.Get(t.Context(), m.ID)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got.Stored, got.Expires = got.Stored.UTC(), got.Expires.UTC()
			m.Stored = m.Stored.UTC()
			if !reflect.DeepEqual(got, m) {
				t.Errorf("%s:\n got %#v\nwant %#v", name, got, m)
			}
		}
	})
}

// TestMessagesInvalid: only messages that can never be stored are refused.
func TestMessagesInvalid(t *testing.T) {
	t.Parallel()
	bad := map[string]func(*silo.Message){
		"long user":       func(m *silo.Message) { m.Owner.User = strings.Repeat("u", 65) },
		"long domain":     func(m *silo.Message) { m.Owner.Domain = strings.Repeat("d", 65) },
		"long sender":     func(m *silo.Message) { m.Src = "sip:" + strings.Repeat("s", 252) },
		"NUL in sender":   func(m *silo.Message) { m.Src = "sip:a\x00b@c" },
		"not UTF-8":       func(m *silo.Message) { m.Dst = "sip:\xff@c" },
		"line break":      func(m *silo.Message) { m.Headers = []sip.Header{{Name: "X", Value: "a\r\nInjected: b"}} },
		"NUL in header":   func(m *silo.Message) { m.From = "<sip:a@b>;tag=\x00" },
		"bad header name": func(m *silo.Message) { m.Headers = []sip.Header{{Name: "X Y", Value: "a"}} },
	}
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		var wg sync.WaitGroup
		for name, spoil := range bad {
			wg.Go(func() {
				m := text("bad")
				spoil(m)
				if err := st.Add(t.Context(), m); !errors.Is(err, silo.ErrInvalid) {
					t.Errorf("%s: %v", name, err)
				}
			})
			wg.Go(func() { add(t, st, text("good")) })
		}
		wg.Wait()
		if got := len(next(t, st, 0, 100)); got != len(bad) {
			t.Errorf("%d good messages stored, want %d", got, len(bad))
		}
	})
}

// TestMessagesConcurrent: the IDs of one caller increase in the order of its calls, whatever
// other callers do.
func TestMessagesConcurrent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		const callers, each = 16, 40
		ids := make([][]int64, callers)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					m := text(fmt.Sprintf("%d/%d", c, i))
					add(t, st, m)
					ids[c] = append(ids[c], m.ID)
					if i%2 == 0 {
						remove(t, st, m.ID)
					}
				}
			})
		}
		wg.Wait()
		for c := range callers {
			if !slices.IsSorted(ids[c]) {
				t.Errorf("caller %d got IDs %v", c, ids[c])
			}
		}
		ms := next(t, st, 0, callers*each)
		if len(ms) != callers*each/2 {
			t.Errorf("%d messages are left, want %d", len(ms), callers*each/2)
		}
		for _, m := range ms {
			var c, i int
			if _, err := fmt.Sscanf(string(m.Body), "%d/%d", &c, &i); err != nil || ids[c][i] != m.ID || i%2 == 0 {
				t.Fatalf("message %q has ID %d, its caller received %d", m.Body, m.ID, ids[c][i])
			}
		}
	})
}

func TestMessagesContext(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		st := db.Messages()
		var stored int
		for range 50 {
			m := text("x")
			switch err := st.Add(ctx, m); {
			case err == nil:
				stored++
			case !errors.Is(err, silo.ErrBusy) || m.ID != 0:
				t.Fatal(err, m.ID)
			}
		}
		add(t, st, text("last")) // behind all others in the queue
		if n, err := count(t, st, aor("bob@example.org")); n != stored+1 || err != nil {
			t.Errorf("%d rows, %v; %d calls said that they stored one", n, err, stored+1)
		}
	})
}

// FuzzEscapeHeaders: the escaped text is valid for PostgreSQL and is decoded to the
// original.
func FuzzEscapeHeaders(f *testing.F) {
	for _, s := range []string{"", "X-Foo: bar\r\n", `X-Foo: a\b`, `\x41`, "X-Foo: \xff\x00\r\n", "Subject: Grüße\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		stored := escapeHeaders(lines)
		if !utf8.ValidString(stored) || strings.ContainsRune(stored, 0) {
			t.Fatalf("%q is stored as %q", lines, stored)
		}
		if got := string(new(postgresDB).decodeHeaders([]byte(stored))); got != lines {
			t.Fatalf("%q becomes %q", lines, got)
		}
	})
}

// TestPostgresArrays: every kind of value is stored unchanged.
func TestPostgresArrays(t *testing.T) {
	t.Parallel()
	db := open(t, engines[1].fresh(t), Options{})
	rawExec(t, db, "CREATE TABLE things (n BIGINT, x FLOAT8, t TEXT, b BYTEA, at TIMESTAMP)")
	things := table{name: "things", fields: []field{
		{name: "n", kind: kindInt}, {name: "x", kind: kindReal}, {name: "t"}, {name: "b", kind: kindBytes}, {name: "at", kind: kindTime},
	}}
	rows := [][]any{
		{int64(-1), -0.25, "{\"a\",NULL} \\ ü", []byte{0, 255}, noon.Unix()},
		{int64(math.MaxInt64), math.Inf(1), "", []byte{}, int64(0)},
		{nil, nil, nil, nil, nil},
	}
	err := db.writer.step(t.Context(), 3, func(s *session) error {
		_, err := s.insert(&things, rows)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := rawValue(t, db, "SELECT string_agg(concat_ws('|', n, x, t, b, at), E'\\n' ORDER BY n) FROM things")
	want := "-1|-0.25|{\"a\",NULL} \\ ü|\\x00ff|" + localTime(noon.Unix()) + "\n9223372036854775807|Infinity||\\x|" + localTime(0) + "\n"
	if asText(got) != want {
		t.Errorf("\n got %q\nwant %q", asText(got), want)
	}
}
