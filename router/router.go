// Package router decides what becomes of requests: which senders are served, which
// contacts are registered, and whether a MESSAGE is relayed, stored or passed to a room. It
// connects the transaction layer, the registrar, the proxy, the silo, the rooms and the
// delivery engine.
package router

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"silod/delivery"
	"silod/imc"
	"silod/mi"
	"silod/proxy"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/watch"
)

// Options are the parts that a Router uses, and its fixed settings.
type Options struct {
	Transactions *transaction.Layer
	Location     *registrar.Location
	Proxy        *proxy.Proxy
	Silo         *silo.Service
	Queue        *delivery.Queue  // the silo's
	Engine       *delivery.Engine // is woken after a REGISTER
	Rooms        *imc.Service
	Guard        *Guard
	Domains      sip.Domains
	Own          sip.OwnAddresses // which no contact may name
	Passed       *silo.Passed     // messages that were sent for strangers; nil: none are
	Watch        *watch.Hub       // receives events; may be nil
	Log          *slog.Logger     // required
	Now          func() time.Time // nil: time.Now

	MaxBody int    // bytes of a MESSAGE's body
	Server  string // Server header of responses to OPTIONS and REGISTER
}

// Settings are what Configure can change while requests are handled.
type Settings struct {
	AcceptTimeout time.Duration // time for a device to respond before its message is stored
}

// A Router decides what becomes of requests. It implements transaction.Handler.
type Router struct {
	opt       Options
	settings  atomic.Pointer[Settings]
	methods   map[string]handler
	lateForks chan struct{}  // has an element for each fork that outlives its request
	late      sync.WaitGroup // of the goroutines that wait for them

	Stats  Stats
	Accept mi.Histogram // time from the receipt of a MESSAGE to its answer
}

// Stats count decisions.
type Stats struct {
	Registers, Messages, Relayed, Forwarded, Stored, Dropped, Rejected mi.Counter
}

// A handler handles the requests of a method from an identified caller.
type handler func(*transaction.ServerTx, parties, caller) transaction.Work

// New returns a router.
func New(opt Options, set Settings) *Router {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Passed == nil {
		opt.Passed = silo.NewPassed(opt.Now)
	}
	r := &Router{opt: opt, lateForks: make(chan struct{}, maxLateForks)}
	r.Configure(set)
	r.methods = map[string]handler{
		"REGISTER": r.register,
		"MESSAGE":  r.message,
		"OPTIONS":  r.options,
	}
	return r
}

// Configure replaces the settings.
func (r *Router) Configure(set Settings) { r.settings.Store(&set) }

// Settings returns the settings in force.
func (r *Router) Settings() Settings { return *r.settings.Load() }

// allow is the value of the Allow header.
const allow = "REGISTER, MESSAGE, OPTIONS"

// supported are the option tags that Require may name (RFC 3261 section 8.2.2.3).
var supported = map[string]bool{"path": true, "outbound": true}

// Handle identifies the sender of a request and handles it. It implements transaction.Handler.
func (r *Router) Handle(tx *transaction.ServerTx) transaction.Work {
	a := authRequest{router: r, tx: tx}
	switch a.check() {
	case admitted:
		return r.serve(tx, a.parties, a.caller)
	case unproven:
		later := a // keeps a off the heap for requests without credentials
		return func(ctx context.Context) {
			if !later.verify(ctx) {
				tx.Unknown = true
				return
			}
			if work := r.serve(tx, later.parties, later.caller); work != nil {
				work(ctx)
			}
		}
	}
	tx.Unknown = true
	return nil
}

// serve handles a request of an identified caller.
func (r *Router) serve(tx *transaction.ServerTx, p parties, from caller) transaction.Work {
	h := r.methods[tx.Request.Method]
	if h == nil {
		r.otherMethod(tx)
		return nil
	}
	if err := tx.Request.TargetErr; err != nil {
		r.badTarget(tx, err)
		return nil
	}
	if !tx.Request.Target.IsSIP() {
		r.badTarget(tx, sip.ErrScheme)
		return nil
	}
	if unknown := unsupported(&tx.Request); unknown != "" {
		tx.Respond(420, "", sip.Header{Name: "Unsupported", Value: unknown})
		return nil
	}
	return h(tx, p, from)
}

