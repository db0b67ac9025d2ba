package limit

import (
	"strconv"
	"testing"
)

func TestCrowd(t *testing.T) {
	c := NewCrowd[string](3)
	for i := range 5 {
		if got := c.Enter("bob"); got != (i < 3) {
			t.Errorf("%d: %v", i, got)
		}
	}
	kept := 0
	for i := range 100 { // of which a few may share the bound of bob
		if k := strconv.Itoa(i); c.Enter(k) {
			c.Leave(k)
			kept++
		}
	}
	if kept < 95 {
		t.Errorf("only %d of 100 other keys are admitted", kept)
	}
	c.Leave("bob")
	if !c.Enter("bob") || c.Enter("bob") {
		t.Error("after one has left, exactly one more is admitted")
	}
}

func BenchmarkCrowd(b *testing.B) {
	c := NewCrowd[[2]string](512)
	k := [2]string{"bob", "example.org"}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c.Enter(k) {
				c.Leave(k)
			}
		}
	})
}
