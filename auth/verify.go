package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"silod/limit"
	"silod/sip"
)

// A verification is one call of Authenticator.Verify.
type verification struct {
	auth   *Authenticator
	req    Request
	realm  string
	source limit.Network

	cred  credentials // that were picked
	nonce nonce
	ours  bool // we made the nonce, for this realm
}

// maxCredentials is the number of headers of one request that are read.
const maxCredentials = 8

// pick finds the credentials for the realm: the first with a nonce of ours, else the
// first. Those that are empty do not count. The error is about credentials that cannot be
// read, if there are no others.
func (v *verification) pick() (found bool, unreadable error) {
	for _, value := range v.req.Credentials[:min(len(v.req.Credentials), maxCredentials)] {
		c, err := parseCredentials(value)
		if err != nil {
			unreadable = err
		}
		if c == nil || c.realm != v.realm || c.empty() {
			continue
		}
		n, ours := v.auth.nonces.read(c.nonceText, v.realm)
		if !found || ours {
			v.cred, v.nonce, v.ours, found = *c, n, ours, true
		}
		if ours {
			break
		}
	}
	if found {
		return true, nil
	}
	return false, unreadable
}

// check returns an error if the credentials are malformed, or made for another request.
func (v *verification) check() error {
	switch {
	case v.cred.username == "":
		return errors.New("username is missing")
	case v.cred.uri == "":
		return errors.New("uri is missing")
	}
	if !v.cred.legacy() {
		if v.cred.ncText == "" || v.cred.cnonce == "" {
			return errors.New("qop without nc and cnonce")
		}
		nc, err := parseCount(v.cred.ncText)
		if err != nil {
			return err
		}
		v.cred.nc = nc
	}
	if plain := unescape(v.cred.uri); plain != v.cred.uri && sameTarget(v.auth.opt.Domains, plain, v.req.URI) {
		v.cred.uri = plain // a backslash in a URI is a quoted pair, if the client knows of these
	}
	if !sameTarget(v.auth.opt.Domains, v.cred.uri, v.req.URI) {
		return errors.New("digest uri is of another request")
	}
	return nil
}

// sameTarget reports whether credentials were made for this Request-URI, as far as
// clients permit: RFC 3261 section 22.4 asks for the Request-URI, but some write another
// port or other parameters, and some the address of the server. An answer for one user
// must be of no use with another.
func sameTarget(domains sip.Domains, digest, request string) bool {
	if digest == request {
		return true
	}
	d, err := sip.ParseURI(digest)
	if err != nil || !d.IsSIP() {
		return false
	}
	r, err := sip.ParseURI(request)
	if err != nil || !r.IsSIP() {
		return false
	}
	if d.User == "" || r.User == "" {
		return true
	}
	d.Port, r.Port = 0, 0 // AoR keeps the port of a foreign domain, which may differ here
	of, _ := domains.AoR(d)
	to, _ := domains.AoR(r)
	return of == to
}

// offered reports whether our challenges permit credentials of this kind.
func (v *verification) offered() bool {
	opt := &v.auth.opt
	if v.cred.legacy() {
		return slices.Contains(opt.Algorithms, v.cred.algorithm) && opt.LegacyLife >= 0
	}
	return slices.Contains(opt.Algorithms, v.cred.algorithm) && v.cred.qop == "auth"
}

// fresh reports whether the nonce is ours and may still be used. With any other, no user
// is looked up and no password is tested.
func (v *verification) fresh() bool {
	if !v.ours {
		return false
	}
	opt := &v.auth.opt
	life := opt.Life
	if v.cred.legacy() {
		life = min(life, opt.LegacyLife)
	}
	if v.nonce.age > life || v.nonce.age < -maxClockSkew {
		return false
	}
	// A nonce for which no network is charged must not be used from one that would be.
	if !v.nonce.source.IsValid() && v.source.IsValid() {
		return false
	}
	return !opt.BindSource || v.nonce.source == v.source
}

// maxClockSkew is the largest difference between the clocks of nodes with one secret.
const maxClockSkew = time.Minute

