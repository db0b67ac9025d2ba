package proxy

import (
	"bytes"
	"hash/maphash"
	"sync"

	"silod/im"
	"silod/sip"
)

// A forkIndex finds the open Forks to a user, so that a REGISTER can change the course of
// those that wait for a device which is gone. A user is in a bucket by the hash of its AoR;
// a bucket has a list that leads through its Forks, oldest first. Forks that follow no
// registrations are not in it.
type forkIndex struct{ buckets [forkBuckets]forkBucket }

const forkBuckets = 4096

// Lock: mu. No call is made while it is held.
type forkBucket struct {
	mu             sync.Mutex
	oldest, newest *Fork
	changes        uint64 // calls of changed
}

// forkLinks are the part of a Fork that its bucket guards.
type forkLinks struct {
	bucket         *forkBucket // nil: not in the index
	older, younger *Fork
	notice         *notice // of a change that the Fork has not followed yet
}

// A notice tells a Fork that bindings have changed. Forks to one user follow in the order in
// which they were made, so that their messages reach a new device in that order.
type notice struct {
	after <-chan struct{} // closed when the older Fork has followed; nil: there is none
	done  chan struct{}
}

var forkSeed = maphash.MakeSeed()

func (x *forkIndex) bucket(a sip.AoR) *forkBucket {
	return &x.buckets[maphash.Comparable(forkSeed, a)%forkBuckets]
}

// changes returns a number that differs after each call of changed for a.
func (x *forkIndex) changes(a sip.AoR) uint64 {
	b := x.bucket(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changes
}

// changed notifies the Forks to a that its bindings have changed.
func (x *forkIndex) changed(a sip.AoR) {
	b := x.bucket(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	var older *notice
	for k := b.oldest; k != nil; k = k.links.younger {
		if k.opt.Recipient != a {
			continue
		}
		if k.links.notice == nil {
			k.links.notice = &notice{done: make(chan struct{})}
			if older != nil {
				k.links.notice.after = older.done
			}
			k.results <- noticed // there is space: see Fork.results
		}
		older = k.links.notice
	}
}

// underWay reports whether one of the newest open Forks to a user has a message: its copy has
// the same Call-ID, CSeq, From with its tag, and body. Some clients draw all identifiers from an
// unseeded generator, so that only From distinguishes their users.
func (x *forkIndex) underWay(a sip.AoR, m *im.Message) bool {
	b := x.bucket(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for k := b.newest; k != nil && n < maxCompared; k = k.links.older {
		same := !k.opt.probe && k.msg.CSeq == m.CSeq && k.msg.CallID == m.CallID && k.opt.Recipient == a
		if same && bytes.Equal(k.msg.Body, m.Body) && sameSender(k.msg.From, m.From) {
			return true
		}
		n++
	}
	return false
}

// maxCompared limits the Forks that underWay looks at.
const maxCompared = 64

// sameSender reports whether two values of From have the same tag and address.
func sameSender(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := sip.ParseNameAddr(a)
	y, err2 := sip.ParseNameAddr(b)
	return err1 == nil && err2 == nil && x.Tag() == y.Tag() && x.URI.Equal(y.URI)
}

// add adds a Fork, and returns the changes of its recipient's bucket so far.
func (x *forkIndex) add(k *Fork) (changes uint64) {
	b := x.bucket(k.opt.Recipient)
	b.mu.Lock()
	defer b.mu.Unlock()
	k.links.bucket, k.links.older = b, b.newest
	if b.newest == nil {
		b.oldest = k
	} else {
		b.newest.links.younger = k
	}
	b.newest = k
	return b.changes
}

// remove removes a Fork if it is in the index.
func (k *Fork) remove() {
	b := k.links.bucket
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &k.links
	if l.older == nil {
		b.oldest = l.younger
	} else {
		l.older.links.younger = l.younger
	}
	if l.younger == nil {
		b.newest = l.older
	} else {
		l.younger.links.older = l.older
	}
	if l.notice != nil {
		close(l.notice.done)
	}
	*l = forkLinks{}
}

// takeNotice returns the notice that the Fork has received. The caller closes its done.
func (k *Fork) takeNotice() *notice {
	b := k.links.bucket
	b.mu.Lock()
	defer b.mu.Unlock()
	n := k.links.notice
	k.links.notice = nil
	return n
}
