package proxy

import (
	"context"

	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
)

// responds reports whether one of the devices responds to OPTIONS over its first route (RFC
// 3261 section 11). Any response counts: it shows that the device is there.
func (p *Proxy) responds(ctx context.Context, ds []Device) bool {
	results := make(chan transaction.Result, len(ds))
	var txs []*transaction.ClientTx
	for i := range ds {
		route := &ds[i].Routes[0]
		flow, err := p.dial(ctx, *route)
		if err != nil {
			continue
		}
		if tx, err := p.transactions.Send(optionsProbe(route, p.domains.Default()), "", flow, results); err == nil {
			txs = append(txs, tx)
		}
	}
	responded := false
	for range txs {
		select {
		case <-ctx.Done():
		case res := <-results:
			responded = responded || res.Err == nil
		}
		if responded || ctx.Err() != nil {
			break
		}
	}
	for _, tx := range txs {
		tx.Abandon()
	}
	return responded
}

// optionsProbe returns an OPTIONS request from a domain.
func optionsProbe(r *Route, domain string) *sip.Message {
	m := requestTo(&im.Message{
		From:   "<sip:" + domain + ">;tag=" + transaction.NewToken(),
		To:     "<" + r.URI + ">",
		CallID: transaction.NewToken(), CSeq: 1,
	}, "OPTIONS", r, hop{maxForwards: initialMaxForwards}, nil)
	m.Headers = append(m.Headers, sip.Header{Name: "Accept", Value: "*/*"})
	return &m
}
