package router

import (
	"strings"
	"sync/atomic"

	"silod/auth"
	"silod/mi"
	"silod/sip"
)

// Guard is who may do what: the first question about every request.
type Guard struct {
	Digest   bool // who is not trusted proves who he is
	Auth     *auth.Authenticator
	Bans     *auth.Bans
	Agents   *auth.Agents
	Limits   *auth.Limits
	Identity auth.Identity
	Realm    string // of all users; "": the domain of each
	Stats    GuardStats

	policy atomic.Pointer[Policy]
}

// Policy is what can change while requests are served.
type Policy struct {
	Trust     *auth.Trust
	Relay     Relay
	Strangers Strangers
}

// Relay is who may send to other domains by way of us.
type Relay int

// Nobody may; trusted peers with the right to; authenticated users as well.
const (
	RelayNobody Relay = iota
	RelayTrusted
	RelayAuthenticated
)

// Strangers is what is taken from senders of other domains, who cannot be
// authenticated here, where those of ours must be.
type Strangers int

// Nothing is taken; what is for users; what is for rooms, too.
const (
	StrangersRefused Strangers = iota
	StrangersToUsers
	StrangersToAll
)

// GuardStats count requests that were refused for who sent them.
type GuardStats struct{ Forged, Strangers mi.Counter }

// SetPolicy takes another policy from now on.
func (g *Guard) SetPolicy(p Policy) { g.policy.Store(&p) }

// Policy is the one in force.
func (g *Guard) Policy() Policy { return *g.policy.Load() }

// RealmOf is the realm of the users of a domain.
func (g *Guard) RealmOf(domain string) string {
	if g.Realm != "" {
		return g.Realm
	}
	return domain
}

// Counters are the statistics of all that guards.
func (g *Guard) Counters() []mi.Stat {
	own := []mi.Stat{
		{Name: "forged_senders", Help: "Requests refused because From or To was not the authenticated user's.", Counter: &g.Stats.Forged},
		{Name: "strangers_refused", Help: "Messages refused because their sender is of another domain.", Counter: &g.Stats.Strangers},
	}
	for _, part := range [][]mi.Stat{g.Auth.Counters(), g.Bans.Counters(), g.Limits.Counters(), g.Agents.Counters()} {
		own = append(own, part...)
	}
	return own
}

// caller is who sent a request, as far as that is known.
type caller struct {
	sender sip.AoR // who it is from, to rooms and for notices; zero: that is not known
	known  bool    // trusted, authenticated, or one that need not be
	relay  bool    // may send to other domains

	identity bool // a trusted peer whose P-Asserted-Identity goes on to recipients
}

// AcceptSource is the transaction layer's: it reports whether requests from a peer are read, which those
// from banned sources are not.
func (r *Router) AcceptSource(flow sip.Flow) bool {
	if _, trusted := r.rights(flow); trusted {
		return true
	}
	return !r.Guard.Bans.Banned(flow.Remote.Addr())
}

// AcceptRequest is the transaction layer's: it drops the requests of blocked user agents.
func (r *Router) AcceptRequest(req *sip.Request, flow sip.Flow) bool {
	agent := req.Get("User-Agent")
	if agent == "" {
		return true
	}
	_, trusted := r.rights(flow)
	return trusted || !r.Guard.Agents.Block(agent)
}

// rights are what the peer at the other end of a flow may do; ok is false for strangers.
func (r *Router) rights(flow sip.Flow) (rights auth.Rights, ok bool) {
	return r.Guard.policy.Load().Trust.Rights(flow.Remote.Addr(), r.Transactions.PeerNames(flow)...)
}

// asserted returns the sender that a peer asserts (RFC 3325), if it has the right to.
func (r *Router) asserted(req *sip.Request, rights auth.Rights) (sender sip.AoR, err error) {
	if !req.Has("P-Asserted-Identity") {
		return sip.AoR{}, nil
	}
	ids, err := rights.Asserted(req.Values("P-Asserted-Identity"))
	if wantsPrivacy(req) {
		return sip.AoR{}, err
	}
	for _, id := range ids {
		if id.URI.IsSIP() {
			sender, _ = r.Domains.AoR(id.URI)
			break
		}
	}
	return sender, err
}

// wantsPrivacy tells whether Privacy asks to keep the identity from users (RFC 3325
// section 9.3). Its words are parted by semicolons.
func wantsPrivacy(req *sip.Request) bool {
	for _, v := range req.Values("Privacy") {
		for word := range strings.SplitSeq(v, ";") {
			if strings.EqualFold(strings.TrimSpace(word), "id") {
				return true
			}
		}
	}
	return false
}
