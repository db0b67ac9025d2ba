package load

import "testing"

func TestLedger(t *testing.T) {
	l := NewLedger(2)
	for _, e := range []struct {
		box, number int
		branch      string
		first       bool
	}{
		{0, 0, "a", true},
		{0, 2, "b", true},
		{0, 1, "c", true},  // out of order
		{0, 1, "c", false}, // retransmitted
		{0, 0, "d", false}, // repeated
		{0, 3, "e", true},
		{1, 7, "f", true}, // a gap is no disorder
		{2, 0, "g", false},
		{1, maxNumber + 1, "h", false},
	} {
		if got := l.Enter(e.box, e.number, []byte(e.branch)); got != e.first {
			t.Errorf("message %d/%d by %s: first is %v", e.box, e.number, e.branch, got)
		}
	}
	l.Stray()
	want := Totals{Arrived: 5, Disordered: 1, Repeated: 1, Retransmitted: 1, Unknown: 3}
	got := l.Totals()
	if got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
	if got.Sub(want); got != (Totals{}) {
		t.Errorf("difference %+v", got)
	}
}

func TestMark(t *testing.T) {
	for _, tt := range []struct {
		body        string
		box, number int
		ok          bool
	}{
		{string(Mark([]byte("[Offline message - Sun Nov 22 00:10:11 2026] "), 12, 345)) + "padding~", 12, 345, true},
		{"~1/2~", 1, 2, true},
		{"no mark", 0, 0, false},
		{"~1/2", 0, 0, false},
		{"~12~", 0, 0, false},
		{"~a/2~", 0, 0, false},
		{"~-1/2~", 0, 0, false},
	} {
		box, number, ok := ReadMark([]byte(tt.body))
		if ok != tt.ok || ok && (box != tt.box || number != tt.number) {
			t.Errorf("mark of %q is %d/%d, %v", tt.body, box, number, ok)
		}
	}
}
