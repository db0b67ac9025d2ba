package router

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"silod/auth"
	"silod/mi"
	"silod/sip"
	"silod/stack"
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
}

// Hear tells whether requests from a peer are read: not from sources that are banned.
// It is the stack's.
func (r *Router) Hear(flow sip.Flow) bool {
	if _, trusted := r.rights(flow); trusted {
		return true
	}
	return !r.Guard.Bans.Banned(flow.Remote.Addr())
}

// Screen drops the requests of agents that are not served. It is the stack's.
func (r *Router) Screen(tx *stack.ServerTx) bool {
	agent := tx.Request.Get("User-Agent")
	if agent == "" {
		return true
	}
	_, trusted := r.rights(tx.Flow)
	return trusted || !r.Guard.Agents.Block(agent)
}

// rights are what the peer at the other end of a flow may do; ok is false for strangers.
func (r *Router) rights(flow sip.Flow) (rights auth.Rights, ok bool) {
	return r.Guard.policy.Load().Trust.Rights(flow.Remote.Addr(), r.Stack.PeerNames(flow)...)
}

// authorize finds out who sent a request and whether it may be served. Where it may
// not, it is answered.
func (r *Router) authorize(ctx context.Context, tx *stack.ServerTx) (caller, bool) {
	policy := r.Guard.policy.Load()
	rights, trusted := r.rights(tx.Flow)
	asserted, err := r.asserted(tx, rights)
	if err != nil {
		tx.Respond(400, "Bad P-Asserted-Identity header")
		return caller{}, false
	}
	v := visit{Router: r, tx: tx, policy: policy, source: tx.Flow.Remote.Addr()}
	if trusted {
		v.source = netip.Addr{} // whoever sends by way of a peer, it is not the peer
	} else if !v.withinLimits() {
		return caller{}, false
	}
	ok := true
	switch {
	case trusted && !rights.Challenge:
		v.known = true
		v.relay = rights.Relay && policy.Relay != RelayNobody
	case !r.Guard.Digest:
		v.known = true
	default:
		ok = v.verify(ctx)
	}
	switch {
	case !asserted.IsZero():
		v.sender = asserted
	case v.known || policy.Strangers == StrangersToAll:
		v.sender, _ = r.Domains.AoR(tx.Request.From.URI)
	}
	return v.caller, ok
}

// asserted is who a peer says that the sender is (RFC 3325), where its word counts.
// Nobody else's assertion goes on to anybody, nor what a client would like it to be, nor
// one that the sender wants to be kept from users (Privacy: id).
func (r *Router) asserted(tx *stack.ServerTx, rights auth.Rights) (sender sip.AoR, err error) {
	if !tx.Request.Has("P-Asserted-Identity") && !tx.Request.Has("P-Preferred-Identity") {
		return sip.AoR{}, nil
	}
	ids, err := rights.Asserted(tx.Request.Values("P-Asserted-Identity"))
	private := wantsPrivacy(tx)
	tx.Request.Headers = slices.DeleteFunc(tx.Request.Headers, func(h sip.Header) bool {
		return h.Name == "P-Preferred-Identity" || h.Name == "P-Asserted-Identity" && (private || !rights.AssertIdentity)
	})
	for _, id := range ids {
		if id.URI.IsSIP() && !private {
			sender, _ = r.Domains.AoR(id.URI)
			break
		}
	}
	return sender, err
}

// wantsPrivacy tells whether Privacy asks to keep the identity from users (RFC 3325
// section 9.3). Its words are parted by semicolons.
func wantsPrivacy(tx *stack.ServerTx) bool {
	for _, v := range tx.Request.Values("Privacy") {
		for word := range strings.SplitSeq(v, ";") {
			if strings.EqualFold(strings.TrimSpace(word), "id") {
				return true
			}
		}
	}
	return false
}
