package transport

import (
	"cmp"
	"sync"
	"time"
)

// A recent keeps values for a short time after they were found out. Their number is limited.
type recent[K comparable, V any] struct {
	limit int // 0: maxRecent
	mu    sync.Mutex
	known map[K]recentValue[V]
}

// A recentValue is a value with the end of its time.
type recentValue[V any] struct {
	value V
	until time.Time
}

// maxRecent is the maximum number of values that are kept if there is no other limit.
const maxRecent = 4096

// get returns the value of a key, unless its time is over.
func (r *recent[K, V]) get(k K) (v V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known[k]
	if !ok || !time.Now().Before(e.until) {
		return v, false
	}
	return e.value, true
}

// put keeps the value of a key. A full table is emptied, which costs a few lookups.
func (r *recent[K, V]) put(k K, v V, keep time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= cmp.Or(r.limit, maxRecent) {
		r.known = make(map[K]recentValue[V])
	}
	r.known[k] = recentValue[V]{v, time.Now().Add(keep)}
}

// forget removes the value of a key.
func (r *recent[K, V]) forget(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, k)
}
