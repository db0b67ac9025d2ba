package stack

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// credits make sure that a source of datagrams whom nobody knows, which may be a
// victim's forged address, is never sent more bytes than came from it. An answer that
// is larger than its request waits until requests that were not answered make up for it.
// A client that is so terse repeats its request after half a second (Timer E), and that
// copy is answered.
//
// Their size is fixed, as that of sourceLimiter: sources share them by a hash.
type credits struct {
	seed    maphash.Seed
	buckets [creditBuckets]atomic.Int64 // bytes received that were not answered
}

const creditBuckets = 1 << 14

// covers tells whether a source may be sent an answer to a request, by their sizes.
// What is not spent is kept, and never grows beyond the largest answer.
func (c *credits) covers(a netip.Addr, request, answer int) bool {
	b := &c.buckets[maphash.Comparable(c.seed, a)%creditBuckets]
	for {
		old := b.Load()
		left := old + int64(request) - int64(answer)
		enough := left >= 0
		if !enough {
			left = old + int64(request)
		}
		if b.CompareAndSwap(old, left) {
			return enough
		}
	}
}
