package proxy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

var errTest = errors.New("no answer")

// forked returns a Fork to as many devices, with the results that they have sent: a status,
// or 0 for none. The devices have one route each.
func forked(opt ForkOptions, devices int, statuses ...int) *Fork {
	k := &Fork{
		proxy: &Proxy{log: slog.New(slog.DiscardHandler), transport: transport.New(transport.Options{})}, opt: opt,
		results: make(chan transaction.Result, devices+1), out: Outcome{Open: devices},
		running: devices, slotsUsed: devices,
	}
	for i := range devices {
		k.attempts = append(k.attempts, attempt{tx: &transaction.ClientTx{}, route: &Route{}, state: stateSent})
		k.sent = append(k.sent, transmission{tx: k.attempts[i].tx, route: k.attempts[i].route, attempt: i})
	}
	for i, status := range statuses {
		res := transaction.Result{Tx: k.attempts[i].tx, Err: errTest}
		if status != 0 {
			res.Err, res.Response = nil, &sip.Message{Status: status, Reason: sip.ReasonPhrase(status)}
		}
		k.results <- res
	}
	return k
}

// RFC 3261 section 16.7: the first 2xx, else a 6xx, else the first response of the lowest
// class.
func TestWait(t *testing.T) {
	for _, tc := range []struct {
		name      string
		stop      bool // at 6xx
		devices   int
		statuses  []int
		response  int
		failures  []int
		open      int
		unreached int
		verdict   delivery.Verdict
	}{
		{name: "no device"},
		{name: "one accepts", devices: 1, statuses: []int{202}, response: 202, verdict: delivery.Delivered},
		{name: "the first 2xx ends it", devices: 3, statuses: []int{486, 200, 202}, response: 200, failures: []int{486}, open: 1, verdict: delivery.Delivered},
		{name: "the lowest class", devices: 3, statuses: []int{503, 480, 500}, response: 480, failures: []int{503, 480, 500}},
		{name: "the first of a class", devices: 3, statuses: []int{486, 480, 404}, response: 486, failures: []int{486, 480, 404}},
		{name: "3xx before 4xx", devices: 2, statuses: []int{404, 302}, response: 302, failures: []int{404, 302}},
		{name: "6xx before all", devices: 3, statuses: []int{302, 603, 404}, response: 603, failures: []int{302, 603, 404}, verdict: delivery.Refused},
		{name: "the first 6xx", devices: 2, statuses: []int{603, 600}, response: 603, failures: []int{603, 600}, verdict: delivery.Refused},
		{name: "2xx after 6xx", devices: 2, statuses: []int{603, 200}, response: 200, failures: []int{603}, verdict: delivery.Delivered},
		{name: "a 6xx ends it", stop: true, devices: 2, statuses: []int{603, 200}, response: 603, failures: []int{603}, open: 1},
		{name: "no other failure ends it", stop: true, devices: 2, statuses: []int{404, 200}, response: 200, failures: []int{404}, verdict: delivery.Delivered},
		{name: "no response", devices: 2, statuses: []int{0, 0}, unreached: 2},
		{name: "one responds", devices: 2, statuses: []int{0, 415}, response: 415, failures: []int{415}, unreached: 1},
		{name: "all refuse for good", devices: 2, statuses: []int{415, 488}, response: 415, failures: []int{415, 488}, verdict: delivery.Refused},
		{name: "one refuses for good", devices: 2, statuses: []int{415, 480}, response: 415, failures: []int{415, 480}},
	} {
		out := forked(ForkOptions{StopAt6xx: tc.stop}, tc.devices, tc.statuses...).Wait(t.Context(), 0)
		status := 0
		if out.Response != nil {
			status = out.Response.Status
		}
		if status != tc.response || !slices.Equal(out.Failures, tc.failures) || out.Open != tc.open || out.Unreached != tc.unreached {
			t.Errorf("%s: response %d, %+v", tc.name, status, out)
		}
		if v := verdict(&out); !tc.stop && v.Verdict != tc.verdict {
			t.Errorf("%s: verdict %+v, want %d", tc.name, v, tc.verdict)
		}
	}
}

// A wait that has ended early can be continued.
func TestWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := forked(ForkOptions{StopAt6xx: true}, 3, 486)
		start := time.Now()
		out := k.Wait(t.Context(), 5*time.Second)
		if time.Since(start) != 5*time.Second || out.Open != 2 || out.Response.Status != 486 || out.Accepted() {
			t.Errorf("after %v: %+v", time.Since(start), out)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if out = k.Wait(ctx, 0); ctx.Err() == nil || out.Open != 2 {
			t.Errorf("after the context has ended: %+v", out)
		}
		if v := verdict(&out); v.Verdict != delivery.Undelivered || !v.Answered {
			t.Errorf("verdict %+v", v)
		}
		k.results <- transaction.Result{Tx: k.attempts[1].tx, Response: &sip.Message{Status: 603}}
		k.results <- transaction.Result{Tx: k.attempts[2].tx, Response: &sip.Message{Status: 200}}
		if out = k.Wait(t.Context(), 0); out.Open != 1 || out.Response.Status != 603 {
			t.Errorf("after a 6xx: %+v", out)
		}
		if out = k.Wait(t.Context(), 0); out.Open != 0 || !out.Accepted() {
			t.Errorf("after a 2xx: %+v", out)
		}
	})
}

// A device without a usable route is unreached, and the reason is kept for an address
// elsewhere.
func TestForkWithoutRoute(t *testing.T) {
	p := New(Options{}, Settings{})
	out := p.Fork(t.Context(), nil, []Device{{}, p.Elsewhere("nonsense", nil), {Routes: []Route{{URI: "a contact", Binding: bound("1")}}}}, ForkOptions{}).
		Wait(t.Context(), 0)
	if out.Open != 0 || out.Unreached != 3 || out.Unresolved == nil || !strings.Contains(out.Unresolved.Error(), "nonsense") {
		t.Errorf("got %+v", out)
	}
	if v := verdict(&out); v.Verdict != delivery.Undelivered || v.Reason != out.Unresolved.Error() || v.Answered {
		t.Errorf("verdict %+v", v)
	}
}
