package proxy

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// Commands returns the management commands that send SIP.
func (p *Proxy) Commands() []mi.Command {
	return []mi.Command{{
		Name: "t_uac_dlg", Aliases: []string{"tm.t_uac_wait_block"}, Args: "method ruri next_hop socket headers [body]",
		Help:    "Sends a request and returns the final response; next_hop and socket may be a dot.",
		MinArgs: 5, MaxArgs: 6, Writes: true, Timeout: 35 * time.Second, Run: p.uac,
	}}
}

// uac sends a request, as kamctl ping does: to a user of ours at the device that registered
// last, else to the next hop or the servers of the URI.
func (p *Proxy) uac(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	method := req.Arg(0)
	target, err := p.uacTarget(req.Arg(1))
	if err != nil || !target.IsSIP() {
		return nil, mi.Errorf(400, "Invalid request-URI")
	}
	if !sip.IsToken(method) || method == "INVITE" || method == "ACK" || method == "CANCEL" {
		return nil, mi.Errorf(400, "Invalid method, a request outside a dialog is expected")
	}
	m, err := p.uacRequest(method, target, req.Arg(4), req.Arg(5))
	if err != nil {
		return nil, mi.Errorf(400, "Invalid headers, %v", err)
	}
	next, err := nextHop(req.Arg(2))
	if err != nil {
		return nil, mi.Errorf(400, "Invalid next hop, %v", err)
	}
	res, err := p.ask(ctx, m, target, next)
	if err != nil {
		p.log.Info("management request not answered", "uri", m.URI, "error", err)
		status := 408
		if errors.Is(err, transport.ErrTransport) {
			status = 477
		}
		res = &sip.Message{Status: status, Reason: uacFailure(err)}
	}
	return uacReply(req.Dialect, res), nil
}

// uacTarget returns the Request-URI that an argument names: a URI, or a user as people write it,
// in the main domain if no domain is given.
func (p *Proxy) uacTarget(arg string) (sip.URI, error) {
	arg = strings.TrimSpace(arg)
	if u, err := sip.ParseURI(strings.Trim(arg, "<>")); err == nil && u.IsSIP() {
		u.User = u.AoR().User // escaped as it is sent
		return u, nil
	}
	a, _, err := p.domains.Parse(arg)
	if err != nil {
		return sip.URI{}, err
	}
	return sip.ParseURI(a.String())
}

// nextHop returns the URI that an argument names, nil for a dot or no text.
func nextHop(arg string) (*sip.URI, error) {
	if arg == "." || arg == "" {
		return nil, nil
	}
	u, err := sip.ParseURI(strings.Trim(arg, "<> "))
	return &u, err
}

// uacFailure returns the reason in place of a response.
func uacFailure(err error) string {
	if errors.Is(err, transaction.ErrTimeout) {
		return "Request Timeout, no response"
	}
	return "Cannot be sent, " + err.Error()
}

// uacRequest returns the request with header lines, and with the mandatory header fields
// that these lack.
func (p *Proxy) uacRequest(method string, target sip.URI, lines, body string) (*sip.Message, error) {
	m := &sip.Message{Method: method, URI: target.String(), Body: []byte(body)}
	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !sip.IsToken(strings.TrimSpace(name)) {
			return nil, errors.New("a line without a header name")
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
			from.Params = from.Params.With("tag", transaction.NewToken())
		}
		m.Headers[i].Value = from.String()
	}
	for _, h := range []sip.Header{
		{Name: "Max-Forwards", Value: strconv.Itoa(initialMaxForwards)},
		{Name: "From", Value: "<sip:silod@" + p.domains.Default() + ">;tag=" + transaction.NewToken()},
		{Name: "To", Value: "<" + target.String() + ">"},
		{Name: "Call-ID", Value: transaction.NewToken() + "@" + p.domains.Default()},
		{Name: "CSeq", Value: "1 " + method},
	} {
		if !m.Has(h.Name) {
			m.Headers = append(m.Headers, h)
		}
	}
	return m, nil
}

// ask sends a request and returns its final response. next is the next hop, nil for none. Among the
// errors are transaction.ErrTimeout and transport.ErrTransport.
func (p *Proxy) ask(ctx context.Context, m *sip.Message, target sip.URI, next *sip.URI) (*sip.Message, error) {
	route := Route{URI: m.URI, Next: &target}
	if a, ours := p.domains.AoR(target); ours && next == nil {
		ds := p.Devices(a)
		if len(ds) == 0 {
			return &sip.Message{Status: 480, Reason: "Temporarily Unavailable, not registered"}, nil
		}
		route = ds[len(ds)-1].Routes[0]
	} else if next != nil {
		route.Next = next
	}
	flow, err := p.dial(ctx, route)
	if err != nil {
		return nil, err
	}
	m.URI = route.URI
	return p.transactions.Do(ctx, m, flow)
}

// uacReply returns a response in the lines that kamctl reads: status, three dots in place
// of the values of a dialog, and the header fields.
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
