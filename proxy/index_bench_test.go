package proxy

import (
	"testing"
)

// BenchmarkForkIndex measures the cost of finding a Fork by its recipient, for each message.
func BenchmarkForkIndex(b *testing.B) {
	p := New(Options{}, Settings{})
	bob := user("bob")
	k := &Fork{proxy: p, opt: ForkOptions{Recipient: bob}}
	for b.Loop() {
		if p.Changes(bob) != p.forks.add(k) {
			b.Fatal("changed")
		}
		k.remove()
	}
}
