package db

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

// Contacts with the parameters of push services (RFC 8599) are longer than Kamailio's columns.
// A Kamailio that reads the row must find an equal URI, or one that reaches nothing.
func TestLongBindings(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("c9x:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ_hQMRKRrZuJAEcl7B338qju59zJMj", 8)
	nat := flow("udp:127.0.0.1:5060>203.0.113.1:40000")
	cases := []struct {
		name   string
		change func(b *registrar.Binding)
		column string // contact, "" for the contact itself, "-" for one that reaches nothing
	}{
		{"short", func(b *registrar.Binding) { b.Contact = "sip:bob@192.0.2.1;transport=tcp;ob" }, ""},
		{"push", func(b *registrar.Binding) {
			b.Contact = "sip:bob@192.0.2.1:5062;pn-provider=fcm;pn-prid=" + token + ";transport=tcp;pn-param=x"
		}, "sip:bob@192.0.2.1:5062;transport=tcp"},
		{"4 kB", func(b *registrar.Binding) { b.Contact = "sip:bob@192.0.2.1;x=" + strings.Repeat("x", 4070) }, "sip:bob@192.0.2.1"},
		{"not UTF-8", func(b *registrar.Binding) { b.Contact = "sip:bob@192.0.2.1;x=\xff" }, "sip:bob@192.0.2.1"},
		{"long user", func(b *registrar.Binding) { b.Contact = "sip:" + token + "@192.0.2.1" }, "-"},
		{"user that is not UTF-8", func(b *registrar.Binding) { b.Contact = "sip:\xff@192.0.2.1" }, "-"},
		{"long header", func(b *registrar.Binding) { b.Contact = "sip:bob@192.0.2.1?x=" + token }, "-"},
		{"long user behind a NAT", func(b *registrar.Binding) { b.Contact, b.Flow = "sip:"+token+"@192.0.2.1", nat }, "-"},
		{"long user behind a proxy", func(b *registrar.Binding) {
			b.Contact, b.Path = "sip:"+token+"@192.0.2.1", []string{"<sip:edge.example.org;lr>"}
		}, "-"},
		{"long Path", func(b *registrar.Binding) { b.Path = []string{"<sip:" + token + "@edge.example.org;lr>"} }, "-"},
		{"long Path of two", func(b *registrar.Binding) {
			b.Path = []string{"<sip:" + token + "@edge.example.org;lr>", "<sip:edge2.example.org;lr>"}
		}, "-"},
		{"everything long", func(b *registrar.Binding) {
			b.Contact = "sip:bob@192.0.2.1;x=" + token
			b.CallID, b.UserAgent, b.Instance, b.Params = token, token, token, `;+x="`+token+`"`
			b.Methods = strings.Repeat("MESSAGE, X-", 90)
		}, "sip:bob@192.0.2.1"},
		{"for ever", func(b *registrar.Binding) { b.Expires = noon.Add((1<<32 - 1) * time.Second).Local() }, ""},
	}
	check := func(t *testing.T, db *DB) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				c := simpleBinding("silod-long")
				tc.change(&c.Binding)
				checkLongBinding(t, db, c, tc.column)
			})
		}
	}
	onEach(t, check)
	for _, e := range engines {
		t.Run("kamailio 4 "+e.name, func(t *testing.T) {
			t.Parallel()
			statements := append(fixture(t, "7", e.name), "DELETE FROM location")
			check(t, open(t, e.prepared(t, statements...), Options{}))
		})
	}
}

// checkLongBinding saves, refreshes and removes a binding. See TestLongBindings for column.
func checkLongBinding(t *testing.T, db *DB, c registrar.Change, column string) {
	t.Helper()
	const nowhere = "sip:silod-long@silod.invalid"
	st, b := db.Bindings(), &c.Binding
	holds := db.layout.bindings.holds
	switch {
	case column == "", holds("contact", b.Contact) && holds("path", strings.Join(b.Path, ",")): // db_text has no limit
		column = b.Contact
	case column == "-":
		column = nowhere
	}
	for range 2 { // the second is a refresh
		save(t, st, c)
		if got := loadBindings(t, st, noon)[b.RUID]; !reflect.DeepEqual(got, c) {
			t.Fatalf("\n got %+q\nwant %+q", fmt.Sprint(got), fmt.Sprint(c))
		}
		if got := asText(rawValue(t, db, "SELECT contact FROM location")); got != column {
			t.Fatalf("the column is %q, want %q", got, column)
		}
	}
	if column == nowhere {
		for _, name := range []string{"received", "path"} {
			if v := rawValue(t, db, "SELECT "+name+" FROM location"); asText(v) != "" {
				t.Errorf("%s is %v", name, v)
			}
		}
	}
	// Kamailio binds another contact in the same row.
	const other = "sip:bob@192.0.2.77"
	rawExec(t, db, "UPDATE location SET contact = '"+other+"'")
	if got := loadBindings(t, st, noon)[b.RUID].Binding.Contact; got != other {
		t.Errorf("after another program has changed the row: %q", got)
	}
	c.Removed = true
	save(t, st, c)
	if n := fmt.Sprint(rawValue(t, db, "SELECT COUNT(*) FROM silod_binding")); n != "0" {
		t.Errorf("%s rows are left in silod_binding", n)
	}
}

// Rows that kamctl and Kamailio write. One that cannot be used is skipped, and says why.
func TestForeignBindings(t *testing.T) {
	t.Parallel()
	cases := []struct{ contact, path, want string }{
		{"sip:gw@192.0.2.1", "NULL", "sip:gw@192.0.2.1 []"},
		{"sip:gw@192.0.2.1", "'.'", "sip:gw@192.0.2.1 []"}, // kamctl ul add
		{"sip:gw@192.0.2.1", "''", "sip:gw@192.0.2.1 []"},
		{"sip:gw@192.0.2.1", "'<null>'", "sip:gw@192.0.2.1 []"},
		{"sip:gw@192.0.2.1", "'<sip:192.0.2.9;lr>'", "sip:gw@192.0.2.1 [<sip:192.0.2.9;lr>]"},
		{"sip:gw@192.0.2.1", "'<sip:a;lr>,<sip:b;lr>'", "sip:gw@192.0.2.1 [<sip:a;lr> <sip:b;lr>]"},
		{"sip:gw@192.0.2.1", "'!!'", `row "kam-1" of location: path`},
		{"tel:123", "NULL", `row "kam-1" of location: contact "tel:123" is not a SIP URI`},
		{"gw", "NULL", `row "kam-1" of location: contact "gw" is not a SIP URI`},
		{"sip:a>b@h", "NULL", `row "kam-1" of location: contact`},
	}
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Bindings()
		save(t, st, simpleBinding("kam-1"))
		for _, tc := range cases {
			rawExec(t, db, "UPDATE location SET flags = 3, cflags = 7, contact = '"+tc.contact+"', path = "+tc.path)
			got := ""
			err := st.Load(t.Context(), noon, func(_ sip.AoR, b registrar.Binding) { got = fmt.Sprint(b.Contact, " ", b.Path) },
				func(string) {}, func(err error) { got = err.Error() })
			if err != nil || !strings.HasPrefix(got, tc.want) {
				t.Errorf("%s, %s: got %q, %v, want %q", tc.contact, tc.path, got, err, tc.want)
			}
		}
	})
}
