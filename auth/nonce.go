package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"
)

// network is the part of an address that one customer has: all of an IPv4 address,
// the upper half of an IPv6 one, since the lower is anybody's to vary.
type network [8]byte

// nobody is the network of the zero Addr.
var nobody = network{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func networkOf(addr netip.Addr) network {
	addr = addr.Unmap()
	n := nobody
	switch {
	case addr.Is4():
		// What begins so is multicast in IPv6, and never a source.
		b := addr.As4()
		copy(n[4:], b[:])
	case addr.Is6():
		b := addr.As16()
		copy(n[:], b[:])
	}
	return n
}

func (n network) prefix() netip.Prefix {
	if [4]byte(n[:4]) == [4]byte(nobody[:4]) {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(n[4:])), 32)
	}
	var b [16]byte
	copy(b[:], n[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// String is the address, or the IPv6 network with its length.
func (n network) String() string {
	if p := n.prefix(); !p.IsSingleIP() {
		return p.String()
	}
	return n.prefix().Addr().String()
}

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
	plainLen = idLen + len(network{})
	nonceLen = plainLen + 12
)

// nonceID tells one nonce from all others.
type nonceID [idLen]byte

// nonce is what a nonce says.
type nonce struct {
	id     nonceID
	issued time.Time
	source network
}

// mint makes nonces, and knows those that it made.
type mint struct {
	key []byte
	now func() time.Time
}

func (m *mint) issue(realm string, source network) string {
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
		source: network(b[idLen:plainLen]),
	}, true
}

func (m *mint) mac(plain []byte, realm string) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(plain)
	h.Write([]byte(realm))
	return h.Sum(nil)[:nonceLen-plainLen]
}
