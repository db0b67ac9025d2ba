package silo

import "silod/im"

// A Usage is a number of messages and their size. As a limit, 0 is no limit.
type Usage struct{ Messages, Bytes int64 }

// Overhead is the size of a stored message beside its body and header fields.
const Overhead = 200

// Size returns the size of a message in the store, roughly. The parts of the message that a
// sender chooses count.
func Size(m *im.Message) int64 {
	n := Overhead + len(m.Body) + len(m.From) + len(m.To) + len(m.CallID)
	for i := range m.Headers {
		n += m.Headers[i].Size()
	}
	return int64(n)
}

// admits reports whether a limit permits another message of a size beside those of used.
func (u Usage) admits(used Usage, bytes int64) bool {
	return (u.Messages == 0 || used.Messages < u.Messages) && (u.Bytes == 0 || used.Bytes+bytes <= u.Bytes)
}

// unlimited reports whether u is no limit.
func (u Usage) unlimited() bool { return u == Usage{} }

// plus returns the usage with n messages more, which have a size together. n may be below 0.
func (u Usage) plus(n, bytes int64) Usage {
	return Usage{max(0, u.Messages+n), max(0, u.Bytes+bytes)}
}
