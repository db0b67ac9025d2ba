package router

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/auth"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
)

// A caller is the sender of a request as far as it has been identified.
type caller struct {
	sender    sip.AoR // its identity for rooms and notices; zero: unknown
	account   sip.AoR // the user that it has authenticated as, if sender is an alias of it
	known     bool    // trusted or authenticated, or authentication is off
	mayRelay  bool    // may send to other domains
	mayAssert bool    // a trusted peer; its P-Asserted-Identity is forwarded
	trusted   bool    // a trusted peer; the addresses that it registers are believed
	standing  silo.Standing
}

// An authRequest identifies the sender of a request: check does so as far as it need not wait,
// verify does the rest. They set caller, or answer a request that is not accepted.
type authRequest struct {
	router *Router
	tx     *transaction.ServerTx
	policy *Policy
	source netip.Addr // the request counts against its limits; zero for a trusted peer

	parties parties
	caller  caller
}

// A verdict is the result of the checks of a sender that need not wait.
type verdict int

const (
	refused  verdict = iota // and answered
	admitted                // may be served
	unproven                // its credentials must be verified: see verify
)

// check checks the sender as far as that is possible without waiting. A trusted peer is not
// limited, because the requests that it forwards are those of many users.
func (a *authRequest) check() verdict {
	r, c := a.router, &a.caller
	a.policy = r.opt.Guard.policy.Load()
	a.parties = r.addresses(&a.tx.Request)
	rights, trusted := r.rights(a.tx.Flow)
	if trusted && r.isStrangers(&a.tx.Request, a.parties.fromOurs) {
		rights = auth.Rights{Challenge: true} // it is not the peer's
	}
	asserted, err := r.asserted(&a.tx.Request, rights)
	if err != nil {
		a.tx.Respond(400, "Bad P-Asserted-Identity header")
		return refused
	}
	if !trusted {
		a.source = a.tx.Flow.Remote.Addr()
		if !a.checkLimits() {
			return refused
		}
	}
	c.sender, c.mayAssert, c.trusted = asserted, rights.AssertIdentity, trusted
	switch {
	case trusted && !rights.Challenge:
		a.setKnown(rights.Relay && a.policy.Relay != RelayNobody)
	case !r.opt.Guard.digest:
		a.setKnown(false)
	default:
		return a.checkMethod()
	}
	return admitted
}

// setKnown notes that the sender is known, and whether it may send to other domains.
func (a *authRequest) setKnown(mayRelay bool) {
	a.tx.Vouch()
	c := &a.caller
	c.known, c.mayRelay = true, mayRelay
	if a.router.opt.Guard.digest {
		c.standing = silo.Verified
	}
	if c.sender.IsZero() {
		c.sender = a.parties.from
	}
}

// addresses returns the parties of a request. It does not look up rooms.
func (r *Router) addresses(req *sip.Request) (p parties) {
	p.from, p.fromOurs = r.opt.Domains.AoR(req.From.URI)
	if req.Method == "REGISTER" {
		p.to, p.toOurs = r.opt.Domains.AoR(req.To.URI)
	} else {
		p.to, p.toOurs = r.opt.Domains.AoR(req.Target)
	}
	return p
}

// checkLimits reports whether the source is within its limits. A request above them is
// answered.
func (a *authRequest) checkLimits() bool {
	kind := a.tx.Request.Method
	if kind != "REGISTER" && kind != "MESSAGE" {
		kind = ""
	}
	g, from := a.router.opt.Guard, auth.Sender{Source: a.source}
	if g.digest {
		from.User = a.user()
	}
	if !a.tx.Flow.Transport.Reliable() {
		wait, ok := g.Limits.Datagram(kind, a.source)
		if ok {
			return true
		}
		if !g.digest || !g.Auth.Received(g.RealmOf(from.User.Domain), a.source, a.credentials()) {
			g.Limits.Stats.Sources.Inc()
			a.tooMany(wait, tooManyOfSource)
			return false
		}
	}
	wait, ok := g.Limits.Source(kind, from)
	if !ok {
		a.tooMany(wait, tooManyOfSource)
	}
	return ok
}

const tooManyOfSource = "Too many requests from your address"

