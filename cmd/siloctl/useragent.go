package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emiago/sipgo"
	gosip "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"silod/sip"
)

// sipSettings describes a user agent and the server that it talks to.
type sipSettings struct {
	aor      string // "sip:alice@example.org" or "alice@example.org"
	name     string // display name in From; "" for none
	user     string // user name for digest; "" for the AoR's user part
	password string // for digest; "" leaves a challenge unanswered
	server   endpoint
	local    string         // address to send from; "" lets the system choose
	roots    *x509.CertPool // for TLS; nil for the system's
	timeout  time.Duration  // for each request, its repetition with credentials included

	// receive is called with each MESSAGE, one at a time and in the order of arrival, and returns
	// the status code of the answer. nil refuses all.
	receive func(*sipMessage) int
}

// A userAgent sends requests and receives messages over one connection to its server, which opens
// at first use, and again when it is needed after the server closed it. One goroutine calls its
// methods; sipgo's goroutines call receive.
type userAgent struct {
	cfg    sipSettings
	aor    sip.URI
	callID string // of all REGISTERs (RFC 3261 section 10.2.4)
	seq    uint32 // the last CSeq
	flow   *flow  // nil before the first request

	receiving sync.Mutex // held while cfg.receive runs: a message of the last connection may still be printed
}

// A flow is a connection with sipgo's user agent, client and server on it. sipgo's connection pool,
// transactions and goroutines end with the flow.
type flow struct {
	link     *link
	agent    *sipgo.UserAgent
	client   *sipgo.Client
	arrivals *arrivals
	serving  chan struct{} // closed when the server has stopped
	pooled   sync.Once     // by the first call of note
}

const (
	maxMessage   = 1 << 20 // bytes, on a stream
	allowed      = "MESSAGE, OPTIONS"
	deliveryTime = time.Second // for a response to get from the connection to its request
)

// newUserAgent checks the settings. It opens nothing.
func newUserAgent(cfg sipSettings) (*userAgent, error) {
	aor, err := parseSIPURI(cfg.aor)
	if err != nil {
		return nil, fmt.Errorf("own address: %w", err)
	}
	if aor.User == "" {
		return nil, fmt.Errorf("own address: %s has no user", aor)
	}
	if cfg.user == "" {
		cfg.user = aor.AoR().PlainUser()
	}
	return &userAgent{cfg: cfg, aor: aor, callID: rand.Text()}, nil
}

// close answers the message that is being received, ends the connection, and waits until the server
// has stopped. It must not be called from receive.
func (u *userAgent) close() {
	if u.flow != nil {
		u.flow.close()
	}
}

// connect returns the flow, or a new one if the old one has ended. Errors: errNoServer, errNoAnswer.
func (u *userAgent) connect(ctx context.Context) (*flow, error) {
	if u.flow != nil {
		if u.flow.link.alive() {
			return u.flow, nil
		}
		u.flow.close()
		u.flow = nil
	}
	l, err := u.cfg.server.dial(ctx, u.cfg.local, u.cfg.roots)
	if err != nil {
		return nil, err
	}
	u.flow, err = u.newFlow(l)
	return u.flow, err
}

// setUpSipgo sets the global variables of sipgo, once.
var setUpSipgo = sync.OnceFunc(func() {
	gosip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	gosip.TransportBufferReadSize = math.MaxUint16 // no datagram is cut
	gosip.Timer_B = math.MaxInt64                  // contexts end transactions, --timeout may be longer
})

// newFlow starts sipgo on a link. It closes the link if that fails.
func (u *userAgent) newFlow(l *link) (*flow, error) {
	setUpSipgo()
	agent, err := sipgo.NewUA(sipgo.WithUserAgentParser(newSIPParser()), sipgo.WithUserAgentTransactionLayerOptions(
		gosip.WithTransactionLayerUnhandledResponseHandler(func(*gosip.Response) {}))) // late: the request has ended
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f := &flow{link: l, agent: agent, arrivals: newArrivals(l.gone), serving: make(chan struct{})}
	client, err := sipgo.NewClient(agent, sipgo.WithClientAddr(l.LocalAddr().String()), sipgo.WithClientNAT())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f.client = client
	server, err := sipgo.NewServer(agent)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	u.handle(server, f)
	agent.TransportLayer().OnMessage(f.note)
	go func() {
		defer close(f.serving)
		_ = f.serve(server) // link.cause has the reason
	}()
	select {
	case <-l.reading:
		f.pool().Add(addrPort(l.LocalAddr()).String(), pooled{l})
		f.pool().Add(f.server(), pooled{l})
		return f, nil
	case <-f.serving:
		return nil, errors.Join(errClosed, l.Close())
	}
}

