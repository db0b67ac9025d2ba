// Package auth decides who may do what: it verifies digest credentials, knows
// which peers are trusted and what they may, binds From to who was authenticated,
// and limits what strangers can take: rates, bans after failed guesses, scanners.
// It declares Credentials and Users, which the database implements.
//
// It knows nothing of SIP messages, transactions or SQL: the router gives it header
// values and addresses, and says what its verdicts look like on the wire.
//
// Everything that strangers can make it remember has a fixed capacity (limit.Table,
// replayTable). Challenges are remembered nowhere: the nonce itself says when and for
// whom it was made.
//
// Locks: Cache.mu comes before a shard of a table; every other lock is taken alone.
// None is held while credentials are looked up.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"silod/limit"
	"silod/sip"
)

// Options are what an Authenticator needs. Zero values stand for the defaults given.
type Options struct {
	Credentials Credentials
	Domains     sip.Domains // users of any other domain are unknown

	// Algorithms are offered in this order, and no other is accepted; SHA-256, MD5.
	Algorithms []Algorithm

	// Secret makes nonces ours, at least 16 bytes; random. Nodes that serve the same
	// clients are given the same one. Which counts of a nonce are used is known to
	// each node alone: what was captured at one can be replayed once at another.
	Secret []byte

	Life time.Duration // of a nonce; 10 minutes

	// LegacyLife is the life of a nonce whose answers have no nonce count (RFC 2069);
	// 1 minute. A negative one refuses such answers. For this long, and from the
	// address that the nonce was first used from, a request that was captured can be
	// replayed with the same method and digest URI: there is no count to tell it by.
	// Clients that cannot count (Pidgin) pay for a short life with more round trips.
	LegacyLife time.Duration

	// BindSource accepts a nonce only from the network that it was made for. Clients
	// whose requests come from changing addresses are then challenged in vain.
	BindSource bool

	Nonces int   // whose counts are remembered; 65536
	Bans   *Bans // charged with failed guesses; nil: none
	Now    func() time.Time
}

// Authenticator verifies who sent a request by its digest credentials (RFC 7616,
// and RFC 8760 for SIP). Make it with New.
type Authenticator struct {
	opt    Options
	nonces mint
	used   *replayTable
	decoy  Secret // stands in for users who do not exist
	Stats  Stats
}

