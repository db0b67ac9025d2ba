package imc

import (
	"cmp"
	"container/heap"
	"iter"
	"strings"
)

// sorted gives all rooms, closed ones among them, by their URI. Each is found when it
// is asked for: to sort a hundred thousand at once would keep a processor from those
// who speak.
func (s *Service) sorted() iter.Seq[*room] {
	return func(yield func(*room) bool) {
		h := byURI(s.all())
		heap.Init(&h)
		for len(h) > 0 && yield(heap.Pop(&h).(*room)) {
		}
	}
}

// byURI is a heap.
type byURI []*room

func (h byURI) Len() int      { return len(h) }
func (h byURI) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h byURI) Less(i, j int) bool {
	a, b := h[i].name, h[j].name
	return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.User, b.User)) < 0
}

// Push is never called: nothing is added to what is being listed.
func (h *byURI) Push(r any) { *h = append(*h, r.(*room)) }

// Pop takes the last one, where package heap has put the least.
func (h *byURI) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