// credentials returns the values of the headers with credentials. Clients answer a 401 and a 407
// alike, so both count.
func (a *authRequest) credentials() []string {
	return append(a.tx.Request.Values("Authorization"), a.tx.Request.Values("Proxy-Authorization")...)
}

// tooMany answers a request above a limit; wait is the time after which it may be repeated.
func (a *authRequest) tooMany(wait time.Duration, reason string) {
	seconds := int(min(wait, time.Hour)/time.Second) + 1
	a.refuse(503, reason, sip.Header{Name: "Retry-After", Value: strconv.Itoa(seconds)})
}

// refuse answers an unknown sender. Nothing is remembered of the request, so that a flood
// takes no memory.
func (a *authRequest) refuse(status int, reason string, headers ...sip.Header) {
	a.tx.Stateless()
	a.tx.Respond(status, reason, headers...)
}

// checkMethod decides by the method whether the sender must authenticate.
func (a *authRequest) checkMethod() verdict {
	p := &a.parties
	switch a.tx.Request.Method {
	case "REGISTER":
		if !p.toOurs {
			a.refuse(404, "Not a domain of this registrar")
			return refused
		}
		return a.requireDigest()
	case "MESSAGE":
		if !p.fromOurs {
			return a.checkStranger()
		}
		return a.requireDigest()
	}
	a.tx.Stateless() // the other methods change nothing, so a retransmission can be handled again
	return admitted
}

// user returns the user that must authenticate: To is registered (RFC 3261 section 10.2), From
// sends a message.
func (a *authRequest) user() sip.AoR {
	if a.tx.Request.Method == "REGISTER" {
		return a.parties.to
	}
	return a.parties.from
}

// requireDigest challenges a request without credentials. Others are unproven, because the
// secret of their user may have to be read from the database.
func (a *authRequest) requireDigest() verdict {
	if !a.tx.Request.Has("Authorization") && !a.tx.Request.Has("Proxy-Authorization") {
		g := a.router.opt.Guard
		a.challenge(g.Auth.Challenge(g.RealmOf(a.user().Domain), a.source), "")
		return refused
	}
	return unproven
}

// verify reports whether the credentials prove the identity of the sender. It may wait for
// the database. A request that it does not accept is answered.
func (a *authRequest) verify(ctx context.Context) bool {
	g, domain := a.router.opt.Guard, a.user().Domain
	res, err := g.Auth.Verify(ctx, auth.Request{
		Method: a.tx.Request.Method, URI: a.tx.Request.URI, Realm: g.RealmOf(domain), Domain: domain,
		Source: a.source, Flow: a.tx.Flow, Credentials: a.credentials(),
	})
	if err != nil {
		a.unavailable("request not authenticated", err)
		return false
	}
	switch res.Outcome {
	case auth.Accepted:
		if res.AtSource {
			a.tx.ProveSource()
		}
		return a.checkIdentity(ctx, res.User)
	case auth.Malformed:
		a.refuse(400, res.Reason)
		return false
	case auth.Banned:
		a.refuse(403, "Forbidden, too many logins of this user from your address have failed")
		return false
	case auth.Delayed:
		a.tooMany(res.Wait, "Too many logins of this user have failed")
		return false
	case auth.WrongPassword, auth.UnknownUser:
		a.router.opt.Log.Info("authentication failed", "user", fmt.Sprintf("%.100s", res.Name), "method", a.tx.Request.Method,
			"source", a.tx.Flow.Remote, "transport", a.tx.Flow.Transport)
	}
	a.challenge(res.Challenges, res.Reason)
	return false
}

// challenge answers 401 or 407 with challenges. reason is an addition to the standard phrase.
func (a *authRequest) challenge(challenges []string, reason string) {
	status, name := 407, "Proxy-Authenticate"
	if a.tx.Request.Method == "REGISTER" {
		status, name = 401, "WWW-Authenticate"
	}
	if t := a.tx.Flow.Transport; t == sip.WS || t == sip.WSS {
		slices.Reverse(challenges) // JsSIP and SIP.js use the last one, other clients the first
	}
	headers := make([]sip.Header, len(challenges))
	for i, value := range challenges {
		headers[i] = sip.Header{Name: name, Value: value}
	}
	if reason != "" {
		reason = sip.ReasonPhrase(status) + ", " + reason
	}
	a.refuse(status, reason, headers...)
}

