package router

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
	"silod/stack"
)

// Commands are the management commands that send SIP.
func (r *Router) Commands() []mi.Command {
	return []mi.Command{{
		Name: "t_uac_dlg", Aliases: []string{"tm.t_uac_wait_block"}, Args: "method ruri next_hop socket headers [body]",
		Help:    "Sends a request and gives its final answer; next_hop and socket may be a dot.",
		MinArgs: 5, MaxArgs: 6, Writes: true, Timeout: 35 * time.Second, Run: r.uac,
	}}
}

// uac sends a request as kamctl ping does. A user of ours is asked at the device
// that registered last; anybody else where the URI, or the next hop, leads.
func (r *Router) uac(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	method := req.Arg(0)
	target, err := sip.ParseURI(strings.Trim(req.Arg(1), "<>"))
	if err != nil || !target.IsSIP() {
		return nil, mi.Errorf(400, "Invalid request-URI")
	}
	if !sip.IsToken(method) || method == "INVITE" || method == "ACK" || method == "CANCEL" {
		return nil, mi.Errorf(400, "Invalid method, a request outside of calls is expected")
	}
	m, err := r.uacRequest(method, target, req.Arg(4), req.Arg(5))
	if err != nil {
		return nil, mi.Errorf(400, "Invalid headers, %v", err)
	}
	res, err := r.ask(ctx, m, target, req.Arg(2))
	if err != nil {
		r.Log.Info("management request not answered", "uri", m.URI, "error", err)
		status := 408
		if errors.Is(err, stack.ErrTransport) {
			status = 477
		}
		res = &sip.Message{Status: status, Reason: uacFailure(err)}
	}
	return uacReply(req.Dialect, res), nil
}

func uacFailure(err error) string {
	if errors.Is(err, stack.ErrTimeout) {
		return "Request Timeout, nobody answered"
	}
	return "Cannot be sent, " + err.Error()
}

// uacRequest completes what the client gave as header lines.
func (r *Router) uacRequest(method string, target sip.URI, lines, body string) (*sip.Message, error) {
	m := &sip.Message{Method: method, URI: target.String(), Body: []byte(body)}
	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !sip.IsToken(strings.TrimSpace(name)) {
			return nil, errors.New("a line without a name")
		}
		m.Headers = append(m.Headers, sip.Header{Name: sip.CanonicalName(strings.TrimSpace(name)), Value: strings.TrimSpace(value)})
	}
	for i, h := range m.Headers {
		if h.Name != "From" {
			continue
		}
		from, err := sip.ParseNameAddr(h.Value)
		if err != nil {
			return nil, err
		}
		if from.Tag() == "" {
			from.Params = from.Params.With("tag", stack.NewToken())
		}
		m.Headers[i].Value = from.String()
	}
	for _, h := range []sip.Header{
		{Name: "Max-Forwards", Value: strconv.Itoa(initialHops)},
		{Name: "From", Value: "<sip:silod@" + r.Domains.Default() + ">;tag=" + stack.NewToken()},
		{Name: "To", Value: "<" + target.String() + ">"},
		{Name: "Call-ID", Value: stack.NewToken() + "@" + r.Domains.Default()},
		{Name: "CSeq", Value: "1 " + method},
	} {
		if !m.Has(h.Name) {
			m.Headers = append(m.Headers, h)
		}
	}
	return m, nil
}

// ask sends to where the target is reached.
func (r *Router) ask(ctx context.Context, m *sip.Message, target sip.URI, next string) (*sip.Message, error) {
	if a, ours := r.Domains.AoR(target); ours && next == "." {
		bs := devices(r.Location.Bindings(a))
		if len(bs) == 0 {
			return &sip.Message{Status: 480, Reason: "Temporarily Unavailable, not registered"}, nil
		}
		flow, err := r.flow(ctx, &bs[len(bs)-1][0])
		if err != nil {
			return nil, err
		}
		m.URI = bs[len(bs)-1][0].Contact
		return r.Stack.Do(ctx, m, flow)
	}
	if next != "." && next != "" {
		u, err := sip.ParseURI(strings.Trim(next, "<>"))
		if err != nil {
			return nil, err
		}
		target = u
	}
	ts, err := r.Stack.Resolve(ctx, target)
	if err != nil {
		return nil, err
	}
	flow, err := r.Stack.Connect(ctx, ts[0])
	if err != nil {
		return nil, err
	}
	return r.Stack.Do(ctx, m, flow)
}

// uacReply is the answer in the lines that kamctl reads: status, three dots for
// what only dialogs have, and the headers.
func uacReply(d mi.Dialect, res *sip.Message) *mi.Node {
	n := &mi.Node{}
	if d == mi.Kamailio || d == mi.Native {
		n.Add("code", res.Status)
		n.Add("reason", res.Reason)
		hs := n.Add("headers", nil)
		hs.List = true
		for _, h := range res.Headers {
			hs.Add("header", h.Name+": "+h.Value)
		}
		return n
	}
	n.Add("", strconv.Itoa(res.Status)+" "+res.Reason)
	for range 3 {
		n.Add("", ".")
	}
	for _, h := range res.Headers {
		n.Add("", h.Name+": "+h.Value)
	}
	return n
}
