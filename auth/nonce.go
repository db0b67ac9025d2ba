package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"silod/limit"
)

// A nonce is base64 of these fields, together a multiple of three bytes:
//
//	 4 bytes  random number of the process
//	 6 bytes  microseconds since the process started, each in one nonce only
//	 6 bytes  milliseconds since 1970
//	 8 bytes  limit.Network that it was made for
//	12 bytes  HMAC-SHA256 of the fields before it and the realm
//
// The process knows the age of its own nonces whatever happens to the clock of the system.
// The time of day is for other nodes with the same secret, and for the next process.
const (
	processLen = 4
	idLen      = 16
	plainLen   = idLen + len(limit.Network{})
	nonceLen   = plainLen + 12
)

// A nonceID identifies a nonce: the fields before the network.
type nonceID [idLen]byte

// A nonce is the content of a nonce.
type nonce struct {
	id     nonceID
	own    bool          // of this process
	age    time.Duration // may be negative
	source limit.Network
}

// serial returns a number that is larger for a later nonce of the same process, and for a
// later one of other processes as far as their clocks agree.
func (n *nonce) serial() uint64 {
	if n.own {
		return uint48(n.id[processLen:])
	}
	return uint48(n.id[processLen+6:])
}

// A nonceSource makes nonces and recognizes its own.
type nonceSource struct {
	key     []byte
	now     func() time.Time
	clock   *clock
	process [processLen]byte
}

func newNonceSource(key []byte, now func() time.Time) nonceSource {
	s := nonceSource{key: key, now: now, clock: newClock(now)}
	_, _ = rand.Read(s.process[:]) // never fails
	return s
}

// issue returns a new nonce and its identifier.
func (s *nonceSource) issue(realm string, source limit.Network) (string, nonceID) {
	b := make([]byte, processLen, nonceLen)
	copy(b, s.process[:])
	b = appendUint48(b, uint64(s.clock.tick()))
	b = appendUint48(b, uint64(s.now().UnixMilli()))
	b = append(b, source[:]...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b, realm)...)), nonceID(b)
}

// read returns the content of a nonce, and reports whether issue made it for this realm.
func (s *nonceSource) read(text, realm string) (n nonce, ours bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(nonceLen) {
		return nonce{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !hmac.Equal(s.mac(b[:plainLen], realm), b[plainLen:]) {
		return nonce{}, false
	}
	n = nonce{id: nonceID(b), own: [processLen]byte(b) == s.process, source: limit.Network(b[idLen:plainLen])}
	if n.own {
		n.age = s.clock.elapsed() - time.Duration(n.serial())*time.Microsecond
	} else {
		n.age = s.now().Sub(time.UnixMilli(int64(n.serial())))
	}
	return n, true
}

func (s *nonceSource) mac(plain []byte, realm string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(plain)
	h.Write([]byte(realm))
	return h.Sum(nil)[:nonceLen-plainLen]
}

func appendUint48(b []byte, n uint64) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(n>>32)), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func uint48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}
