package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if !sameTarget(v.cred.uri, v.req.URI) {
		return errors.New("digest uri is of another request")
	}
	return nil
}

// sameTarget reports whether credentials were made for this Request-URI, as far as
// clients permit: RFC 3261 section 22.4 asks for the Request-URI, but some write another
// port or other parameters, and some the address of the server. An answer for one user
// must be of no use with another.
func sameTarget(digest, request string) bool {
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
	d.Port, r.Port = 0, 0 // URI.AoR keeps a port, which may differ here
	return d.User == "" || r.User == "" || d.AoR() == r.AoR()
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
	age := opt.Now().Sub(v.nonce.issued)
	if age > life || age < -maxClockSkew {
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
	stats := &v.auth.Stats
	secret, known := v.auth.decoy, false
	user, ours := v.user()
	if ours {
		s, err := v.auth.opt.Credentials.Lookup(ctx, user)
		switch {
		case err == nil:
			secret, known = s, true
		case !errors.Is(err, ErrUnknownUser):
			stats.Unavailable.Inc()
			return Result{}, fmt.Errorf("look up credentials of %s: %w", user, err)
		}
	}
	ha1, usable := secret.ha1(v.cred.algorithm, v.cred.username, v.realm)
	right := subtle.ConstantTimeCompare([]byte(v.cred.expected(ha1, v.req.Method)), []byte(v.cred.response)) == 1
	switch {
	case !known:
		stats.Unknown.Inc()
		return v.refuse(UnknownUser, true), nil
	case !usable || !right:
		stats.Wrong.Inc()
		return v.refuse(WrongPassword, usable), nil
	case !v.markUsed():
		stats.Replayed.Inc()
		return v.result(Replayed, []Algorithm{v.cred.algorithm}, true), nil
	}
	stats.Accepted.Inc()
	return Result{Outcome: Accepted, User: user, Name: v.cred.username, AtSource: v.nonce.source == v.source}, nil
}

// user returns the AoR for the user name, and reports whether it is of one of our
// domains.
func (v *verification) user() (sip.AoR, bool) {
	name := v.cred.username
	if strings.ContainsAny(name, ":<>") {
		return sip.AoR{}, false
	}
	if !strings.Contains(name, "@") {
		domain := v.req.Domain
		if domain == "" {
			domain = v.realm
		}
		name += "@" + domain
	}
	user, ours, err := v.auth.opt.Domains.Parse("sip:" + name)
	return user, ours && err == nil
}

// markUsed marks the nonce count as used and reports whether it was unused.
func (v *verification) markUsed() bool {
	if v.cred.legacy() {
		return v.auth.used.takeUncounted(v.nonce, v.source)
	}
	return v.auth.used.take(v.nonce, v.cred.nc)
}

// refuse returns the result of a failed guess. Its challenges offer the algorithms that
// are weaker than the one that failed, if there are any: so a user for which only an
// older HA1 is stored can authenticate with that, and looks like an unknown user until
// then. Clients try again by themselves, except after the last refusal.
//
// If there was a password to guess, the guess is charged to the network that the nonce
// was made for, because that network received the nonce. The source of a datagram may be
// forged, and the owner of that address would be banned instead of the attacker.
func (v *verification) refuse(outcome Outcome, guess bool) Result {
	opt := &v.auth.opt
	if guess && opt.Bans != nil && v.nonce.source.IsValid() {
		opt.Bans.fail(v.nonce.source)
	}
	notWeaker := Algorithms()[:slices.Index(Algorithms(), v.cred.algorithm)+1]
	weaker := slices.DeleteFunc(slices.Clone(opt.Algorithms), func(a Algorithm) bool { return slices.Contains(notWeaker, a) })
	if len(weaker) > 0 {
		return v.result(outcome, weaker, true)
	}
	return v.result(outcome, opt.Algorithms, false)
}

func (v *verification) result(outcome Outcome, offer []Algorithm, stale bool) Result {
	return Result{Outcome: outcome, Name: v.cred.username, Challenges: v.auth.challenge(v.realm, v.source, offer, stale)}
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
