package transport

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// credits prevent the use of this server for amplification: the source address of a
// datagram may be forged, so it is not sent more bytes than came from it. An answer that is
// larger than its request is held back until retransmissions make up for it. A client
// retransmits its request after half a second (Timer E).
//
// The size of credits is fixed: source addresses share buckets by their hash.
type credits struct {
	seed    maphash.Seed
	buckets [creditBuckets]atomic.Int64 // bytes received minus bytes sent
}

const creditBuckets = 1 << 14

// allow reports whether an answer to a request from a may be sent, given their sizes in
// bytes. If not, the size of the request is added to the bucket. A bucket never exceeds the
// size of the largest answer.
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
