package transport

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// credits keep an unknown source of datagrams, which may be a victim's forged address, from
// being sent more bytes than came from it. An answer that is larger than its request waits
// until unanswered requests make up for it: a client repeats its request after half a
// second (Timer E), and that copy is answered.
//
// Their size is fixed, as that of packetLimiter: sources share them by a hash.
type credits struct {
	seed    maphash.Seed
	buckets [creditBuckets]atomic.Int64 // bytes received and not spent on answers
}

const creditBuckets = 1 << 14

// allow reports whether a source may be sent an answer to a request, by their sizes. Bytes
// that are not spent are kept, and never grow beyond the largest answer.
func (c *credits) allow(a netip.Addr, request, answer int) bool {
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
