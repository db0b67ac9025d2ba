// Package router says what each request means here: who may be registered, which
// MESSAGE is relayed, stored or handed to a room, and what everything else is
// answered. It brings the transaction layer, the registrar, the proxy, the silo, the rooms and the
// delivery engine together.
package router

import (
	"context"
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

// Options are what a Router needs.
type Options struct {
	Transactions *transaction.Layer
	Location     *registrar.Location
	Proxy        *proxy.Proxy
	Silo         *silo.Service
	Queue        *delivery.Queue  // the silo's
	Engine       *delivery.Engine // woken when somebody registers
	Rooms        *imc.Service
	Guard        *Guard
	Domains      sip.Domains
	Watch        *watch.Hub // told what happens; may be nil
	Log          *slog.Logger
	Now          func() time.Time

	MaxBody int    // bytes of a MESSAGE's body
	Server  string // Server header of OPTIONS and REGISTER answers
}

// Settings are what can change while requests are served.
type Settings struct {
	AcceptTimeout time.Duration // after this a message that no device has answered is stored
}

// Router routes. Make it with New.
type Router struct {
	Options
	settings atomic.Pointer[Settings]
	methods  map[string]handler
	watchers chan struct{} // bounds the calls that outlive their request
	watching sync.WaitGroup
	Stats    Stats
	Accept   mi.Histogram // from receiving a MESSAGE to its answer
}

// Stats count what was decided.
type Stats struct {
	Registers, Messages, Relayed, Forwarded, Stored, Dropped, Rejected mi.Counter
}

type handler func(*transaction.ServerTx, caller) transaction.Work

const maxWatchers = 10_000

// New makes a router.
func New(opt Options, set Settings) *Router {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	r := &Router{Options: opt, watchers: make(chan struct{}, maxWatchers)}
	r.Configure(set)
	r.methods = map[string]handler{
		"REGISTER": r.register,
		"MESSAGE":  r.message,
		"OPTIONS":  r.options,
	}
	return r
}

// Configure takes other settings from now on.
func (r *Router) Configure(set Settings) { r.settings.Store(&set) }

// Settings are those in force.
func (r *Router) Settings() Settings { return *r.settings.Load() }

// allow is what the Allow header lists.
const allow = "REGISTER, MESSAGE, OPTIONS"

// supported are the option tags that Require may name (RFC 3261 section 8.2.2.3).
var supported = map[string]bool{"path": true, "outbound": true}

// Handle is the transaction layer's: it finds out who sends a request, and has it served.
func (r *Router) Handle(tx *transaction.ServerTx) transaction.Work {
	s := sender{router: r, tx: tx}
	switch s.check() {
	case admitted:
		return r.serve(tx, s.caller())
	case unproven:
		later := s // so that s stays on the stack of requests that need no proof
		return func(ctx context.Context) {
			if !later.verify(ctx) {
				tx.Unknown = true
				return
			}
			if work := r.serve(tx, later.caller()); work != nil {
				work(ctx)
			}
		}
	}
	tx.Unknown = true
	return nil
}

// serve answers a request of a caller who is known as far as need be.
func (r *Router) serve(tx *transaction.ServerTx, from caller) transaction.Work {
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
	return h(tx, from)
}

// Done counts and logs a request that was answered. One of a stranger that was refused
// must not fill the log.
func (r *Router) Done(tx *transaction.ServerTx) {
	took, level := r.Now().Sub(tx.Received), slog.LevelDebug
	if !tx.Unknown {
		level = slog.LevelInfo
		if tx.Request.Method == "MESSAGE" {
			r.Accept.Observe(took)
			if r.Watch.Active() {
				r.tellAnswer(tx)
			}
		}
	}
	r.log(context.Background(), level, tx, took)
}

// FlowClosed is the transaction layer's: it removes the bindings of a flow.
func (r *Router) FlowClosed(f sip.Flow) { r.Location.FlowClosed(context.Background(), f) }

func (r *Router) log(ctx context.Context, level slog.Level, tx *transaction.ServerTx, took time.Duration) {
	if !r.Log.Enabled(ctx, level) {
		return
	}
	status, reason := tx.Answer()
	r.Log.Log(ctx, level, "request", "method", tx.Request.Method, "uri", tx.Request.URI, "from", tx.Request.From.URI.String(),
		"call_id", tx.Request.Get("Call-ID"), "source", tx.Flow.Remote, "transport", tx.Flow.Transport,
		"status", status, "reason", reason, "took", took.Round(time.Microsecond))
}

// otherMethod: calls and subscriptions are no service of ours. 405 for a method
// that SIP knows, 501 for one that it does not (RFC 3261 sections 8.2.1, 21.5.2).
func (r *Router) otherMethod(tx *transaction.ServerTx) {
	header := sip.Header{Name: "Allow", Value: allow}
	switch tx.Request.Method {
	case "CANCEL", "BYE", "PRACK":
		tx.Respond(481, "") // of a dialog or transaction that cannot exist here
	case "INVITE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "INFO", "UPDATE":
		tx.Respond(405, "Method Not Allowed, this server handles instant messages only", header)
	default:
		tx.Respond(501, "", header)
	}
}

func (r *Router) badTarget(tx *transaction.ServerTx, err error) {
	if isScheme(err) {
		tx.Respond(416, "")
		return
	}
	tx.Respond(400, "Bad Request-URI")
}

// unsupported lists the option tags that are required and that we do not have. A
// proxy looks at Proxy-Require, an endpoint at Require; we are both.
func unsupported(req *sip.Request) string {
	var unknown []string
	for _, tag := range append(req.OptionTags("Require"), req.OptionTags("Proxy-Require")...) {
		if !supported[tag] {
			unknown = append(unknown, tag)
		}
	}
	return strings.Join(unknown, ", ")
}

// options says what can be done here (RFC 3261 section 11.2), and who is online to
// those whom we know.
func (r *Router) options(tx *transaction.ServerTx, from caller) transaction.Work {
	a, ours := r.Domains.AoR(tx.Request.Target)
	switch {
	case !ours:
		tx.Respond(404, "Not a domain of this server")
		return nil
	case a.User != "" && from.known && !r.Location.Online(a) && !r.Rooms.IsRoom(a):
		tx.Respond(480, "")
		return nil
	}
	tx.Respond(200, "",
		sip.Header{Name: "Allow", Value: allow},
		sip.Header{Name: "Accept", Value: "*/*"},
		sip.Header{Name: "Accept-Encoding", Value: "*"},
		sip.Header{Name: "Accept-Language", Value: "*"},
		sip.Header{Name: "Supported", Value: "path, outbound"},
		sip.Header{Name: "Server", Value: r.Server})
	return nil
}

// Wait waits for the calls that have outlived their requests; ctx bounds it.
func (r *Router) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.watching.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
