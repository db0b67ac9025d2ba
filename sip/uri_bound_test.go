package sip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestURIEqualIsLinear compares URIs of many parameters. Four times as many may take at most
// some four times as long.
func TestURIEqualIsLinear(t *testing.T) {
	of := func(n int) (URI, URI) {
		var a, b strings.Builder
		a.WriteString("sip:bob@example.org")
		b.WriteString("sip:bob@example.org")
		for i := range n {
			fmt.Fprintf(&a, ";p%d=%d", i, i)
			fmt.Fprintf(&b, ";p%d=%d", n-1-i, n-1-i)
		}
		return mustURI(t, a.String()), mustURI(t, b.String())
	}
	took := func(n int) time.Duration {
		a, b := of(n)
		best := time.Hour
		for range 5 {
			start := time.Now()
			if !a.Equal(b) || !b.Equal(a) {
				t.Fatal("equal URIs differ")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	small, large := took(1500), took(6000)
	if large > 10*small {
		t.Errorf("1500 parameters take %v, 6000 take %v", small, large)
	}
}

// TestURIEqualOfManyParameters holds the comparison of long lists to the rules of short ones.
func TestURIEqualOfManyParameters(t *testing.T) {
	long := "sip:bob@example.org"
	for i := range 2 * maxScanned {
		long += fmt.Sprintf(";p%d=%d", i, i)
	}
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{"", "", true},
		{";X=1", ";x=1", true},
		{";x=a", ";x=A", true},
		{";x=%41", ";x=a", true},
		{";x=1", ";x=2", false},
		{";x=1", "", true},
		{";transport=tcp", "", false},
		{"", ";Transport=tcp", false},
		{";x=1;x=2", ";x=1", false}, // the first counts, and the second must equal it
		{";p1=1", ";p1=1", true},
	} {
		if got := mustURI(t, long+c.a).Equal(mustURI(t, long+c.b)); got != c.equal {
			t.Errorf("Equal(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func mustURI(t *testing.T, s string) URI {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
