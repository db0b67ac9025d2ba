package proxy

import "silod/sip/transaction"

// hop returns the values of the hop to the device of an attempt. Every device has the same
// share of Max-Breadth, and the first ones have one more if something is left. If there are
// more devices than Max-Breadth, each has a share of 1 and they are tried one after the other
// (RFC 5393 section 5.3.3).
func (k *Fork) hop(a *attempt) hop {
	h := hop{maxForwards: k.opt.MaxForwards, breadth: k.opt.Breadth, marks: k.mark}
	if n := len(k.attempts); n > 1 {
		share, left := h.breadth/n, h.breadth%n
		for i := range left {
			if a == &k.attempts[i] {
				share++
			}
		}
		h.breadth = max(1, share)
	}
	if k.opt.FromRoom {
		h.marks += ", " + transaction.RoomMark
	}
	return h
}