// Done counts and logs an answered request. It implements transaction.Handler. Refusals of unknown
// senders are logged at debug level, or they would fill the log.
func (r *Router) Done(tx *transaction.ServerTx) {
	took, level := r.opt.Now().Sub(tx.Received), slog.LevelDebug
	if !tx.Unknown {
		level = slog.LevelInfo
		if tx.Request.Method == "MESSAGE" {
			r.Accept.Observe(took)
			if r.opt.Watch.Active() {
				r.publishAnswer(tx)
			}
		}
	}
	r.log(context.Background(), level, tx, took)
}

// FlowClosed removes the bindings of a closed flow. It implements transaction.Handler.
func (r *Router) FlowClosed(f sip.Flow) { r.opt.Location.FlowClosed(context.Background(), f) }

func (r *Router) log(ctx context.Context, level slog.Level, tx *transaction.ServerTx, took time.Duration) {
	if !r.opt.Log.Enabled(ctx, level) {
		return
	}
	status, reason := tx.Answer()
	r.opt.Log.Log(ctx, level, "request", "method", tx.Request.Method, "uri", tx.Request.URI, "from", tx.Request.From.URI.String(),
		"call_id", tx.Request.Get("Call-ID"), "source", tx.Flow.Remote, "transport", tx.Flow.Transport,
		"status", status, "reason", reason, "took", took.Round(time.Microsecond))
}

// otherMethod answers a request with an unsupported method: 405 for a method of SIP, 501 for
// an unknown one (RFC 3261 sections 8.2.1, 21.5.2).
func (r *Router) otherMethod(tx *transaction.ServerTx) {
	header := sip.Header{Name: "Allow", Value: allow}
	switch tx.Request.Method {
	case "CANCEL", "BYE", "PRACK":
		tx.Respond(481, "") // no dialog or transaction can exist
	case "INVITE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "INFO", "UPDATE":
		tx.Respond(405, "Method Not Allowed, this server handles instant messages only", header)
	default:
		tx.Respond(501, "", header)
	}
}

func (r *Router) badTarget(tx *transaction.ServerTx, err error) {
	if errors.Is(err, sip.ErrScheme) {
		tx.Respond(416, "Unsupported URI Scheme, the Request-URI must be a sip or sips URI")
		return
	}
	tx.Respond(400, "Bad Request-URI, "+err.Error())
}

// unsupported returns the option tags that a request requires and that are not supported.
// Require is for endpoints and Proxy-Require for proxies; this server is both.
func unsupported(req *sip.Request) string {
	var unknown []string
	for _, tag := range append(req.OptionTags("Require"), req.OptionTags("Proxy-Require")...) {
		if !supported[tag] {
			unknown = append(unknown, tag)
		}
	}
	return strings.Join(unknown, ", ")
}

// options answers an OPTIONS (RFC 3261 section 11.2). To known callers it also says whether
// a user is online.
func (r *Router) options(tx *transaction.ServerTx, p parties, from caller) transaction.Work {
	switch {
	case !p.toOurs:
		tx.Respond(404, "Not a domain of this server")
		return nil
	case p.to.User != "" && from.known && !r.opt.Location.Online(p.to) && !r.opt.Rooms.IsRoom(p.to):
		tx.Respond(480, "")
		return nil
	}
	tx.Respond(200, "",
		sip.Header{Name: "Allow", Value: allow},
		sip.Header{Name: "Accept", Value: "*/*"},
		sip.Header{Name: "Accept-Encoding", Value: "*"},
		sip.Header{Name: "Accept-Language", Value: "*"},
		sip.Header{Name: "Supported", Value: "path, outbound"},
		sip.Header{Name: "Server", Value: r.opt.Server})
	return nil
}