// note is called by sipgo with each message that arrives, in order.
func (f *flow) note(msg gosip.Message) {
	f.pooled.Do(func() { f.pool().Add(f.server(), pooled{f.link}) }) // over UDP, sipgo has just added its own
	f.arrivals.note(msg)
}

// pool returns sipgo's pool of connections.
func (f *flow) pool() *gosip.ConnectionPool {
	return f.agent.TransportLayer().Pool(f.link.server.network)
}

// server returns the address of the server, by which sipgo's pool finds the connection.
func (f *flow) server() string { return addrPort(f.link.RemoteAddr()).String() }

// serve makes sipgo read the link, and returns when the link has ended.
func (f *flow) serve(server *sipgo.Server) error {
	switch f.link.server.network {
	case "udp":
		return server.ServeUDP(f.link)
	case "tls":
		return server.ServeTLS(&accepted{link: f.link})
	}
	return server.ServeTCP(&accepted{link: f.link})
}

// close answers the messages that have arrived, then ends the flow.
func (f *flow) close() {
	f.arrivals.close()
	f.agent.TransactionLayer().Close() // Close of the agent would empty the pool
	f.link.Close()
	<-f.serving
}

// handle sets the functions that answer requests.
func (u *userAgent) handle(server *sipgo.Server, f *flow) {
	server.OnMessage(func(req *gosip.Request, tx gosip.ServerTransaction) {
		f.arrivals.handle(transactionKey(req), func(at time.Time) int { return u.receive(req, at) }, func(code int) {
			var more []gosip.Header
			if code == gosip.StatusServiceUnavailable { // the sender's server keeps it until then
				more = append(more, gosip.NewHeader("Retry-After", "5"))
			}
			respond(req, tx, code, more...)
		})
	})
	allow := gosip.NewHeader("Allow", allowed)
	server.OnOptions(func(req *gosip.Request, tx gosip.ServerTransaction) { respond(req, tx, gosip.StatusOK, allow) })
	server.OnAck(func(*gosip.Request, gosip.ServerTransaction) {}) // of an INVITE that was refused
	server.OnCancel(func(req *gosip.Request, tx gosip.ServerTransaction) {
		respond(req, tx, gosip.StatusCallTransactionDoesNotExists)
	})
	server.OnNoRoute(func(req *gosip.Request, tx gosip.ServerTransaction) {
		respond(req, tx, gosip.StatusMethodNotAllowed, allow)
	})
}

// receive passes a message to the receive function of the settings, and returns the status code of
// its answer; 0 for a message that cannot be answered.
func (u *userAgent) receive(req *gosip.Request, at time.Time) int {
	m, err := newMessage(req, at)
	switch {
	case err != nil:
		return 0
	case u.cfg.receive == nil:
		return gosip.StatusTemporarilyUnavailable
	}
	u.receiving.Lock()
	defer u.receiving.Unlock()
	return u.cfg.receive(m)
}

// A sipRequest is a request outside any dialog.
type sipRequest struct {
	method  string
	uri     string // Request-URI; "" for the URI of to
	to      string // "sip:bob@example.org", with a display name if wanted
	callID  string // "" for a new one
	headers []sip.Header
	body    []byte
}

// do sends a request, again with credentials if it is challenged, and returns the final response,
// which may be a refusal. The error wraps errNoServer, errNoAnswer, errTooLong, or the cause for which
// ctx was canceled, unless the request is not valid.
func (u *userAgent) do(ctx context.Context, r sipRequest) (*gosip.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.cfg.timeout,
		fmt.Errorf("%w (%s) from %s", errNoAnswer, u.cfg.timeout, u.cfg.server))
	defer cancel()
	res, err := u.exchange(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.method, err)
	}
	return res, nil
}

