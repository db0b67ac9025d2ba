package watch

import (
	"context"
	"encoding/base64"
	"time"
	"unicode/utf8"

	"silod/mi"
)

// Commands returns the commands watch and busiest.
func (h *Hub) Commands() []mi.Command {
	return []mi.Command{{
		Name: "watch", Args: "of [bodies]", MinArgs: 1, MaxArgs: 2, Follows: true, Run: h.watch,
		Help: "Shows the events of a user or room until the connection is closed; with bodies::yes the message texts too.",
	}, {
		Name: "busiest", Args: "[seconds]", MaxArgs: 1, Follows: true, Run: h.busiest,
		Help: "Shows the rooms and mailboxes with the most new messages, every so many seconds (1) until the connection is closed.",
	}}
}

// Counters returns the statistics of the Hub.
func (h *Hub) Counters() []mi.Stat {
	return []mi.Stat{{
		Name: "watchers", Help: "Management clients that watch a user or room.", Gauge: func() int64 { return int64(h.Watchers()) },
	}}
}

func (h *Hub) watch(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	of, ours, err := h.domains.Parse(req.Named("of", 0))
	switch {
	case err != nil:
		return nil, mi.Errorf(400, "Bad address, %v", err)
	case !ours:
		return nil, mi.Errorf(404, "%s is not in a domain of this server", of)
	}
	bodies := req.Named("bodies", 1)
	w := &watcher{of: of, bodies: bodies == "yes" || bodies == "true" || bodies == "1", events: make(chan published, maxWaiting)}
	if w.bodies && req.ReadOnly {
		return nil, mi.Errorf(403, "A read-only socket shows no message texts: omit bodies, or use the control socket")
	}
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		if !h.join(w) {
			yield(nil, errFull)
			return
		}
		defer h.leave(w)
		h.log.Info("watching begins", "of", of, "peer", req.Peer, "bodies", w.bodies)
		defer h.log.Info("watching ends", "of", of, "peer", req.Peer)
		h.follow(ctx, w, func(n *mi.Node) bool { return yield(n, nil) })
	}}, nil
}

var errFull = mi.Errorf(503, "Too many watchers: %d are allowed", maxWatchers)

// follow yields events until ctx ends, the Hub stops, or yield returns false. The first event
// is "watching".
func (h *Hub) follow(ctx context.Context, w *watcher, yield func(*mi.Node) bool) {
	if !yield(node(published{Event: Event{What: "watching", User: w.of}, at: h.now()})) {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.done:
			return
		case s := <-w.events:
			if !yield(node(s)) {
				return
			}
		}
		if n := w.lost.Swap(0); n > 0 && !yield(lost(h.now(), n)) {
			return
		}
	}
}

// node returns an event as part of a reply. Empty fields are left out.
func node(s published) *mi.Node {
	n := &mi.Node{Name: "EVENT", Attrs: []mi.Attr{
		{Name: "time", Value: s.at.UTC().Format(timeForm)},
		{Name: "event", Value: s.What},
		{Name: "user", Value: s.User.String()},
	}}
	text := func(name, value string) {
		if value != "" {
			n.Attrs = append(n.Attrs, mi.Attr{Name: name, Value: value})
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			n.Attrs = append(n.Attrs, mi.Attr{Name: name, Value: value})
		}
	}
	if !s.from.IsZero() {
		text("from", s.from.String())
	}
	number("id", s.ID)
	text("call_id", s.CallID)
	text("contact", s.Contact)
	number("status", int64(s.Status))
	text("reason", s.Reason)
	text("type", s.Type)
	number("bytes", int64(s.size))
	if utf8.Valid(s.Body) {
		text("body", string(s.Body))
	} else {
		text("body_base64", base64.StdEncoding.EncodeToString(s.Body))
	}
	return n
}

// timeForm is the format of RFC 3339 with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// lost returns the event of n lost events.
func lost(at time.Time, n int64) *mi.Node {
	return &mi.Node{Name: "EVENT", Attrs: []mi.Attr{
		{Name: "time", Value: at.UTC().Format(timeForm)}, {Name: "event", Value: "lost"}, {Name: "count", Value: n},
	}}
}
