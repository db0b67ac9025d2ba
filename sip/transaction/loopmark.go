package transaction

import (
	"encoding/binary"
	"hash/maphash"
	"strings"

	"silod/sip"
)

// A loop mark names the recipient of a MESSAGE that silod sends. It stands in the branch of
// our Via (RFC 3261 section 16.6, item 8) and in a header field, which is left if a proxy
// hides or removes the Via: RFC 3261 section 16.6, item 1, does not let a proxy remove fields
// that it does not know.
//
// The mark of a user of this server is a hash without a secret, so that it is recognised after
// a restart and by other servers for the same domain. Forging one only makes the message of
// the forger a loop. The mark of a user of another domain is known to this process only,
// because the server of that domain may be silod too.

// LoopMarkField is the name of the header field with loop marks. Each server adds its own.
const LoopMarkField = "Loop-Mark"

// The first letter of a loop mark.
const (
	markOurs      = 'u' // of a user of this server
	markElsewhere = 'x' // of a user of another domain
)

// RoomMark is a value of the field LoopMarkField: the message is the text of a room.
const RoomMark = "room"

// LoopMark returns the loop mark of a recipient. ours reports whether it is a user of this
// server.
func LoopMark(recipient sip.AoR, ours bool) string {
	var buf [16]byte
	return string(appendLoopMark(buf[:0], recipient, ours))
}

func appendLoopMark(b []byte, recipient sip.AoR, ours bool) []byte {
	var n [8]byte
	if ours {
		b = append(b, markOurs)
		binary.BigEndian.PutUint64(n[:], fixedHash(recipient))
	} else {
		b = append(b, markElsewhere)
		binary.BigEndian.PutUint64(n[:], maphash.Comparable(tokens.seed, recipient))
	}
	return base32Low.AppendEncode(b, n[:5])
}

// fixedHash returns the hash of an AoR by FNV-1a, the same in every process. Its bits are
// mixed, because a mark has the first 40 of them only.
func fixedHash(a sip.AoR) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(a.User) {
		h = (h ^ uint64(a.User[i])) * prime
	}
	h = (h ^ '@') * prime
	for i := range len(a.Domain) {
		h = (h ^ uint64(a.Domain[i])) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// Looped reports whether the request has been sent to a recipient before (RFC 3261 section
// 16.3, item 4): by this process, or, if the recipient is a user of this server, by any server
// for its domain. A request that returns for another recipient is a spiral, which is allowed.
func (tx *ServerTx) Looped(recipient sip.AoR, ours bool) bool {
	var buf [16]byte
	mark := string(appendLoopMark(buf[:0], recipient, ours))
	for i := range tx.Request.Headers {
		switch h := &tx.Request.Headers[i]; h.Name {
		case "Via", LoopMarkField:
			if strings.Contains(h.Value, mark) {
				return true
			}
		}
	}
	return false
}

// Redirected reports whether the request was sent by a server to one of its users before, or
// is the text of a room.
func (tx *ServerTx) Redirected() bool {
	for i := range tx.Request.Headers {
		switch h := &tx.Request.Headers[i]; h.Name {
		case "Via":
			if hasUserMark(h.Value) {
				return true
			}
		case LoopMarkField:
			for mark := range strings.SplitSeq(h.Value, ",") {
				if mark = strings.TrimSpace(mark); mark == RoomMark || mark != "" && mark[0] == markOurs {
					return true
				}
			}
		}
	}
	return false
}

// hasUserMark reports whether a Via has a branch as newBranch returns it, with the mark of a
// user.
func hasUserMark(via string) bool {
	const random = 21 // characters between the cookie and the dot
	_, branch, ok := strings.Cut(via, "branch="+magicCookie)
	return ok && len(branch) > random+1 && branch[random] == '.' && branch[random+1] == markOurs
}
