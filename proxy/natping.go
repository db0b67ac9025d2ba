package proxy

import (
	"context"
	"sync"
	"time"

	"silod/mi"
	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// NATPing are the settings of the packets that keep the NATs of clients open over UDP.
type NATPing struct {
	Every    time.Duration // between two packets to a binding; 0: none are sent
	Options  bool          // send OPTIONS requests instead of empty lines
	Failures int           // OPTIONS in a row without an answer, after which a binding is removed; 0: never
}

const (
	pingTick     = 100 * time.Millisecond
	pingsPerTick = 5000            // limit; with more bindings a round takes longer
	openProbes   = 10_000          // limit of OPTIONS that wait for an answer; beyond it empty lines are sent
	probeTimeout = 4 * time.Second // after the third retransmission
	maxFailing   = 100_000         // bindings whose failures are counted
	pendingDrops = 1000            // bindings that wait for their removal
)

// emptyLines is the packet of the method crlf. Devices ignore it (RFC 3261 section 7.5).
var emptyLines = []byte("\r\n\r\n")

// PingStats count packets to clients behind NATs.
type PingStats struct {
	Sent, Unanswered, Removed mi.Counter
}

// A pinger sends the packets. It goes through the table of bindings part by part, and spreads
// the bindings of each part over its share of the interval, so that no burst is sent and
// only one part is held in memory. Only the goroutine of Run uses it.
type pinger struct {
	proxy *Proxy
	set   NATPing
	empty func(sip.Flow) error // sends emptyLines

	position float64           // in parts, where it should be
	part     int               // in progress
	list     []registrar.Entry // bindings of part
	loaded   bool              // list is set
	sent     int               // of list
	last     time.Time         // of the previous tick

	results  chan transaction.Result
	probes   map[*transaction.ClientTx]probe
	round    int
	failures map[string]failing // by RUID
	drops    chan registrar.Entry
}

// A probe is an OPTIONS request that waits for an answer.
type probe struct {
	entry   registrar.Entry
	expires time.Time
}

// A failing counts the unanswered OPTIONS to a binding.
type failing struct{ count, round int }

func newPinger(p *Proxy) *pinger {
	return &pinger{
		proxy:    p,
		empty:    func(f sip.Flow) error { return p.transport.Send(f, emptyLines) },
		results:  make(chan transaction.Result, 2*openProbes), // also those of probes that have just been abandoned
		probes:   map[*transaction.ClientTx]probe{},
		failures: map[string]failing{},
		drops:    make(chan registrar.Entry, pendingDrops),
	}
}

// Run sends packets to clients behind NATs until ctx is done.
func (p *Proxy) Run(ctx context.Context) error {
	g := newPinger(p)
	var removing sync.WaitGroup
	removing.Go(func() { g.remove(ctx) })
	defer removing.Wait()
	ticker := time.NewTicker(pingTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case res := <-g.results:
			g.answered(res)
		case now := <-ticker.C:
			g.set = p.settings.Load().NATPing
			g.tick(now)
		}
	}
}

// tick sends the packets that are due.
func (g *pinger) tick(now time.Time) {
	g.expireProbes(now)
	elapsed := min(now.Sub(g.last), time.Second) // no burst after a pause
	g.last = now
	if g.set.Every <= 0 {
		g.list, g.loaded = nil, false
		return
	}
	// The position moves through the parts at an even speed, and stays behind if there is more
	// to send than a tick allows.
	g.position += elapsed.Seconds() / g.set.Every.Seconds() * registrar.Parts
	for budget := pingsPerTick; ; g.nextPart() {
		if !g.loaded {
			g.list = g.proxy.location.AppendBehindNAT(g.part, g.list[:0])
			g.loaded, g.sent = true, 0
		}
		share := min(1, max(0, g.position-float64(g.part)))
		for due := int(share * float64(len(g.list))); g.sent < due && budget > 0; budget-- {
			g.ping(g.list[g.sent], now)
			g.sent++
		}
		if budget == 0 {
			g.position = min(g.position, float64(g.part)+1)
		}
		if share < 1 || g.sent < len(g.list) {
			return
		}
	}
}