// New makes an Authenticator.
func New(opt Options) (*Authenticator, error) {
	if len(opt.Algorithms) == 0 {
		opt.Algorithms = []Algorithm{SHA256, MD5}
	}
	for i, alg := range opt.Algorithms {
		if !slices.Contains(Algorithms(), alg) || slices.Contains(opt.Algorithms[:i], alg) {
			return nil, fmt.Errorf("digest algorithm %q is unknown or named twice: use %v", alg, Algorithms())
		}
	}
	switch {
	case opt.Secret == nil:
		opt.Secret = make([]byte, 32)
		_, _ = rand.Read(opt.Secret) // never fails
	case len(opt.Secret) < minSecret:
		return nil, fmt.Errorf("secret of the nonces has %d bytes: use at least %d", len(opt.Secret), minSecret)
	}
	if opt.Life == 0 {
		opt.Life = 10 * time.Minute
	}
	if opt.LegacyLife == 0 {
		opt.LegacyLife = time.Minute
	}
	if opt.Nonces == 0 {
		opt.Nonces = 1 << 16
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Authenticator{
		opt:    opt,
		nonces: mint{key: opt.Secret, now: opt.Now},
		used:   newReplayTable(opt.Nonces),
		decoy:  Secret{Password: rand.Text()},
	}, nil
}

const minSecret = 16

// Request is what is verified of a SIP request.
type Request struct {
	Method string
	URI    string // the Request-URI as received
	Realm  string // that this request is challenged for; other realms' credentials are left alone
	Domain string // of a user name that has none; "": the realm

	// Credentials are the values of Authorization and Proxy-Authorization, each header
	// by itself. Clients answer a 401 and a 407 alike, so both are looked at.
	Credentials []string

	// Source is charged with failed guesses. The zero Addr, for what comes by way of a
	// trusted proxy, charges nobody.
	Source netip.Addr
}

// Outcome is what came of a verification.
type Outcome int

// The outcomes. All but Accepted and Malformed are answered with the Challenges.
const (
	NoCredentials Outcome = iota // none for this realm
	Accepted                     // it is User
	Malformed                    // credentials that cannot be read: 400 with the Reason
	Stale                        // the nonce is too old, or not ours
	Replayed                     // this nonce and count have been used
	WrongPassword                // to the peer the same as UnknownUser
	UnknownUser
)

// Result is a verdict on a request.
type Result struct {
	Outcome    Outcome
	User       sip.AoR  // who sent it; set if it is Accepted, and only then
	Name       string   // the user name as claimed, for the log
	Challenges []string // values of WWW-Authenticate or Proxy-Authenticate, a header each
	Reason     string   // for the 400
}

// Challenge makes the values of WWW-Authenticate or Proxy-Authenticate, one for each
// algorithm (RFC 8760 section 2.4), for an answer to source.
func (a *Authenticator) Challenge(realm string, source netip.Addr) []string {
	return a.challenge(quotable(realm), limit.NetworkOf(source), a.opt.Algorithms, false)
}

func (a *Authenticator) challenge(realm string, source limit.Network, offer []Algorithm, stale bool) []string {
	a.Stats.Challenges.Inc()
	nonce := a.nonces.issue(realm, source)
	values := make([]string, len(offer))
	for i, alg := range offer {
		// With a space after each comma: Pidgin finds the parts by that.
		values[i] = `Digest realm="` + realm + `", nonce="` + nonce + `", qop="auth", algorithm=` + string(alg)
		if stale {
			values[i] += ", stale=true"
		}
	}
	return values
}

// Verify tells who sent a request. The error says that credentials could not be
// looked up: that is no verdict, and the request is answered 5xx.
func (a *Authenticator) Verify(ctx context.Context, req Request) (Result, error) {
	v := verification{
		Authenticator: a, req: req, realm: quotable(req.Realm), source: limit.NetworkOf(req.Source),
	}
	found, err := v.pick()
	switch {
	case err != nil:
		return v.malformed(err), nil
	case !found:
		a.Stats.Without.Inc()
		return v.result(NoCredentials, a.opt.Algorithms, false), nil
	}
	if err := v.check(); err != nil {
		return v.malformed(err), nil
	}
	if !slices.Contains(a.opt.Algorithms, v.algorithm) || v.qop != "" && v.qop != "auth" || v.legacy() && a.opt.LegacyLife < 0 {
		a.Stats.NotOffered.Inc() // and so no guess either
		return v.result(NoCredentials, a.opt.Algorithms, false), nil
	}
	if !v.fresh() {
		a.Stats.Stale.Inc()
		return v.result(Stale, []Algorithm{v.algorithm}, true), nil
	}
	return v.verify(ctx)
}

// verification is one call of Verify.
type verification struct {
	*Authenticator
	credentials
	req    Request
	realm  string
	source limit.Network
	nonce  nonce
	ours   bool // nonce was made by us, for this realm
}

// pick finds the credentials for the realm: the first whose nonce is ours, or else
// the first. The error is about ones that cannot be read, where there are no others.
func (v *verification) pick() (found bool, unreadable error) {
	for _, value := range v.req.Credentials[:min(len(v.req.Credentials), maxCredentials)] {
		c, err := parseCredentials(value)
		if err != nil {
			unreadable = err
		}
		if c == nil || c.realm != v.realm {
			continue
		}
		n, ours := v.nonces.read(c.nonceText, v.realm)
		if !found || ours {
			v.credentials, v.nonce, v.ours, found = *c, n, ours, true
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

// maxCredentials is how many headers of one request are looked at.
const maxCredentials = 8

// fresh tells whether the nonce is one of ours that may still be used. Nothing is
// looked up for one that is not, and no password is tested with it.
func (v *verification) fresh() bool {
	if !v.ours {
		return false
	}
	life := v.opt.Life
	if v.legacy() {
		life = min(life, v.opt.LegacyLife)
	}
	age := v.opt.Now().Sub(v.nonce.issued)
	if age > life || age < -clockSkew {
		return false
	}
	// A nonce that charges nobody is worth nothing to those who could be charged.
	if !v.nonce.source.IsValid() && v.source.IsValid() {
		return false
	}
	return !v.opt.BindSource || v.nonce.source == v.source
}

// clockSkew is by how much the clocks of nodes with one secret may differ.
const clockSkew = time.Minute

// verify tests the answer to a nonce of ours. What is known of the user makes no
// difference to what is done, or to what can be seen of it.
func (v *verification) verify(ctx context.Context) (Result, error) {
	secret, known := v.decoy, false
	user, ours := v.user()
	if ours {
		s, err := v.opt.Credentials.Lookup(ctx, user)
		switch {
		case err == nil:
			secret, known = s, true
		case !errors.Is(err, ErrUnknownUser):
			v.Stats.Unavailable.Inc()
			return Result{}, fmt.Errorf("look up credentials of %s: %w", user, err)
		}
	}
	ha1, usable := secret.ha1(v.algorithm, v.username, v.realm)
	right := subtle.ConstantTimeCompare([]byte(v.expected(ha1, v.req.Method)), []byte(v.response)) == 1
	switch {
	case !known:
		v.Stats.Unknown.Inc()
		return v.refuse(UnknownUser, true), nil
	case !usable || !right:
		v.Stats.Wrong.Inc()
		return v.refuse(WrongPassword, usable), nil
	case !v.unused():
		v.Stats.Replayed.Inc()
		return v.result(Replayed, []Algorithm{v.algorithm}, true), nil
	}
	v.Stats.Accepted.Inc()
	return Result{Outcome: Accepted, User: user, Name: v.username}, nil
}

// user is the AoR that the user name stands for, and whether it is ours.
func (v *verification) user() (sip.AoR, bool) {
	name := v.username
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
	user, ours, err := v.opt.Domains.Parse("sip:" + name)
	return user, ours && err == nil
}

// unused marks the nonce count as used and tells whether it was not so before.
func (v *verification) unused() bool {
	if v.legacy() {
		return v.used.takeUncounted(v.nonce, v.source)
	}
	return v.used.take(v.nonce, v.nc)
}

// refuse answers a wrong guess. The next challenge offers what is weaker than the
// algorithm that failed, if anything: so a user of whom only an older HA1 is known gets
// in with that, and looks no different from an unknown one on the way. Only the last
// refusal is one that clients show to people.
//
// guess tells that there was a password to guess. What was guessed is charged to the
// network that the nonce was made for. That has received it, while the source of a
// datagram may be anybody's, a victim's who would be banned in place of the guesser.
func (v *verification) refuse(outcome Outcome, guess bool) Result {
	if guess && v.opt.Bans != nil && v.nonce.source.IsValid() {
		v.opt.Bans.fail(v.nonce.source)
	}
	stronger := Algorithms()[:slices.Index(Algorithms(), v.algorithm)+1]
	weaker := slices.DeleteFunc(slices.Clone(v.opt.Algorithms), func(a Algorithm) bool { return slices.Contains(stronger, a) })
	if len(weaker) > 0 {
		return v.result(outcome, weaker, true)
	}
	return v.result(outcome, v.opt.Algorithms, false)
}

func (v *verification) result(outcome Outcome, offer []Algorithm, stale bool) Result {
	return Result{Outcome: outcome, Name: v.username, Challenges: v.challenge(v.realm, v.source, offer, stale)}
}

func (v *verification) malformed(err error) Result {
	v.Stats.Malformed.Inc()
	return Result{Outcome: Malformed, Name: v.username, Reason: "Bad credentials, " + err.Error()}
}
