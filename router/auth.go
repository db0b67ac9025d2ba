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
	"silod/stack"
)

// visit is one request on its way through the guard.
type visit struct {
	*Router
	caller
	tx     *stack.ServerTx
	policy *Policy
	source netip.Addr // that is charged; zero for what comes by way of a peer
}

// withinLimits answers a request that is one too many of its source.
func (v *visit) withinLimits() bool {
	kind := v.tx.Request.Method
	if kind != "REGISTER" && kind != "MESSAGE" {
		kind = ""
	}
	wait, ok := v.Guard.Limits.Source(kind, v.source)
	if !ok {
		v.tooMany(wait, "Too many requests from your address")
	}
	return ok
}

func (v *visit) tooMany(wait time.Duration, reason string) {
	seconds := int(min(wait, time.Hour)/time.Second) + 1
	v.refuse(503, reason, sip.Header{Name: "Retry-After", Value: strconv.Itoa(seconds)})
}

// refuse answers somebody who is not known to us.
func (v *visit) refuse(status int, reason string, headers ...sip.Header) {
	v.tx.Stateless()
	v.tx.Respond(status, reason, headers...)
}

// verify asks who sends a request to prove it, where that is to be proved.
func (v *visit) verify(ctx context.Context) bool {
	switch v.tx.Request.Method {
	case "REGISTER":
		return v.verifyRegister(ctx)
	case "MESSAGE":
		from, ours := v.Domains.AoR(v.tx.Request.From.URI)
		if !ours {
			return v.admitStranger()
		}
		return v.prove(ctx, 407, from.Domain, from)
	}
	v.tx.Stateless() // nothing is done that needs to be known again
	return true
}

// verifyRegister is for a REGISTER: To is who is registered, and From who does it (RFC
// 3261 section 10.2). A third party may where it is a trusted peer.
func (v *visit) verifyRegister(ctx context.Context) bool {
	to, ours := v.Domains.AoR(v.tx.Request.To.URI)
	if !ours {
		v.refuse(404, "Not a domain of this registrar")
		return false
	}
	from, _ := v.Domains.AoR(v.tx.Request.From.URI)
	return v.prove(ctx, 401, to.Domain, to, from)
}

// prove asks for digest credentials of a user of the domain who may use all these
// addresses.
func (v *visit) prove(ctx context.Context, status int, domain string, addresses ...sip.AoR) bool {
	credentials := append(v.tx.Request.Values("Authorization"), v.tx.Request.Values("Proxy-Authorization")...)
	if len(credentials) > 0 {
		v.tx.Detach() // the user may have to be read
	}
	res, err := v.Guard.Auth.Verify(ctx, auth.Request{
		Method: v.tx.Request.Method, URI: v.tx.Request.URI, Realm: v.Guard.RealmOf(domain), Domain: domain, Source: v.source,
		Credentials: credentials,
	})
	if err != nil {
		v.unavailable("request not authenticated", err)
		return false
	}
	switch res.Outcome {
	case auth.Accepted:
		return v.bind(ctx, res.User, addresses)
	case auth.Malformed:
		v.refuse(400, res.Reason)
		return false
	case auth.WrongPassword, auth.UnknownUser:
		v.Log.Info("authentication failed", "user", fmt.Sprintf("%.100s", res.Name), "method", v.tx.Request.Method,
			"source", v.tx.Flow.Remote, "transport", v.tx.Flow.Transport)
	}
	name := "WWW-Authenticate"
	if status == 407 {
		name = "Proxy-Authenticate"
	}
	if t := v.tx.Flow.Transport; t == sip.WS || t == sip.WSS {
		slices.Reverse(res.Challenges) // JsSIP and SIP.js look at the last, where others look at the first
	}
	headers := make([]sip.Header, len(res.Challenges))
	for i, value := range res.Challenges {
		headers[i] = sip.Header{Name: name, Value: value}
	}
	v.refuse(status, "", headers...)
	return false
}

// bind makes sure that a user who has proved himself says no other name, and does not
// send too much.
func (v *visit) bind(ctx context.Context, user sip.AoR, addresses []sip.AoR) bool {
	if wait, ok := v.Guard.Limits.User(v.tx.Request.Method, user); !ok {
		v.tooMany(wait, "Too many requests of this user")
		return false
	}
	for _, a := range addresses {
		ok, err := v.Guard.Identity.Allowed(ctx, user, a)
		if err != nil {
			v.unavailable("aliases not looked up", err)
			return false
		}
		if !ok {
			v.Guard.Stats.Forged.Inc()
			v.Log.Info("user uses another's address", "user", user, "address", a, "method", v.tx.Request.Method, "source", v.tx.Flow.Remote)
			v.refuse(403, fmt.Sprintf("Forbidden, %s may not use the address %s", user, a))
			return false
		}
	}
	v.known = true
	v.relay = v.policy.Relay == RelayAuthenticated
	return true
}

// unavailable answers 503: the database has said nothing, so there is no verdict.
func (v *visit) unavailable(event string, err error) {
	v.Log.Error("users cannot be looked up", "while", event, "method", v.tx.Request.Method, "source", v.tx.Flow.Remote, "error", err)
	v.tx.Stateless()
	v.tx.Unavailable("Users cannot be looked up now")
}

// admitStranger decides about a MESSAGE whose sender says that he is of another domain.
func (v *visit) admitStranger() bool {
	to, ours := v.Domains.AoR(v.tx.Request.Target)
	switch {
	case v.policy.Strangers == StrangersRefused:
		v.strange("Forbidden, only users of this server may send")
	case ours && v.policy.Strangers == StrangersToUsers && v.Rooms.IsRoom(to):
		v.strange("Forbidden, only users of this server may use rooms")
	case !ours:
		v.strange("Forbidden, this server does not relay to other domains")
	default:
		return true
	}
	return false
}

func (v *visit) strange(reason string) {
	v.Guard.Stats.Strangers.Inc()
	v.refuse(403, reason)
}