// checkIdentity reports whether an authenticated user may use the addresses of the request
// and is within its limits. From and To of a REGISTER may differ only for a trusted peer.
func (a *authRequest) checkIdentity(ctx context.Context, user sip.AoR) bool {
	r, p := a.router, &a.parties
	if wait, ok := r.opt.Guard.Limits.User(a.tx.Request.Method, user); !ok {
		a.tooMany(wait, "Too many requests of this user")
		return false
	}
	if a.tx.Request.Method == "REGISTER" && !a.mayUse(ctx, user, p.to) || !a.mayUse(ctx, user, p.from) {
		return false
	}
	a.setKnown(a.policy.Relay == RelayAuthenticated)
	if user != a.caller.sender {
		a.caller.account = user
	}
	return true
}

// mayUse reports whether a user may use an address. A request that it must not is answered.
func (a *authRequest) mayUse(ctx context.Context, user, address sip.AoR) bool {
	g := a.router.opt.Guard
	ok, err := g.identity.Allowed(ctx, user, address)
	if err != nil {
		a.unavailable("aliases not looked up", err)
		return false
	}
	if !ok {
		g.Stats.Forged.Inc()
		a.router.opt.Log.Info("user uses another's address",
			"user", user, "address", address, "method", a.tx.Request.Method, "source", a.tx.Flow.Remote)
		claimed := address.String()
		if address.IsZero() { // From of a REGISTER, which has another scheme
			claimed = a.tx.Request.From.URI.String()
		}
		a.refuse(403, fmt.Sprintf("Forbidden, %s may not use the address %s", user, claimed))
	}
	return ok
}

// unavailable answers 503 if the database has failed.
func (a *authRequest) unavailable(event string, err error) {
	a.router.opt.Log.Error("users cannot be looked up",
		"while", event, "method", a.tx.Request.Method, "source", a.tx.Flow.Remote, "error", err)
	a.tx.Stateless()
	a.tx.Unavailable("Users cannot be looked up now")
}

// checkStranger decides about a MESSAGE from another domain.
func (a *authRequest) checkStranger() verdict {
	r, c := a.router, &a.caller
	switch {
	case a.policy.Strangers == StrangersRefused:
		a.rejectStranger("Forbidden, only users of this server may send")
	case a.parties.toOurs && a.policy.Strangers == StrangersToUsers && r.opt.Rooms.IsRoom(a.parties.to):
		a.rejectStranger("Forbidden, only users of this server may use rooms")
	case !a.parties.toOurs:
		a.rejectStranger("Forbidden, this server does not relay to other domains")
	default:
		if c.sender.IsZero() && a.policy.Strangers == StrangersToAll {
			c.sender = a.parties.from
		}
		c.standing = silo.Stranger
		if !c.trusted {
			a.tx.Unproven()
		}
		return admitted
	}
	return refused
}

// isStrangers reports whether a request of a trusted peer is a message that silod has sent for a
// stranger: a contact or a proxy has sent it back. Its peer does not vouch for the sender. fromOurs
// says that From is of this server.
func (r *Router) isStrangers(req *sip.Request, fromOurs bool) bool {
	switch {
	case req.Method != "MESSAGE" || !r.opt.Guard.digest:
		return false
	case silo.HasStrangerMark(req.Headers):
		return true
	}
	return r.opt.Passed.Has(req.FromValue(), req.Get("Call-ID"), req.Body, fromOurs)
}

// rejectStranger answers 403 and counts the message.
func (a *authRequest) rejectStranger(reason string) {
	a.router.opt.Guard.Stats.Strangers.Inc()
	a.refuse(403, reason)
}

// asserted returns the sender that a peer asserts (RFC 3325). It is zero if the peer has not
// the right to do so, or if the sender asks for privacy. The error is about a malformed
// header field.
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
			sender, _ = r.opt.Domains.AoR(id.URI)
			break
		}
	}
	return sender, err
}

// wantsPrivacy reports whether Privacy asks to hide the identity from users (RFC 3325
// section 9.3).
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
