package transaction

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
)

// magicCookie is the start of each unique branch (RFC 3261 section 8.1.1.7).
const magicCookie = "z9hG4bK"

// tokens generates texts that are unique and cannot be guessed: a counter followed by its
// hash with a secret seed. That needs no system call.
var tokens = struct {
	count *atomic.Uint64
	seed  maphash.Seed
}{randomCounter(), maphash.MakeSeed()}

// randomCounter returns a counter that starts at a random number, so that it differs from
// those of other processes.
func randomCounter() *atomic.Uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	n := new(atomic.Uint64)
	n.Store(binary.BigEndian.Uint64(b[:]))
	return n
}

var base32Low = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newBranch returns a unique branch. It ends in a loop mark, unless that is "".
func newBranch(mark string) string {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:], tokens.count.Add(1))
	binary.BigEndian.PutUint64(n[8:], maphash.Bytes(tokens.seed, n[:8]))
	b := make([]byte, 0, 48)
	b = append(b, magicCookie...)
	b = base32Low.AppendEncode(b, n[3:])
	if mark != "" {
		b = append(append(b, '.'), mark...)
	}
	return string(b)
}

// NewToken returns a text that is unique and cannot be guessed, for a Call-ID or a tag.
func NewToken() string { return newBranch("")[len(magicCookie):] }