// verify tests the answer to a nonce of ours. Its work, and what a client sees of it, is
// the same for known and unknown users.
func (v *verification) verify(ctx context.Context) (Result, error) {
	stats, bans := &v.auth.Stats, v.auth.opt.Bans
	var buf [2]candidate
	list := appendCandidates(buf[:0], v.auth.opt.Domains, unescape(v.cred.username), v.domain())
	claimed := candidate{user: sip.AoR{User: v.cred.username}}
	if len(list) > 0 {
		claimed = list[len(list)-1]
	}
	user := claimed.user
	if bans != nil {
		if outcome, wait := bans.admit(user, v.nonce.source, v.flow()); outcome != Accepted {
			return Result{Outcome: outcome, Name: v.cred.username, Wait: wait}, nil
		}
	}
	secret, of, known, err := v.lookUp(ctx, list, claimed)
	if err != nil {
		stats.Unavailable.Inc()
		return Result{}, err
	}
	right, usable := secret.proves(&v.cred, of, v.realm, v.req.Method)
	switch {
	case !known:
		stats.Unknown.Inc()
		return v.refuse(UnknownUser, user, true), nil
	case !right:
		stats.Wrong.Inc()
		return v.refuse(WrongPassword, user, usable), nil
	case !v.markUsed():
		stats.Replayed.Inc()
		return v.result(Replayed, []Algorithm{v.cred.algorithm}, true), nil
	}
	stats.Accepted.Inc()
	if bans != nil {
		bans.Remember(of.user, v.flow())
	}
	return Result{Outcome: Accepted, User: of.user, Name: v.cred.username, AtSource: v.nonce.source == v.source}, nil
}

// flow returns the flow of the request if the network at its other end received the nonce, else the
// zero Flow: the source of a datagram may be forged.
func (v *verification) flow() sip.Flow {
	if !v.source.IsValid() || v.nonce.source != v.source {
		return sip.Flow{}
	}
	return v.req.Flow
}

// domain returns the domain of a user name without one.
func (v *verification) domain() string {
	if v.req.Domain != "" {
		return v.req.Domain
	}
	return v.realm
}

// lookUp returns the secret of the first known user of a list, or the decoy for the claimed one.
func (v *verification) lookUp(ctx context.Context, list []candidate, claimed candidate) (Secret, candidate, bool, error) {
	secret, of, known := v.auth.decoy, claimed, false
	for _, c := range list {
		s, err := v.auth.opt.Credentials.Lookup(ctx, c.user)
		switch {
		case errors.Is(err, ErrUnknownUser):
		case err != nil:
			return Secret{}, of, false, fmt.Errorf("look up credentials of %s: %w", c.user, err)
		case !known: // the others are looked up too, for the time it takes
			secret, of, known = s, c, true
		}
	}
	return secret, of, known, nil
}

// markUsed marks the nonce count as used and reports whether it was unused.
func (v *verification) markUsed() bool {
	if v.cred.legacy() {
		return v.auth.used.takeUncounted(v.nonce, v.source)
	}
	return v.auth.used.take(v.nonce, v.cred.nc)
}

// refuse returns the result of a failed login. Its challenges offer the algorithms that
// are weaker than the one that failed, if there are any: so a user for which only an
// older HA1 is stored can authenticate with that, and looks like an unknown user until
// then. Clients try again by themselves, except after the last refusal.
//
// If there was a password to guess, the failure is charged to the network that the nonce
// was made for, because that network received the nonce. The source of a datagram may be
// forged, and the owner of that address would be banned instead of the attacker.
func (v *verification) refuse(outcome Outcome, user sip.AoR, guess bool) Result {
	opt := &v.auth.opt
	guess = guess && opt.Bans != nil
	if guess {
		opt.Bans.fail(user, v.nonce.source, v.flow(), opt.Bans.repeated(v.nonce.id, v.cred.algorithm, v.cred.response))
	}
	notWeaker := algorithms[:slices.Index(algorithms[:], v.cred.algorithm)+1]
	weaker := slices.DeleteFunc(slices.Clone(opt.Algorithms), func(a Algorithm) bool { return slices.Contains(notWeaker, a) })
	if len(weaker) == 0 {
		return v.result(outcome, opt.Algorithms, false)
	}
	res := v.result(outcome, weaker, true)
	if guess {
		opt.Bans.link(res.nonce)
	}
	return res
}

func (v *verification) result(outcome Outcome, offer []Algorithm, stale bool) Result {
	res := Result{Outcome: outcome, Name: v.cred.username}
	res.Challenges, res.nonce = v.auth.challenge(v.realm, v.source, offer, stale)
	return res
}

// challengeUnread returns the result for a request without credentials, or with some that
// cannot be read because of err. The client may have made those before it saw a challenge, so
// it gets one, and the reason beside it.
func (v *verification) challengeUnread(err error) Result {
	res := v.result(NoCredentials, v.auth.opt.Algorithms, false)
	if err == nil {
		v.auth.Stats.NoCredentials.Inc()
		return res
	}
	v.auth.Stats.Malformed.Inc()
	res.Reason = "credentials cannot be read, " + err.Error()
	return res
}

func (v *verification) malformed(err error) Result {
	v.auth.Stats.Malformed.Inc()
	return Result{Outcome: Malformed, Name: v.cred.username, Reason: "Bad credentials, " + err.Error()}
}
