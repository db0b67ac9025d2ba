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
//	 8 bytes  microseconds since 1970
//	 8 bytes  random
//	 8 bytes  limit.Network that it was made for
//	12 bytes  HMAC-SHA256 of the fields before it and the realm
//
// The random bytes distinguish nonces of one microsecond and of different nodes.
const (
	idLen    = 16
	plainLen = idLen + len(limit.Network{})
	nonceLen = plainLen + 12
)

// A nonceID identifies a nonce: its time and its random bytes.
type nonceID [idLen]byte

// A nonce is the content of a nonce.
type nonce struct {
	id     nonceID
	issued time.Time
	source limit.Network
}

// A nonceSource makes nonces and recognizes its own.
type nonceSource struct {
	key []byte
	now func() time.Time
}

// issue returns a new nonce.
func (s *nonceSource) issue(realm string, source limit.Network) string {
	b := make([]byte, plainLen, nonceLen)
	binary.BigEndian.PutUint64(b, uint64(s.now().UnixMicro()))
	_, _ = rand.Read(b[8:idLen]) // never fails
	copy(b[idLen:], source[:])
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b, realm)...))
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
	return nonce{
		id:     nonceID(b),
		issued: time.UnixMicro(int64(binary.BigEndian.Uint64(b))),
		source: limit.Network(b[idLen:plainLen]),
	}, true
}

func (s *nonceSource) mac(plain []byte, realm string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(plain)
	h.Write([]byte(realm))
	return h.Sum(nil)[:nonceLen-plainLen]
}
