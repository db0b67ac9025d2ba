package router

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"silod/auth"
	"silod/sip"
	"silod/sip/transaction"
)

// sender is one request on its way through the questions who sent it, and whether it may
// be served.
type sender struct {
	router *Router
	tx     *transaction.ServerTx
	policy *Policy
	source netip.Addr // that is charged; zero for a request that a trusted peer passes on

	asserted sip.AoR // by a trusted peer
	known    bool    // see caller
	relay    bool
	identity bool

	// The proof that is asked for: of a user of domain who may use all addresses.
	status    int // of the challenge: 401 or 407
	domain    string
	addresses []sip.AoR
}

// A verdict is the result of all checks of a sender that need not wait.
type verdict int

const (
	refused  verdict = iota // and answered
	admitted                // may be served
	unproven                // its credentials must be verified
)

// check makes them.
func (s *sender) check() verdict {
	s.policy = s.router.Guard.policy.Load()
	rights, trusted := s.router.rights(s.tx.Flow)
	var err error
	if s.asserted, err = s.router.asserted(&s.tx.Request, rights); err != nil {
		s.tx.Respond(400, "Bad P-Asserted-Identity header")
		return refused
	}
	s.identity = rights.AssertIdentity
	if !trusted {
		s.source = s.tx.Flow.Remote.Addr()
		if !s.withinLimits() {
			return refused
		}
	}
	switch {
	case trusted && !rights.Challenge:
		s.known = true
		s.relay = rights.Relay && s.policy.Relay != RelayNobody
	case !s.router.Guard.Digest:
		s.known = true
	default:
		return s.checkMethod()
	}
	return admitted
}

// caller is the result of check and verify.
func (s *sender) caller() caller {
	c := caller{sender: s.asserted, known: s.known, relay: s.relay, identity: s.identity}
	if c.sender.IsZero() && (s.known || s.policy.Strangers == StrangersToAll) {
		c.sender, _ = s.router.Domains.AoR(s.tx.Request.From.URI)
	}
	return c
}

// withinLimits answers a request that is one too many of its source.
func (s *sender) withinLimits() bool {
	kind := s.tx.Request.Method
	if kind != "REGISTER" && kind != "MESSAGE" {
		kind = ""
	}
	wait, ok := s.router.Guard.Limits.Source(kind, s.source)
	if !ok {
		s.tooMany(wait, "Too many requests from your address")
	}
	return ok
}

func (s *sender) tooMany(wait time.Duration, reason string) {
	seconds := int(min(wait, time.Hour)/time.Second) + 1
	s.refuse(503, reason, sip.Header{Name: "Retry-After", Value: strconv.Itoa(seconds)})
}

// refuse answers an unknown sender.
func (s *sender) refuse(status int, reason string, headers ...sip.Header) {
	s.tx.Stateless()
	s.tx.Respond(status, reason, headers...)
}

// checkMethod decides by the method whether the sender must prove its identity.
func (s *sender) checkMethod() verdict {
	switch s.tx.Request.Method {
	case "REGISTER":
		// To is registered, From registers it (RFC 3261 section 10.2). They may differ only
		// for a trusted peer.
		to, ours := s.router.Domains.AoR(s.tx.Request.To.URI)
		if !ours {
			s.refuse(404, "Not a domain of this registrar")
			return refused
		}
		from, _ := s.router.Domains.AoR(s.tx.Request.From.URI)
		return s.demandProof(401, to.Domain, to, from)
	case "MESSAGE":
		from, ours := s.router.Domains.AoR(s.tx.Request.From.URI)
		if !ours {
			return s.checkStranger()
		}
		return s.demandProof(407, from.Domain, from)
	}
	s.tx.Stateless() // nothing is done that needs to be known again
	return admitted
}

// demandProof asks for digest credentials of a user of the domain who may use all these
// addresses, and challenges a request that has none.
func (s *sender) demandProof(status int, domain string, addresses ...sip.AoR) verdict {
	s.status, s.domain, s.addresses = status, domain, addresses
	if !s.tx.Request.Has("Authorization") && !s.tx.Request.Has("Proxy-Authorization") {
		s.challenge(s.router.Guard.Auth.Challenge(s.router.Guard.RealmOf(domain), s.source))
		return refused
	}
	return unproven
}

