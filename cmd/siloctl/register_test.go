package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

func TestKeepRegistered(t *testing.T) {
	p := newPeer(t, "tcp")
	got := make(chan string, 1)
	u := p.agent(sipSettings{receive: func(m *sipMessage) int { got <- string(m.body); return gosip.StatusOK }})
	ctx, stop := context.WithCancel(t.Context())
	var reports []string
	var wg sync.WaitGroup
	wg.Go(func() {
		err := u.keepRegistered(ctx, 10*time.Second, func(granted time.Duration, err error) {
			reports = append(reports, fmt.Sprint(granted, err))
		})
		if err != nil {
			t.Error(err)
		}
	})
	p.next("REGISTER").answer("423 Interval Too Brief", "Min-Expires: 3600")
	w := p.next("REGISTER")
	if header(w.text, "Expires") != "3600" {
		t.Errorf("asks for %s seconds", header(w.text, "Expires"))
	}
	w.answer("200 OK", "Contact: "+header(w.text, "Contact")+";expires=50")
	w.drop()
	p.next("REGISTER").answer("503 Service Unavailable")
	second := p.next("REGISTER")
	if header(second.text, "Contact") == header(w.text, "Contact") {
		t.Error("the new connection has the old contact")
	}
	second.answer("200 OK")
	second.send(text("1", "over the new one"))
	if m := <-got; m != "over the new one" {
		t.Errorf("received %q", m)
	}
	p.next("SIP/2.0 200 OK")
	stop()
	p.next("REGISTER").answer("200 OK")
	wg.Wait()
	want := []string{"50s <nil>", "0s REGISTER refused: 503 Service Unavailable", "1h0m0s <nil>"}
	if !slices.Equal(reports, want) {
		t.Errorf("reports are %q", reports)
	}
}

// TestLeaveWithoutAConnection interrupts listen while its server is away.
func TestLeaveWithoutAConnection(t *testing.T) {
	p := newPeer(t, "tcp")
	u := p.agent(sipSettings{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		w := p.next("REGISTER")
		w.answer("200 OK")
		p.close()
		w.drop()
	}()
	err := u.keepRegistered(ctx, time.Minute, func(_ time.Duration, err error) {
		if err != nil {
			stop()
		}
	})
	if err != nil {
		t.Errorf("keepRegistered returns %v", err)
	}
}
