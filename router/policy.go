package router

import (
	"sync/atomic"

	"silod/auth"
	"silod/mi"
	"silod/sip"
)

// GuardOptions are the parts of a Guard.
type GuardOptions struct {
	Digest   bool // senders that are not trusted must authenticate
	Auth     *auth.Authenticator
	Bans     *auth.Bans
	Agents   *auth.Agents
	Limits   *auth.Limits
	Identity auth.Identity
	Realm    string // of all users; "": the domain of each
}

// A Guard decides which senders are served.
type Guard struct {
	Auth   *auth.Authenticator
	Bans   *auth.Bans
	Agents *auth.Agents
	Limits *auth.Limits
	Stats  GuardStats

	digest   bool
	identity auth.Identity
	realm    string
	policy   atomic.Pointer[Policy]
}

// GuardStats count requests that were refused because of their sender.
type GuardStats struct{ Forged, Strangers mi.Counter }

// A Policy holds the settings of a Guard.
type Policy struct {
	Trust     *auth.Trust
	Relay     Relay
	Strangers Strangers
}

// Relay says which senders may send to other domains.
type Relay int

// The values of Relay. Each includes the senders of the one before.
const (
	RelayNobody        Relay = iota // none
	RelayTrusted                    // trusted peers with the right to
	RelayAuthenticated              // authenticated users
)

// Strangers says which messages from other domains are accepted. Their senders cannot be
// authenticated here.
type Strangers int

// The values of Strangers.
const (
	StrangersRefused Strangers = iota // none
	StrangersToUsers                  // messages for users
	StrangersToAll                    // messages for users and rooms
)

// NewGuard returns a guard.
func NewGuard(opt GuardOptions, p Policy) *Guard {
	g := &Guard{
		Auth: opt.Auth, Bans: opt.Bans, Agents: opt.Agents, Limits: opt.Limits,
		digest: opt.Digest, identity: opt.Identity, realm: opt.Realm,
	}
	g.Configure(p)
	return g
}

// Configure replaces the policy.
func (g *Guard) Configure(p Policy) { g.policy.Store(&p) }

// Policy returns the policy in force.
func (g *Guard) Policy() Policy { return *g.policy.Load() }

// Relays reports whether some senders may send to other domains.
func (g *Guard) Relays() bool { return g.policy.Load().Relay != RelayNobody }

// Strangers reports whether senders of other domains may use rooms: all, or those that trusted peers
// vouch for.
func (g *Guard) Strangers() bool {
	p := g.policy.Load()
	return p.admitsToRooms(g.digest) || !p.Trust.IsEmpty()
}

// admitsToRooms reports whether senders of other domains that have not been identified may use rooms.
// That is the administrator's choice, because messages of rooms to them may be for other users.
func (p *Policy) admitsToRooms(digest bool) bool { return digest && p.Strangers == StrangersToAll }

// RealmOf returns the realm of the users of a domain.
func (g *Guard) RealmOf(domain string) string {
	if g.realm != "" {
		return g.realm
	}
	return domain
}

// Counters returns the statistics of the guard and its parts.
func (g *Guard) Counters() []mi.Stat {
	own := []mi.Stat{
		{Name: "forged_senders", Help: "Requests refused because From or To was not the authenticated user.", Counter: &g.Stats.Forged},
		{Name: "strangers_refused", Help: "Messages refused because their sender is of another domain.", Counter: &g.Stats.Strangers},
	}
	for _, part := range [][]mi.Stat{g.Auth.Counters(), g.Bans.Counters(), g.Limits.Counters(), g.Agents.Counters()} {
		own = append(own, part...)
	}
	return own
}

// AcceptSource reports whether messages of a peer are read. It implements transaction.Handler.
// Those from banned sources are not, unless the peer is trusted or a user has logged in over the
// flow.
func (r *Router) AcceptSource(flow sip.Flow) bool {
	bans := r.opt.Guard.Bans
	if !bans.Banned(flow) {
		return true
	}
	if _, trusted := r.rights(flow); trusted {
		return true
	}
	bans.Stats.Refused.Inc()
	return false
}

// Trusted reports whether a peer is trusted. It implements transaction.Handler.
func (r *Router) Trusted(flow sip.Flow) bool {
	_, trusted := r.rights(flow)
	return trusted
}

// AcceptRequest reports whether a request is handled. It implements transaction.Handler. Requests
// of blocked user agents are not, unless the peer is trusted.
func (r *Router) AcceptRequest(req *sip.Request, flow sip.Flow) bool {
	agents := r.opt.Guard.Agents
	if !agents.Match(req.Get("User-Agent")) {
		return true
	}
	if _, trusted := r.rights(flow); trusted {
		return true
	}
	agents.Blocked.Inc()
	return false
}

// rights returns the rights of the peer at the other end of a flow. If the peer is not
// trusted, ok is false.
func (r *Router) rights(flow sip.Flow) (rights auth.Rights, ok bool) {
	return r.opt.Guard.policy.Load().Trust.Rights(flow.Remote.Addr(), r.opt.Transactions.PeerNames(flow)...)
}
