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

// A nonce is base64 of these, a multiple of three bytes:
//
//	 8 bytes  microseconds since 1970
//	 8 bytes  random
//	 8 bytes  the network that it was made for
//	12 bytes  HMAC-SHA256 of all that and the realm
//
// The random bytes make the nonces of different nodes different, and those of one
// microsecond.
const (
	idLen    = 16
	plainLen = idLen + len(limit.Network{})
	nonceLen = plainLen + 12
)

// nonceID tells one nonce from all others.
type nonceID [idLen]byte

// nonce is what a nonce says.
type nonce struct {
	id     nonceID
	issued time.Time
	source limit.Network
}

// mint makes nonces, and knows those that it made.
type mint struct {
	key []byte
	now func() time.Time
}

func (m *mint) issue(realm string, source limit.Network) string {
	b := make([]byte, plainLen, nonceLen)
	binary.BigEndian.PutUint64(b, uint64(m.now().UnixMicro()))
	_, _ = rand.Read(b[8:idLen]) // never fails
	copy(b[idLen:], source[:])
	return base64.RawURLEncoding.EncodeToString(append(b, m.mac(b, realm)...))
}

// read tells whether text is a nonce of ours for this realm, and what it says.
func (m *mint) read(text, realm string) (n nonce, ours bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(nonceLen) {
		return nonce{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !hmac.Equal(m.mac(b[:plainLen], realm), b[plainLen:]) {
		return nonce{}, false
	}
	return nonce{
		id:     nonceID(b),
		issued: time.UnixMicro(int64(binary.BigEndian.Uint64(b))),
		source: limit.Network(b[idLen:plainLen]),
	}, true
}

func (m *mint) mac(plain []byte, realm string) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(plain)
	h.Write([]byte(realm))
	return h.Sum(nil)[:nonceLen-plainLen]
}
