package transaction

import (
	"encoding/binary"
	"hash/maphash"

	"silod/sip"
)

// A txID identifies a server transaction, and the request of which it is a copy.
type txID struct {
	key   txKey
	merge uint64 // equal for copies of one request that came by different paths
}

// A txKey identifies a server transaction (RFC 3261 section 17.2.3). It is a hash of branch,
// sent-by and method and, because some clients reuse branches, also of source, Call-ID,
// From, CSeq, Request-URI, credentials and body. For example, BitlBee repeats all but the
// body after a restart.
type txKey [16]byte

// txSeeds are secret and differ in each process, so that a client cannot create a collision
// with another client's transaction. The last one is for merge keys.
var txSeeds = [3]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed()}

// setID sets the ID. The merge key is a hash of From with its tag, Call-ID, CSeq and
// Request-URI (RFC 3261 section 8.2.2.2), and of source address and body. These two
// distinguish clients with unseeded random numbers, which generate equal identifiers.
// Copies that a forking proxy sends have one source address. Everything in the merge key is
// also in the transaction's key.
func (tx *ServerTx) setID(f *sip.Fields) {
	b := make([]byte, 0, 512)
	add := func(s string) { b = append(append(b, s...), 0) }
	for _, s := range [...]string{tx.Request.Method, tx.Request.URI, f.From, f.CallID, f.CSeq, tx.Request.Via.Host} {
		add(s)
	}
	addr := tx.Flow.Remote.Addr().As16()
	b = append(b, addr[:]...)
	b = binary.BigEndian.AppendUint64(b, maphash.Bytes(txSeeds[2], tx.Request.Body))
	tx.id.merge = maphash.Bytes(txSeeds[2], b)
	for _, s := range [...]string{tx.Request.Via.Branch(), f.Authorization, f.ProxyAuthorization, tx.Flow.Transport.String()} {
		add(s)
	}
	b = binary.BigEndian.AppendUint16(b, tx.Flow.Remote.Port())
	b = binary.BigEndian.AppendUint16(b, tx.Request.Via.Port)
	b = binary.BigEndian.AppendUint64(b, tx.Flow.Conn)
	for i, seed := range txSeeds[:2] {
		binary.BigEndian.PutUint64(tx.id.key[8*i:], maphash.Bytes(seed, b))
	}
}
