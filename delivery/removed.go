package delivery

import "hash/maphash"

// maxRemoved is the number of items in each of the two sets of a removedItems.
const maxRemoved = 32_768

// removedItems are the delivered items of a queue that were removed last, at least
// maxRemoved of them. A Source may return one again: a read may come from a server that
// does not know the removal yet, and a standby that has become the primary may never have
// received it. Such an item is not sent, but removed again.
//
// An item is a hash of its recipient, key and identification: the Source may give the key of a
// removed item to another one. There are two sets, and the older one is dropped when the newer
// one is full.
type removedItems struct {
	seed         maphash.Seed
	newer, older map[uint64]struct{}
}

func newRemovedItems() removedItems {
	return removedItems{seed: maphash.MakeSeed(), newer: make(map[uint64]struct{})}
}

// hash returns the hash of an item for a recipient.
func (r *removedItems) hash(to *recipientKey, it *Item) uint64 {
	return maphash.Comparable(r.seed, struct {
		user, domain, device, callID string
		key, expires                 int64
		cseq                         uint32
	}{to.User, to.Domain, to.device, it.CallID, it.Key, it.Expires.Unix(), it.CSeq})
}

// add adds an item by its hash.
func (r *removedItems) add(hash uint64) {
	if len(r.newer) >= maxRemoved {
		r.newer, r.older = r.older, r.newer
		clear(r.newer)
		if r.newer == nil {
			r.newer = make(map[uint64]struct{})
		}
	}
	r.newer[hash] = struct{}{}
}

func (r *removedItems) has(hash uint64) bool {
	_, newer := r.newer[hash]
	if newer {
		return true
	}
	_, older := r.older[hash]
	return older
}
