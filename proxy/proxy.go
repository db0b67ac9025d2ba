// Package proxy carries requests to devices (RFC 3261 section 16). It knows the devices of a
// user and the routes to each, sends a MESSAGE to several devices at once, and collects
// their responses. It decides nothing: package router decides how a relayed message is
// answered, package delivery whether a queued one is sent again.
//
// A Fork is a message on its way to its devices, an attempt is its way to one of them, and
// a Sender makes Forks of the messages of a delivery queue.
//
// Locks: sharedMailboxes.mu and forkBucket.mu, see there.
package proxy

import (
	"log/slog"
	"sync/atomic"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
	"silod/watch"
)

// Options are what a Proxy needs.
type Options struct {
	Transport    *transport.Layer
	Transactions *transaction.Layer
	Location     *registrar.Location
	Domains      sip.Domains
	Own          sip.OwnAddresses
	IsRoom       func(sip.AoR) bool // reports whether an address is that of a chat room; nil: none is
	Watch        *watch.Hub         // receives an event for each message sent and each response; may be nil
	Log          *slog.Logger       // nil: nothing is logged
}

// Settings are what Configure can change while messages are sent.
type Settings struct {
	OutboundProxy *sip.URI // next hop to addresses that are not ours; nil, or this server itself: DNS
	UserProxy     *sip.URI // next hop to users of ours without a registration; nil, or this server itself: none
	LargeOverUDP  bool     // send a request above transport.MaxDatagram over UDP if TCP cannot be used
	NATPing       NATPing
}

// A Proxy sends requests to devices.
type Proxy struct {
	transport    *transport.Layer
	transactions *transaction.Layer
	location     *registrar.Location
	domains      sip.Domains
	own          sip.OwnAddresses
	isRoom       func(sip.AoR) bool
	watch        *watch.Hub
	log          *slog.Logger
	settings     atomic.Pointer[Settings]
	mailboxes    sharedMailboxes
	forks        forkIndex

	Pings PingStats
}

// New returns a proxy.
func New(opt Options, set Settings) *Proxy {
	p := &Proxy{
		transport: opt.Transport, transactions: opt.Transactions, location: opt.Location, domains: opt.Domains,
		own: opt.Own, isRoom: opt.IsRoom, watch: opt.Watch, log: opt.Log,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.isRoom == nil {
		p.isRoom = func(sip.AoR) bool { return false }
	}
	p.Configure(set)
	return p
}

// Configure replaces the settings.
func (p *Proxy) Configure(set Settings) {
	set.OutboundProxy, set.UserProxy = p.notOwn(set.OutboundProxy), p.notOwn(set.UserProxy)
	p.settings.Store(&set)
}

// Settings returns the settings in force.
func (p *Proxy) Settings() Settings { return *p.settings.Load() }
