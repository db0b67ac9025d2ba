package proxy

import (
	"context"

	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
)

// responds reports whether one of the devices responds to OPTIONS (RFC 3261 section 11).
func (p *Proxy) responds(ctx context.Context, ds []Device) bool {
	results := make(chan transaction.Result, len(ds))
	var calls []*transaction.ClientTx
	for i := range ds {
		route := &ds[i].Routes[0]
		flow, err := p.dial(ctx, *route)
		if err != nil {
			continue
		}
		if call, err := p.transactions.Send(optionsProbe(route, p.domains.Default()), sip.AoR{}, flow, results); err == nil {
			calls = append(calls, call)
		}
	}
	responded := false
	for range calls {
		select {
		case <-ctx.Done():
		case res := <-results:
			responded = responded || res.Err == nil
		}
		if responded || ctx.Err() != nil {
			break
		}
	}
	for _, call := range calls {
		call.Abandon()
	}
	return responded
}

// optionsProbe returns an OPTIONS request from a domain.
func optionsProbe(r *Route, domain string) *sip.Message {
	m := requestTo(&im.Message{
		From:   "<sip:" + domain + ">;tag=" + transaction.NewToken(),
		To:     "<" + r.URI + ">",
		CallID: transaction.NewToken(), CSeq: 1,
	}, "OPTIONS", r, initialMaxForwards, nil)
	m.Headers = append(m.Headers, sip.Header{Name: "Accept", Value: "*/*"})
	return &m
}
