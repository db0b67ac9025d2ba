package registrar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// Clients name one binding several times in a REGISTER: the last counts (RFC 3261 section 10.3,
// step 7). After a change of address they bind the new contact and remove the old one, both
// with the same instance and reg-id.
func TestOneBindingNamedTwice(t *testing.T) {
	const (
		x, y              = `;+sip.instance="<urn:uuid:x>"`, `;+sip.instance="<urn:uuid:y>"`
		one               = ";reg-id=1"
		two               = ";reg-id=2"
		twoNeedOneContact = "400 A REGISTER with reg-id is for one contact"
	)
	for _, tc := range []struct{ name, before, contacts, want string }{
		{"twice", "", "<sip:a@h>, <sip:a@h>", "sip:a@h 60"},
		{"twice, refreshed", "<sip:a@h>", "<sip:a@h>, <sip:a@h>", "sip:a@h 60"},
		{"three times", "<sip:a@h>", "<sip:a@h>, <sip:a@h>, <sip:a@h>", "sip:a@h 60"},
		{"the last counts", "", "<sip:a@h>;expires=100, <sip:a@h>;expires=200", "sip:a@h 200"},
		{"the last counts, refreshed", "<sip:a@h>", "<sip:a@h>;expires=100, <sip:a@h>;expires=200", "sip:a@h 200"},
		{"bound, then removed", "<sip:a@h>", "<sip:a@h>, <sip:a@h>;expires=0", ""},
		{"bound, then removed, new", "", "<sip:a@h>, <sip:a@h>;expires=0", ""},
		{"removed, then bound", "<sip:a@h>", "<sip:a@h>;expires=0, <sip:a@h>", "sip:a@h 60"},
		{"equal URIs", "", "<sip:eq@h>, <sip:eq@h;ob>", "sip:eq@h;ob 60"},
		{"equal URIs, refreshed", "<sip:eq@h>", "<sip:eq@h>, <sip:eq@h;ob>", "sip:eq@h;ob 60"},
		{"one equal to two", "", "<sip:a@h;x=1>, <sip:a@h;x=2>, <sip:a@h>", "sip:a@h 60"},
		{"two equal to one", "<sip:a@h>", "<sip:a@h;x=1>, <sip:a@h;x=2>", "sip:a@h;x=1 60, sip:a@h;x=2 60"},
		{"replaced by an equal one and named", "<sip:a@h>", "<sip:a@h;x=1>, <sip:a@h;x=2>, <sip:a@h;y=1>", "sip:a@h;y=1 60"},
		{"the same text before an equal one", "<sip:a@h;x=1>, <sip:a@h;x=2>", "<sip:a@h;x=2>;expires=0", "sip:a@h;x=1 60"},

		{"flow twice", "", "<sip:a@h>" + x + one + ", <sip:a@h>" + x + one, "sip:a@h 60"},
		{"flow twice, refreshed", "<sip:a@h>" + x + one, "<sip:a@h>" + x + one + ", <sip:a@h>" + x + one, "sip:a@h 60"},
		{"equal URIs in a flow", "", "<sip:a@h>" + x + one + ", <sip:a@h;ob>" + x + one, "sip:a@h;ob 60"},
		{"with reg-id and without", "", "<sip:a@h>" + x + one + ", <sip:a@h>", "sip:a@h 60"},
		{"two contacts of a flow", "", "<sip:a@h>" + x + one + ", <sip:b@h>" + x + one, twoNeedOneContact},
		{"two contacts of a flow, bound", "<sip:a@h>" + x + one, "<sip:a@h>" + x + one + ", <sip:b@h>" + x + one, twoNeedOneContact},
		{"two flows of a contact", "", "<sip:a@h>" + x + one + ", <sip:a@h>" + x + two, twoNeedOneContact},

		{"new, old", "<sip:old@h>" + x + one, "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"old, new", "<sip:old@h>" + x + one, "<sip:old@h>;expires=0" + x + one + ", <sip:new@h>" + x + one, "sip:new@h 60"},
		{"new, unknown old", "", "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"unknown old, new", "", "<sip:old@h>;expires=0" + x + one + ", <sip:new@h>" + x + one, "sip:new@h 60"},
		{"new, old, bound at a third", "<sip:3@h>" + x + one, "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"new, old with another reg-id", "<sip:old@h>" + x + one, "<sip:new@h>" + x + two + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"old, new with another reg-id", "<sip:old@h>" + x + one, "<sip:old@h>;expires=0" + x + one + ", <sip:new@h>" + x + two, "sip:new@h 60"},
		{"new, old without reg-id", "<sip:old@h>", "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0", "sip:new@h 60"},
		{"new, old that was bound without reg-id", "<sip:old@h>", "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"new, old without instances", "<sip:old@h>", "<sip:new@h>, <sip:old@h>;expires=0", "sip:new@h 60"},
		{"new, old, old", "<sip:old@h>" + x + one, "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"another instance stays", "<sip:o@h>" + y + one, "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:o@h 60, sip:new@h 60"},
		{"new again, old", "<sip:new@h>" + x + one, "<sip:new@h>" + x + one + ", <sip:old@h>;expires=0" + x + one, "sip:new@h 60"},
		{"two old ones removed", "<sip:o@h>" + x + one, "<sip:1@h>;expires=0" + x + one + ", <sip:2@h>;expires=0" + x + one, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, k, now := newTable(Settings{})
			for i, c := range strings.Split(tc.before, ", ") {
				if _, err := register(t, l, "a", uint32(i), 60, strings.Fields(c)...); err != nil {
					t.Fatal(err)
				}
			}
			bs, err := register(t, l, "a", 9, 60, tc.contacts)
			got := contacts(bs, *now)
			if err != nil {
				if got = err.Error(); contacts(l.Bindings(alice), *now) != strings.Trim(contactsOf(tc.before), " ") {
					t.Errorf("refused, and changed to %s", contacts(l.Bindings(alice), *now))
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			l.flush(t.Context())
			rows := make([]Binding, 0, len(k.rows))
			for _, b := range k.rows {
				rows = append(rows, b)
			}
			if err == nil && (len(rows) != len(bs) || len(bs) == 1 && contacts(rows, *now) != tc.want) {
				t.Errorf("rows %s", contacts(rows, *now))
			}
			// The same REGISTER again is out of order for the bindings that the first one made.
			if _, err := register(t, l, "a", 9, 60, tc.contacts); len(bs) == 1 && bs[0].CSeq == 9 && err == nil {
				t.Error("it is accepted twice")
			}
		})
	}
}

// contactsOf returns contacts without parameters, as bound for a minute.
func contactsOf(before string) string {
	if before == "" {
		return ""
	}
	uri, _, _ := strings.Cut(strings.TrimPrefix(before, "<"), ">")
	return uri + " 60"
}

// The 200 has exactly the granted time, however long the store took. A client that asks for
// the time that it got never asks for less.
func TestGrantedTimeIsExact(t *testing.T) {
	l, _, now := newTable(Settings{Min: time.Minute, Max: time.Hour})
	for _, tc := range []struct{ asked, granted int }{
		{1, 60}, {30, 60}, {59, 60}, {60, 60}, {61, 61}, {180, 180}, {3599, 3599}, {3600, 3600}, {3601, 3600}, {1<<32 - 1, 3600}, {-1, 3600},
	} {
		*now = now.Add(time.Second)
		asked := tc.asked
		for seq := range uint32(7) {
			bs, err := register(t, l, fmt.Sprint(tc.asked), seq, asked, "<sip:1@h>")
			if err != nil {
				t.Fatal(err)
			}
			c, err := sip.ParseNameAddr(bs[0].ContactValue(bs[0].Modified))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := c.Params.Get("expires")
			if text != fmt.Sprint(tc.granted) {
				t.Fatalf("asked for %d: granted %s, want %d", tc.asked, text, tc.granted)
			}
			asked = tc.granted
			*now = now.Add(time.Duration(seq) * 333 * time.Millisecond)
		}
	}
	bs := l.Bindings(alice)
	for left, want := range map[time.Duration]string{
		60 * time.Second: "60", 59_800 * time.Millisecond: "60", 59_400 * time.Millisecond: "59", 0: "0", -time.Second: "0",
	} {
		if v := bs[0].ContactValue(bs[0].Expires.Add(-left)); !strings.HasSuffix(v, ";expires="+want) {
			t.Errorf("%v left: %s", left, v)
		}
	}
}