// nextPart goes on to the next part of the table.
func (g *pinger) nextPart() {
	clear(g.list) // frees the bindings
	g.loaded = false
	if g.part++; g.part < registrar.Parts {
		return
	}
	g.part = 0
	g.position -= registrar.Parts
	g.round++ // a round reads each part once
	for ruid, f := range g.failures {
		if f.round < g.round-2 { // its binding is gone
			delete(g.failures, ruid)
		}
	}
}

// ping sends one packet to a binding.
func (g *pinger) ping(e registrar.Entry, now time.Time) {
	var err error
	// Where too many OPTIONS wait for an answer, empty lines keep the NAT open as well.
	if g.set.Options && len(g.probes) < openProbes {
		err = g.probe(e, now)
	} else {
		err = g.empty(e.Binding.Flow)
	}
	if err != nil {
		g.proxy.log.Debug("NAT ping not sent", "contact", e.Binding.Contact, "error", err)
		return
	}
	g.proxy.Pings.Sent.Inc()
}

// probe sends OPTIONS to a binding.
func (g *pinger) probe(e registrar.Entry, now time.Time) error {
	route := routeTo(e.Binding)
	tx, err := g.proxy.transactions.Send(optionsProbe(&route, g.proxy.domains.Default()), "", route.Flow, g.results)
	if err == nil {
		g.probes[tx] = probe{e, now.Add(probeTimeout)}
	}
	return err
}

// answered handles the end of a probe. Any response shows that the client is there.
func (g *pinger) answered(res transaction.Result) {
	p, ok := g.probes[res.Tx]
	if !ok {
		return
	}
	delete(g.probes, res.Tx)
	if res.Err != nil {
		g.failed(p.entry)
		return
	}
	delete(g.failures, p.entry.Binding.RUID)
}

// expireProbes abandons the probes that had no answer in time.
func (g *pinger) expireProbes(now time.Time) {
	for tx, p := range g.probes {
		if now.Before(p.expires) {
			continue
		}
		tx.Abandon()
		delete(g.probes, tx)
		g.failed(p.entry)
	}
}

// failed counts a probe without an answer, and has the binding removed after too many.
func (g *pinger) failed(e registrar.Entry) {
	g.proxy.Pings.Unanswered.Inc()
	if g.set.Failures <= 0 {
		return
	}
	ruid := e.Binding.RUID
	f, known := g.failures[ruid]
	f.count, f.round = f.count+1, g.round
	if f.count < g.set.Failures {
		if known || len(g.failures) < maxFailing {
			g.failures[ruid] = f
		}
		return
	}
	delete(g.failures, ruid)
	select {
	case g.drops <- e:
	default: // the store is slow: after the next failures
	}
}

// remove removes the bindings that do not answer, because that waits for the store.
func (g *pinger) remove(ctx context.Context) {
	for {
		var e registrar.Entry
		select {
		case <-ctx.Done():
			return
		case e = <-g.drops:
		}
		dropped, err := g.proxy.location.Drop(ctx, e)
		if err != nil {
			g.proxy.log.Warn("binding without answers not removed from the store", "aor", e.AoR, "error", err)
		}
		if dropped {
			g.proxy.Pings.Removed.Inc()
			g.proxy.log.Info("binding removed, NAT pings are not answered", "aor", e.AoR, "contact", e.Binding.Contact)
		}
	}
}

// Counters returns the statistics of the packets that keep NATs open.
func (p *Proxy) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "pings", Help: "Packets sent to clients behind a NAT to keep it open.", Counter: &p.Pings.Sent},
		{Name: "pings_unanswered", Help: "OPTIONS among them that had no answer.", Counter: &p.Pings.Unanswered},
		{Name: "contacts_removed", Help: "Contacts removed because they did not answer OPTIONS.", Counter: &p.Pings.Removed},
	}
}