// exchange is do without the timeout.
func (u *userAgent) exchange(ctx context.Context, r sipRequest) (*gosip.Response, error) {
	f, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	u.seq++
	req, err := u.build(r, u.seq)
	if err != nil {
		return nil, err
	}
	f.route(req)
	res, err := f.transact(ctx, u.seq, func(ctx context.Context) (*gosip.Response, error) { return f.client.Do(ctx, req) })
	// Twice: a proxy may challenge after the registrar, and a nonce may be stale.
	for range 2 {
		if err != nil || u.cfg.password == "" {
			break
		}
		challenge := challengeFor(req, res)
		if challenge == nil {
			break
		}
		u.seq++ // as DoDigestAuth does in the request
		res, err = f.transact(ctx, u.seq, func(ctx context.Context) (*gosip.Response, error) {
			return f.client.DoDigestAuth(ctx, req, challenge, sipgo.DigestAuth{Username: u.cfg.user, Password: u.cfg.password})
		})
	}
	return res, err
}

// transact calls do and returns its response. It stops waiting when ctx or the link has ended, but
// still returns a response that has arrived by then: the server may have accepted a REGISTER and closed
// the connection. seq is the CSeq of the request.
func (f *flow) transact(
	ctx context.Context, seq uint32, do func(context.Context) (*gosip.Response, error),
) (*gosip.Response, error) {
	select {
	case <-f.link.refused: // for an earlier request
	default:
	}
	defer f.arrivals.expect(seq)()
	waiting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	go func() {
		cause := f.ended(ctx, waiting)
		if f.arrivals.responded() {
			pause(waiting, deliveryTime)
		}
		cancel(cause)
	}()
	res, err := do(waiting)
	switch {
	case err == nil && res != nil:
		return res, nil
	case waiting.Err() != nil:
		return nil, context.Cause(waiting)
	case err == nil:
		return nil, errClosed
	case errors.Is(err, errTooLong):
		return nil, errTooLong
	case !f.link.alive():
		return nil, f.link.cause
	case errors.Is(err, gosip.ErrTransactionTransport):
		return nil, f.link.server.unreachable(err)
	}
	return nil, err
}

// ended waits until no response can be expected any more, and returns the reason.
func (f *flow) ended(ctx, waiting context.Context) error {
	select {
	case <-f.link.refused:
		return f.link.server.unreachable(syscall.ECONNREFUSED)
	case <-f.link.gone:
		return f.link.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-waiting.Done():
		return waiting.Err()
	}
}

// route makes sipgo send a request over the link: without the local address it may open another socket.
func (f *flow) route(req *gosip.Request) {
	local := addrPort(f.link.LocalAddr())
	req.Laddr = gosip.Addr{IP: local.Addr().AsSlice(), Port: int(local.Port())}
	req.SetTransport(strings.ToUpper(f.link.server.network))
	req.SetDestination(f.server())
}

// challengeFor returns a response with only the challenge that DoDigestAuth is to answer: of several,
// the topmost that is supported (RFC 8760 section 2.4). It returns nil if res is not a challenge, if it
// refuses the credentials that were sent, or if no challenge is supported.
func challengeFor(req *gosip.Request, res *gosip.Response) *gosip.Response {
	challenge, credentials := "WWW-Authenticate", "Authorization"
	switch res.StatusCode {
	case gosip.StatusUnauthorized:
	case gosip.StatusProxyAuthRequired:
		challenge, credentials = "Proxy-Authenticate", "Proxy-Authorization"
	default:
		return nil
	}
	for _, h := range res.GetHeaders(challenge) {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		c.Algorithm = strings.ToUpper(c.Algorithm)
		for i := range c.QOP {
			c.QOP[i] = strings.TrimSpace(c.QOP[i])
		}
		if !digest.CanDigest(c) || len(c.QOP) > 0 && !c.SupportsQOP("auth") {
			continue
		}
		if req.GetHeader(credentials) != nil && !c.Stale {
			return nil
		}
		alone := gosip.NewResponse(res.StatusCode, res.Reason)
		alone.AppendHeader(gosip.NewHeader(challenge, c.String()))
		return alone
	}
	return nil
}
