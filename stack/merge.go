package stack

import "hash/maphash"

// mergeSeed is apart from those of txKey, so that the two cannot be confused.
var mergeSeed = maphash.MakeSeed()

// mergeKey is the same for requests that are one request which came by different
// ways: From with its tag, Call-ID, CSeq and Request-URI (RFC 3261 section
// 8.2.2.2). The source and the body are part of it: two clients that make the same
// identifiers, because neither seeds its random numbers, are told apart, and a
// fork's branches come to us from the same proxy.
func (r *Request) mergeKey() uint64 {
	var h maphash.Hash
	h.SetSeed(mergeSeed)
	for _, s := range [...]string{r.Method, r.URI, r.Get("From"), r.Get("Call-ID"), r.Get("CSeq"), r.Via.Host} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	addr := r.Flow.Remote.Addr().As16()
	_, _ = h.Write(addr[:])
	_, _ = h.Write(r.Body)
	return max(1, h.Sum64()) // 0 stands for none
}

// merged tells whether a request is another copy of one that is being worked on;
// one that is not is entered, until unmerge takes it out, which must be before its
// answer leaves: clients use all of these names again to answer a challenge.
func (t *serverTable) merged(key uint64) (dup bool) {
	s := &t.shards[key%serverShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, dup = s.running[key]; !dup {
		s.running[key] = struct{}{}
	}
	return dup
}

func (t *serverTable) unmerge(key uint64) {
	s := &t.shards[key%serverShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, key)
}
