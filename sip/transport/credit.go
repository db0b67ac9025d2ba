package transport

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"silod/limit"
)

// credits prevent the use of this server for amplification. The source address of a datagram
// may be forged, so in the long run it is not sent more bytes than came from it. To let the
// answers to the first requests of a client leave at once, each source may be sent some bytes
// more, and all sources together. An answer beyond that is held back until retransmissions
// make up for it. A client retransmits its request after half a second (Timer E).
//
// A source that has answered a challenge has received it. For provenTime it is sent up to
// maxFactor times as many bytes as each request has (as in RFC 9000 section 8.1).
//
// The size of credits is fixed: sources share buckets by their hash.
type credits struct {
	seed    maphash.Seed
	start   time.Time
	buckets [creditBuckets]creditBucket
	all     pacer // as free, of all buckets
	proven  *limit.Table[limit.Network, provenUntil]
}

type creditBucket struct {
	earned atomic.Int64 // bytes of requests without an answer
	free   pacer        // of bytes that were sent and not earned
}

// provenUntil is the end of the time for which a source is proven, since the start.
type provenUntil time.Duration

const (
	creditBuckets = 1 << 14

	freeBurst    = 4096      // bytes to one source: about 16 challenges
	freeRate     = 64        // bytes to one source in a second
	freeAllBurst = 128 << 10 // bytes to all sources: about 500 challenges
	freeAllRate  = 64 << 10  // bytes to all sources in a second

	maxProven  = 1 << 15 // sources
	provenTime = 10 * time.Minute
	maxFactor  = 3
)

func newCredits() *credits {
	worth := func(until *provenUntil, _ time.Time) float64 { return float64(*until) }
	return &credits{
		seed: maphash.MakeSeed(), start: time.Now(), proven: limit.NewTable[limit.Network](maxProven, worth),
	}
}

func (c *credits) bucket(n limit.Network) *creditBucket {
	return &c.buckets[maphash.Comparable(c.seed, n)%creditBuckets]
}

// allow reports whether an answer to a request from a may be sent, given their sizes in
// bytes, and counts the answer if so.
func (c *credits) allow(a netip.Addr, request, answer int, now time.Time) bool {
	excess, n, elapsed := int64(answer-request), limit.NetworkOf(a), now.Sub(c.start)
	if excess <= 0 || answer <= maxFactor*request && c.isProven(n, elapsed) {
		return true
	}
	b := c.bucket(n)
	if b.spend(excess) {
		return true
	}
	one, all := time.Duration(excess)*time.Second/freeRate, time.Duration(excess)*time.Second/freeAllRate
	if b.free.count(elapsed, one, freeBurst*time.Second/freeRate, 0) > 0 {
		return false
	}
	if c.all.count(elapsed, all, freeAllBurst*time.Second/freeAllRate, 0) > 0 {
		b.free.uncount(one)
		return false
	}
	return true
}

// spend reports whether so many bytes have been earned, and subtracts them if so.
func (b *creditBucket) spend(n int64) bool {
	for {
		old := b.earned.Load()
		if old < n {
			return false
		}
		if b.earned.CompareAndSwap(old, old-n) {
			return true
		}
	}
}

// earn adds the size of a request without an answer. A bucket hardly exceeds the size of the
// largest answer, because that is then sent.
func (c *credits) earn(a netip.Addr, request int) {
	c.bucket(limit.NetworkOf(a)).earned.Add(int64(request))
}

// prove notes that a source has answered a challenge.
func (c *credits) prove(a netip.Addr, now time.Time) {
	until := provenUntil(now.Sub(c.start) + provenTime)
	c.proven.Update(limit.NetworkOf(a), now, func(u *provenUntil) { *u = until })
}

func (c *credits) isProven(n limit.Network, elapsed time.Duration) (proven bool) {
	c.proven.Find(n, func(until *provenUntil) { proven = elapsed < time.Duration(*until) })
	return proven
}
