package proxy

import (
	"context"

	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
)

// responds reports whether one of the devices of a user responds to OPTIONS (RFC 3261 section
// 11). Any response counts: it shows that the device is there. A device that registers
// meanwhile is asked too.
func (p *Proxy) responds(ctx context.Context, owner sip.AoR, dir Directory) bool {
	seen := p.Changes(owner)
	k := p.Fork(ctx, nil, dir.Devices(owner), ForkOptions{Recipient: owner, Directory: dir, Seen: seen, probe: true})
	defer k.Abandon()
	out := k.Wait(ctx, 0)
	return out.Answered
}

// optionsProbe returns an OPTIONS request from a domain.
func optionsProbe(r *Route, domain string) *sip.Message {
	m := requestTo(&im.Message{
		From:   "<sip:" + domain + ">;tag=" + transaction.NewToken(),
		To:     "<" + sip.RequestURI(r.URI) + ">",
		CallID: transaction.NewToken(), CSeq: 1,
	}, "OPTIONS", r, hop{maxForwards: initialMaxForwards}, nil)
	m.Headers = append(m.Headers, sip.Header{Name: "Accept", Value: "*/*"})
	return &m
}
