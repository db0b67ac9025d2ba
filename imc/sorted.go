package imc

import (
	"cmp"
	"container/heap"
	"iter"
	"strings"
)

// sortedRooms returns all rooms, including closed ones, in the order of their names.
// They are sorted step by step, as they are asked for: sorting a hundred thousand at
// once would delay messages.
func (s *Service) sortedRooms() iter.Seq[*room] {
	return func(yield func(*room) bool) {
		h := roomHeap(s.allRooms())
		heap.Init(&h)
		for len(h) > 0 && yield(heap.Pop(&h).(*room)) {
		}
	}
}

// A roomHeap implements heap.Interface; the least name comes first.
type roomHeap []*room

func (h roomHeap) Len() int      { return len(h) }
func (h roomHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h roomHeap) Less(i, j int) bool {
	a, b := h[i].name, h[j].name
	return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.User, b.User)) < 0
}

// Push is part of heap.Interface and not used.
func (h *roomHeap) Push(r any) { *h = append(*h, r.(*room)) }

// Pop removes and returns the last element, as heap.Interface requires.
func (h *roomHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
