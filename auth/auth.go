// Package auth decides which requests are allowed. It verifies digest credentials, knows
// the trusted peers and their rights, checks that From is an address of the authenticated
// user, and limits unknown senders: it has rates, bans after failed logins, and a list
// of blocked user agents. Package db implements its interfaces Credentials and Users.
//
// It knows neither SIP messages nor transactions nor SQL: package router passes header
// values and addresses, and turns results into answers.
//
// All that unknown senders can make it store has a fixed capacity (limit.Table,
// replayTable). Challenges are not stored: the nonce itself contains the time at which
// and the network for which it was made.
//
// Locks: Cache.mu is taken before a shard of a Table. Every other lock is taken alone.
// No lock is held while credentials are looked up.
package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"silod/limit"
	"silod/sip"
)

// Options are what an Authenticator needs. Zero values stand for the defaults given.
type Options struct {
	Credentials Credentials
	Domains     sip.Domains // users of other domains are unknown

	// Algorithms are offered in this order, and no others are accepted; MD5, which all clients
	// support. Some fail if there is another beside it.
	Algorithms []Algorithm

	// Secret authenticates the nonces, at least 16 bytes; random. Nodes that serve the
	// same clients need the same secret. Each node remembers the nonce counts that were
	// used there: a captured request can be replayed once at every other node.
	Secret []byte

	Life time.Duration // of a nonce; 10 minutes

	// LegacyLife is the life of a nonce that is answered without a nonce count (RFC
	// 2069); 1 minute. If it is negative, such answers are refused. A captured request
	// can be replayed for that time, from the address that first used the nonce and with
	// the same method and digest URI, because only a count shows a replay. Clients that
	// do not count (Pidgin) need more round trips if it is shorter.
	LegacyLife time.Duration

	// BindSource accepts a nonce only from the network that it was made for. A client
	// cannot authenticate then if its address changes with each request.
	BindSource bool

	Nonces int   // in the table of used counts; 65536
	Bans   *Bans // counts failed logins; nil: they are not counted
	Now    func() time.Time
}

// An Authenticator finds the user that sent a request by the digest credentials of the
// request (RFC 7616, and RFC 8760 for SIP). New makes one.
type Authenticator struct {
	opt    Options
	nonces nonceSource
	used   *replayTable
	decoy  Secret // takes the place of the secret of an unknown user
	Stats  Stats
}

// New returns an Authenticator. The error is about Algorithms or Secret.
func New(opt Options) (*Authenticator, error) {
	if len(opt.Algorithms) == 0 {
		opt.Algorithms = []Algorithm{MD5}
	}
	for i, alg := range opt.Algorithms {
		if !slices.Contains(Algorithms(), alg) || slices.Contains(opt.Algorithms[:i], alg) {
			return nil, fmt.Errorf("digest algorithm %q is unknown or repeated: use %v", alg, Algorithms())
		}
	}
	switch {
	case opt.Secret == nil:
		opt.Secret = make([]byte, 32)
		_, _ = rand.Read(opt.Secret) // never fails
	case len(opt.Secret) < minSecret:
		return nil, fmt.Errorf("nonce secret has %d bytes: use at least %d", len(opt.Secret), minSecret)
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
		nonces: newNonceSource(opt.Secret, opt.Now),
		used:   newReplayTable(opt.Nonces),
		decoy:  Secret{Password: rand.Text()},
	}, nil
}

const minSecret = 16 // bytes

// A Request is the part of a SIP request that is verified.
type Request struct {
	Method string
	URI    string // the Request-URI as received
	Realm  string // of the challenge; credentials for other realms are ignored
	Domain string // of a user name without a domain; "": the realm

	// Credentials are the values of the Authorization and Proxy-Authorization headers.
	// Clients answer a 401 and a 407 alike, so both headers count.
	Credentials []string

	// Source is charged with failed logins. The zero Addr, for a request that a trusted
	// proxy forwards, is not charged.
	Source netip.Addr

	Flow sip.Flow // over which the user logs in; zero: not remembered
}

// An Outcome is the outcome of a verification.
type Outcome int

// The outcomes. All but Accepted, Malformed, Banned and Delayed are answered with
// Result.Challenges.
const (
	NoCredentials Outcome = iota // none for this realm
	Accepted                     // the sender is Result.User
	Malformed                    // the answer is a 400 with Result.Reason
	Stale                        // the nonce is too old, or not ours
	Replayed                     // the nonce and its count were used before
	WrongPassword                // for the client the same as UnknownUser
	UnknownUser
	Banned  // too many logins have failed; the password was not tested
	Delayed // the same for logins of the user elsewhere; Result.Wait is for Retry-After
)

// A Result is the result of a verification.
type Result struct {
	Outcome    Outcome
	User       sip.AoR  // the sender; set only if Outcome is Accepted
	Name       string   // the user name in the credentials, for the log
	Challenges []string // values for WWW-Authenticate or Proxy-Authenticate headers
	Reason     string   // for the 400, or why the credentials of a request count as none
	AtSource   bool     // the source has received the challenge that is answered
	Wait       time.Duration

	nonce nonceID // of Challenges
}

// Challenge returns the challenges for a request without credentials, the values for
// WWW-Authenticate or Proxy-Authenticate headers: one for each algorithm (RFC 8760
// section 2.4). It does not wait.
func (a *Authenticator) Challenge(realm string, source netip.Addr) (values []string) {
	a.Stats.NoCredentials.Inc()
	values, _ = a.challenge(quotable(realm), limit.NetworkOf(source), a.opt.Algorithms, false)
	return values
}

func (a *Authenticator) challenge(realm string, source limit.Network, offer []Algorithm, stale bool) (values []string, id nonceID) {
	a.Stats.Challenges.Inc()
	nonce, id := a.nonces.issue(realm, source)
	values = make([]string, len(offer))
	for i, alg := range offer {
		// Pidgin needs the space after each comma to find the parameters.
		values[i] = `Digest realm="` + realm + `", nonce="` + nonce + `", qop="auth", algorithm=` + string(alg)
		if stale {
			values[i] += ", stale=true"
		}
	}
	return values, id
}

// Received reports whether credentials have a nonce that was made for the network of the source: a
// datagram with such credentials does not have a forged source. It does not wait.
func (a *Authenticator) Received(realm string, source netip.Addr, values []string) bool {
	realm = quotable(realm)
	for _, value := range values[:min(len(values), maxCredentials)] {
		c, err := parseCredentials(value)
		if err != nil || c == nil || c.realm != realm {
			continue
		}
		if n, ours := a.nonces.read(c.nonceText, realm); ours && n.source == limit.NetworkOf(source) {
			return true
		}
	}
	return false
}

// Verify finds the user that sent a request with credentials. It may wait for the
// credentials to be looked up; if that fails, it returns an error and no verdict, and
// the answer must be a 5xx.
func (a *Authenticator) Verify(ctx context.Context, req Request) (Result, error) {
	v := verification{auth: a, req: req, realm: quotable(req.Realm), source: limit.NetworkOf(req.Source)}
	found, err := v.pick()
	if !found {
		return v.challengeUnread(err), nil
	}
	if v.ours { // those for another nonce do not answer a challenge of ours
		if err := v.check(); err != nil {
			return v.malformed(err), nil
		}
	}
	if !v.offered() {
		a.Stats.NotOffered.Inc()
		return v.result(NoCredentials, a.opt.Algorithms, false), nil
	}
	if !v.fresh() {
		a.Stats.Stale.Inc()
		return v.result(Stale, []Algorithm{v.cred.algorithm}, true), nil
	}
	return v.verify(ctx)
}
