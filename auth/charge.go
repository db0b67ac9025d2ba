package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"silod/limit"
	"silod/sip"
)

// A pair is a user and a network from which there are logins as that user.
type pair struct {
	user   sip.AoR
	source limit.Network
}

// A failure describes a failed login.
type failure struct {
	// source is the network that received the nonce. It cannot be forged, as the source of a
	// datagram can. It is invalid for a nonce that a trusted proxy asked for.
	source limit.Network

	familiar bool // the user has logged in from the source lately
	repeated bool // the login is part of one that was counted: see tries
	first    bool // no failure of this user from this source is remembered
}

// A charge says against which counts a failed login counts.
type charge struct {
	pair   bool // the user at the source
	source bool // the source, where the users with failures are counted and not the failures
	user   bool // the user, whatever the source
}

// chargeOf decides against which counts a failed login counts. One phone with a wrong password is
// banned alone, and not the network that has one address for it and others. A scanner fails with
// many users, and is banned as a source. If there are guesses at one user from many sources, only
// logins at sources that are new to the user are delayed, and no device that is in use is shut out.
func chargeOf(f failure) charge {
	if !f.source.IsValid() || f.repeated {
		return charge{}
	}
	return charge{pair: true, source: f.first && !f.familiar, user: !f.familiar}
}

// A standing describes a login before its password is tested.
type standing struct {
	pairBanned, sourceBanned time.Duration // what is left of the ban of the pair, and of the source
	userFull                 time.Duration // time until another failure of the user is permitted
	familiar                 bool          // the user has logged in from the source lately
	connected                bool          // the user has logged in over the same flow
}

// decide returns whether the password is tested, and if not, the time until it may be. Guesses of
// others behind the same address do not shut out a device that is connected.
func (s standing) decide() (outcome Outcome, wait time.Duration) {
	switch {
	case s.connected:
		return Accepted, 0
	case s.pairBanned > 0:
		return Banned, s.pairBanned
	case s.familiar:
		return Accepted, 0
	case s.sourceBanned > 0:
		return Banned, s.sourceBanned
	case s.userFull > 0:
		return Delayed, s.userFull
	}
	return Accepted, 0
}

// maxCounted is the length of the longest user name that is remembered as it is.
const maxCounted = 128

// counted returns a user as the key of a count. The names of unknown users have any length.
func counted(user sip.AoR) sip.AoR {
	if len(user.User)+len(user.Domain) <= maxCounted {
		return user
	}
	h := sha256.Sum256([]byte(user.String()))
	return sip.AoR{User: "sha-256-" + hex.EncodeToString(h[:8]), Domain: "invalid"}
}

// tries remembers the last failures with each nonce, so that one login counts once: a client that
// supports several algorithms tries each, and a request without an answer is sent again.
type tries struct{ nonces *limit.Table[nonceID, try] }

// A try has the failed responses to one nonce.
type try struct {
	last   [len(algorithms)][8]byte // the beginning of the last response with each algorithm
	linked bool                     // the nonce continues a login that failed
	at     time.Time
}

func newTries(capacity int, start time.Time) tries {
	return tries{limit.NewTable[nonceID](capacity, func(t *try, _ time.Time) float64 { return t.at.Sub(start).Seconds() })}
}

// repeated notes a failed response and reports whether it belongs to a login of which a failure is
// noted: it is the same again, or the first with another algorithm.
func (t tries) repeated(id nonceID, alg Algorithm, response string, now time.Time) (repeated bool) {
	var short, none [8]byte
	h := sha256.Sum256([]byte(response))
	copy(short[:], h[:])
	t.nonces.Update(id, now, func(x *try) {
		last := &x.last[slices.Index(algorithms[:], alg)]
		repeated = *last == short || *last == none && (x.linked || *x != try{at: x.at})
		*last, x.at = short, now
	})
	return repeated
}

// link notes that a nonce continues a login that failed.
func (t tries) link(id nonceID, now time.Time) {
	t.nonces.Update(id, now, func(x *try) { x.linked, x.at = true, now })
}
