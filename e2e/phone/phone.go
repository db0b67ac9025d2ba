// Package phone is a small SIP user agent for tests: it registers, sends MESSAGE
// requests, answers those that arrive, and answers a digest challenge.
//
// Messages are parsed with sipgo's parser, so that silod is tested against another
// implementation. The connection to the server and the two non-INVITE transactions
// (RFC 3261 section 17) are the phone's own: a test needs every byte of a message and the
// order of arrival, and sipgo has its settings and timers in global variables.
//
// Locks: Phone.mu, flow.mu and answers.mu each guard the fields below them. None
// is held while another is taken, during I/O, or during a call to Receive.
package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"silod/sip"
)

// A Config describes a phone and its server.
type Config struct {
	AoR      string // "sip:alice@example.org" or "alice@example.org"
	Name     string // display name for From; "" for none
	User     string // user name for digest; "" for the AoR's user part
	Password string // for digest; "" leaves a challenge unanswered
	Server   string // "host", "host:port", "sip:host:port;transport=tcp": UDP unless it says TCP
	Local    string // address to send from, such as "127.0.0.1:0"; "" lets the system choose

	// ContactParams are parameters of the registered contact, such as ";q=0.5".
	ContactParams string

	// Receive is called with each MESSAGE in the order of arrival, one at a time, and
	// returns the answer. If it is nil, Next returns the messages.
	Receive func(*Message) Answer

	// Timeout limits the wait for a final response; 0 stands for 32 seconds, 64 times
	// T1 (RFC 3261 section 17.1.2.2).
	Timeout time.Duration

	Log *slog.Logger // nil for none
}

// Errors of requests. Those of the connection are wrapped with the address of the server.
var (
	ErrUnreachable = errors.New("no SIP server answers") // refused, reset, or not resolved
	ErrTimeout     = errors.New("no answer in time")
	ErrClosed      = errors.New("the phone is closed")
)

// inboxSize is the number of messages that wait for Next. Further ones get a 503.
const inboxSize = 256

// A Phone is one user agent. Its methods may be called concurrently. It connects at first
// use, and again at the first use after the server closed the connection.
type Phone struct {
	cfg     Config
	aor     sip.URI
	contact string // parameters of the contact
	server  endpoint
	log     *slog.Logger
	callID  string // of all REGISTERs (RFC 3261 section 10.2.4)

	inbox   chan *Message
	queue   chan *Message // read from the connection, not yet received
	answers answers       // for retransmitted requests
	done    chan struct{} // closed by Close
	readers sync.WaitGroup
	workers sync.WaitGroup // goroutines that answer messages

	mu     sync.Mutex
	closed bool
	flow   *flow
	seq    uint32 // the last CSeq
	worker bool   // the goroutine of receive was started
}

// New returns a phone that is not connected yet.
func New(cfg Config) (*Phone, error) {
	server, err := parseEndpoint(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", cfg.Server, err)
	}
	p := &Phone{
		cfg: cfg, server: server, callID: token(),
		inbox: make(chan *Message, inboxSize),
		queue: make(chan *Message, inboxSize),
		done:  make(chan struct{}),
		log:   cfg.Log,
	}
	if p.aor, err = parseURI(cfg.AoR); err != nil {
		return nil, fmt.Errorf("own address: %w", err)
	}
	if p.aor.User == "" {
		return nil, fmt.Errorf("own address: %s names no user", p.aor)
	}
	params, err := sip.ParseParams(cfg.ContactParams)
	if err == nil {
		err = checkValue(cfg.ContactParams)
	}
	if err != nil {
		return nil, fmt.Errorf("contact parameters %q: %w", cfg.ContactParams, err)
	}
	p.contact = params.String()
	if p.cfg.User == "" {
		p.cfg.User = p.aor.User
	}
	if p.cfg.Timeout <= 0 {
		p.cfg.Timeout = 64 * t1
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

// Close waits until the message in Receive is answered, closes the connection, and waits for
// the goroutines of the phone. It must not be called from Receive.
func (p *Phone) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	f := p.flow
	p.mu.Unlock()
	p.workers.Wait()
	if f != nil {
		f.conn.Close()
	}
	p.readers.Wait()
	return nil
}

// Open connects to the server if the phone is not connected, and returns the local
// address. Requests connect by themselves.
func (p *Phone) Open(ctx context.Context) (net.Addr, error) {
	f, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return f.conn.LocalAddr(), nil
}

// Next waits for the next message. It must not be called on a phone with Receive. The error
// is ErrClosed after Close, or wraps that of ctx.
func (p *Phone) Next(ctx context.Context) (*Message, error) {
	select {
	case m := <-p.inbox:
		return m, nil
	default:
	}
	select {
	case m := <-p.inbox:
		return m, nil
	case <-p.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a message: %w", ctx.Err())
	}
}

// connect returns the connection, or a new one if the old one has ended.
func (p *Phone) connect(ctx context.Context) (*flow, error) {
	p.mu.Lock()
	f, closed := p.flow, p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if f != nil && f.alive() {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	conn, err := p.server.dial(ctx, p.cfg.Local)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		conn.Close()
		return nil, ErrClosed
	case p.flow != f: // another goroutine was faster
		conn.Close()
		return p.flow, nil
	}
	f = newFlow(conn, p.server)
	p.flow = f
	p.readers.Go(func() { p.read(f) })
	if !p.worker {
		p.worker = true
		p.workers.Go(p.receive)
	}
	return f, nil
}

// nextSeq returns the next CSeq. All requests of the phone share it.
func (p *Phone) nextSeq() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	return p.seq
}

// parseURI parses a SIP URI with or without its scheme.
func parseURI(s string) (sip.URI, error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "<>") {
		na, err := sip.ParseNameAddr(s)
		if err != nil {
			return sip.URI{}, err
		}
		s = na.URI.String()
	}
	if i := strings.IndexAny(s, ":@"); i >= 0 && s[i] == '@' {
		s = "sip:" + s
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		return sip.URI{}, err
	}
	if !u.IsSIP() {
		return sip.URI{}, fmt.Errorf("%s: %w", u, sip.ErrScheme)
	}
	return u, nil
}
