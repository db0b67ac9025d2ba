// Package phone is a small SIP user agent for instant messages: it registers,
// sends MESSAGE requests, answers those that arrive, and answers a digest
// challenge. siloctl's send and listen use it, and so do end-to-end tests, as
// alice and bob.
//
// It knows nothing of rooms, queues or management. Messages are read with
// sipgo's parser; the one connection to the server and the two non-INVITE
// transactions (RFC 3261 section 17) are its own, because a phone that shows what
// a server really sent needs every header byte as it was on the wire and the
// order in which messages arrived, and one that lives beside a server in the same
// process must not share sipgo's process-wide settings and timers with it.
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

// Config says whose phone it is and which server it talks to.
type Config struct {
	AoR      string // who we are: "sip:alice@example.org" or "alice@example.org"
	Name     string // display name for From; "" for none
	User     string // user name for digest; "" for the AoR's user part
	Password string // for digest; "" leaves a challenge unanswered
	Server   string // "host", "host:port", "sip:host:port;transport=tcp": UDP unless it says TCP
	Local    string // address to send from, "127.0.0.1:0" for one; "" lets the system choose

	// ContactParams is written behind the registered contact: ";q=0.5" for one.
	ContactParams string

	// Receive is called with each MESSAGE in the order of arrival, one at a time,
	// and its answer goes back when it returns. nil puts messages into Inbox.
	Receive func(*Message) Answer

	// Timeout is how long a request waits for its final answer; 0 stands for 32
	// seconds, 64 times T1 (RFC 3261 section 17.1.2.2).
	Timeout time.Duration

	Log *slog.Logger // nil discards
}

// What can go wrong on the way to the server. Errors wrap these with the address.
var (
	ErrUnreachable = errors.New("no SIP server answers") // refused, reset, or not to be resolved
	ErrTimeout     = errors.New("no answer in time")     // silence
	ErrClosed      = errors.New("the phone is closed")   // Close was called
)

// inboxSize is how many messages wait for Next before further ones get a 503.
const inboxSize = 256

// Phone is one user agent. Its methods may be called concurrently. The
// connection opens at first use, and again when it is needed after the server
// closed it.
type Phone struct {
	cfg     Config
	aor     sip.URI
	contact string // parameters behind the contact
	server  endpoint
	log     *slog.Logger
	callID  string // of all REGISTERs (RFC 3261 section 10.2.4)

	inbox   chan *Message
	queue   chan *Message // read from the connection, not yet received
	answers answers       // to requests that may come again
	done    chan struct{} // closed by Close
	readers sync.WaitGroup
	workers sync.WaitGroup // those that answer messages

	mu     sync.Mutex
	closed bool
	flow   *flow
	seq    uint32 // the last CSeq
	worker bool   // started
}

// New checks the configuration. Nothing is opened yet.
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

// AoR is the address that the phone registers, in its canonical form.
func (p *Phone) AoR() sip.AoR { return p.aor.AoR() }

// Close answers the message that Receive has in hand, ends the connection, and
// waits until everything that the phone started has ended. It must not be called
// from Receive.
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

// Open connects to the server, where that has not happened yet, and tells the
// local address. Requests do it by themselves.
func (p *Phone) Open(ctx context.Context) (net.Addr, error) {
	f, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return f.conn.LocalAddr(), nil
}

// Next waits for a message of the inbox, which stays empty on a phone with Receive.
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

// connect gives the live connection, or makes one.
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
	case p.flow != f: // somebody else was faster
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

// nextSeq counts CSeq for all requests of the phone.
func (p *Phone) nextSeq() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	return p.seq
}

// parseURI reads a SIP URI as people write it: with or without its scheme.
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