// verify reports whether the credentials prove that the sender is who it says. It may
// wait for the database; a request without proof is answered.
func (s *sender) verify(ctx context.Context) bool {
	res, err := s.router.Guard.Auth.Verify(ctx, auth.Request{
		Method: s.tx.Request.Method, URI: s.tx.Request.URI, Realm: s.router.Guard.RealmOf(s.domain), Domain: s.domain, Source: s.source,
		Credentials: append(s.tx.Request.Values("Authorization"), s.tx.Request.Values("Proxy-Authorization")...),
	})
	if err != nil {
		s.unavailable("request not authenticated", err)
		return false
	}
	switch res.Outcome {
	case auth.Accepted:
		return s.checkIdentity(ctx, res.User)
	case auth.Malformed:
		s.refuse(400, res.Reason)
		return false
	case auth.WrongPassword, auth.UnknownUser:
		s.router.Log.Info("authentication failed", "user", fmt.Sprintf("%.100s", res.Name), "method", s.tx.Request.Method,
			"source", s.tx.Flow.Remote, "transport", s.tx.Flow.Transport)
	}
	s.challenge(res.Challenges)
	return false
}

// challenge answers 401 or 407 with these challenges.
func (s *sender) challenge(challenges []string) {
	name := "WWW-Authenticate"
	if s.status == 407 {
		name = "Proxy-Authenticate"
	}
	if t := s.tx.Flow.Transport; t == sip.WS || t == sip.WSS {
		slices.Reverse(challenges) // JsSIP and SIP.js look at the last, where others look at the first
	}
	headers := make([]sip.Header, len(challenges))
	for i, value := range challenges {
		headers[i] = sip.Header{Name: name, Value: value}
	}
	s.refuse(s.status, "", headers...)
}

// checkIdentity reports whether an authenticated user may use the addresses of the request,
// and is within its limits.
func (s *sender) checkIdentity(ctx context.Context, user sip.AoR) bool {
	if wait, ok := s.router.Guard.Limits.User(s.tx.Request.Method, user); !ok {
		s.tooMany(wait, "Too many requests of this user")
		return false
	}
	for _, a := range s.addresses {
		ok, err := s.router.Guard.Identity.Allowed(ctx, user, a)
		if err != nil {
			s.unavailable("aliases not looked up", err)
			return false
		}
		if !ok {
			s.router.Guard.Stats.Forged.Inc()
			s.router.Log.Info("user uses another's address",
				"user", user, "address", a, "method", s.tx.Request.Method, "source", s.tx.Flow.Remote)
			s.refuse(403, fmt.Sprintf("Forbidden, %s may not use the address %s", user, a))
			return false
		}
	}
	s.known = true
	s.relay = s.policy.Relay == RelayAuthenticated
	return true
}

// unavailable answers 503: the database has said nothing, so there is no verdict.
func (s *sender) unavailable(event string, err error) {
	s.router.Log.Error("users cannot be looked up", "while", event, "method", s.tx.Request.Method, "source", s.tx.Flow.Remote, "error", err)
	s.tx.Stateless()
	s.tx.Unavailable("Users cannot be looked up now")
}

// checkStranger decides about a MESSAGE whose From is of another domain.
func (s *sender) checkStranger() verdict {
	to, ours := s.router.Domains.AoR(s.tx.Request.Target)
	switch {
	case s.policy.Strangers == StrangersRefused:
		s.rejectStranger("Forbidden, only users of this server may send")
	case ours && s.policy.Strangers == StrangersToUsers && s.router.Rooms.IsRoom(to):
		s.rejectStranger("Forbidden, only users of this server may use rooms")
	case !ours:
		s.rejectStranger("Forbidden, this server does not relay to other domains")
	default:
		return admitted
	}
	return refused
}

func (s *sender) rejectStranger(reason string) {
	s.router.Guard.Stats.Strangers.Inc()
	s.refuse(403, reason)
}
