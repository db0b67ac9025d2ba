package transaction

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

func TestLimitedSourceIsDropped(t *testing.T) {
	s, udp, _ := running(t, Config{SourceRate: 5}, serve(func(r *ServerTx) { r.Respond(200, "") }))
	c := dial(t, "udp", udp)
	for i := range 50 {
		send(t, c, message(c, "z9hG4bK"+strings.Repeat("x", i+1)))
	}
	for s.sockets.Stats.Limited.Value()+s.Stats.Requests.Value() < 50 {
		time.Sleep(time.Millisecond)
	}
	if n := s.Stats.Requests.Value(); n < 10 || n > 20 {
		t.Errorf("%d of 50 were taken", n)
	}
}

// RFC 5389: a phone that keeps its UDP flow open asks for its own address.
func TestSTUN(t *testing.T) {
	_, udp, _ := running(t, Config{}, serve(func(*ServerTx) {}))
	c := dial(t, "udp", udp)
	q := "\x00\x01\x00\x00\x21\x12\xa4\x42transaction1"
	send(t, c, q)
	if r := hear(t, c, silence); r != "" {
		t.Errorf("answered %q, which is longer, to the first", r)
	}
	send(t, c, q)
	r := []byte(hear(t, c, patience))
	if len(r) != 32 || string(r[4:20]) != q[4:20] || binary.BigEndian.Uint16(r) != 0x0101 {
		t.Fatalf("answered %q", r)
	}
	local := netip.MustParseAddrPort(c.LocalAddr().String())
	port := binary.BigEndian.Uint16(r[26:]) ^ 0x2112
	ip := netip.AddrFrom4([4]byte{r[28] ^ 0x21, r[29] ^ 0x12, r[30] ^ 0xa4, r[31] ^ 0x42})
	if netip.AddrPortFrom(ip, port) != local {
		t.Errorf("told %s:%d, is %s", ip, port, local)
	}
}

// RFC 3261 section 8.2.2.2: a request that comes twice by different ways.
func TestMergedRequest(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	_, udp, _ := running(t, Config{}, waiting(func(r *ServerTx) {
		close(begun)
		<-hold
		r.Respond(200, "")
	}))
	c := dial(t, "udp", udp)
	m := message(c, "z9hG4bK1")
	send(t, c, m)
	<-begun
	send(t, c, strings.Replace(m, "branch=z9hG4bK1", "branch=z9hG4bK2", 1))
	if r := hear(t, c, patience); status(r) != "482" || !strings.Contains(r, "branch=z9hG4bK2") {
		t.Errorf("the copy was answered %s", r)
	}
	close(hold)
	if r := hear(t, c, patience); status(r) != "200" {
		t.Errorf("the first was answered %s", r)
	}
}

func TestLoopAndSpiral(t *testing.T) {
	type seen struct{ looped bool }
	got := make(chan seen, 1)
	s, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		got <- seen{r.Looped(r.Request.Target.AoR())}
		r.Respond(200, "")
	}))
	c := dial(t, "udp", udp)
	via := s.sockets.Via(sip.Flow{Transport: sip.UDP, Local: udp}) + ";branch=" + newBranch(sip.AoR{User: "bob", Domain: "127.0.0.1"})
	for uri, want := range map[string]bool{"sip:bob@127.0.0.1": true, "sip:carol@127.0.0.1": false} {
		m := strings.Replace(message(c, "z9hG4bK"+uri[4:7], "Via: "+via), "sip:bob@127.0.0.1 ", uri+" ", 1)
		send(t, c, m)
		if g := <-got; g.looped != want {
			t.Errorf("%s: looped %v, want %v", uri, g.looped, want)
		}
	}
}

// A transaction's memory: a flood of distinct branches must not cost what a
// message is long.
func TestServerTransactionMemory(t *testing.T) {
	const n = 200_000
	tab := newServerTable(1_000_000)
	before := heap()
	for i := range n {
		r := numbered(i)
		if st, _ := tab.begin(r); st != txNew {
			t.Fatal("a new request was taken for an old one")
		}
		tab.finish(r, &answer{status: 202, reason: "Accepted"})
	}
	if per := (heap() - before) / n; per > 150 {
		t.Errorf("%d bytes a transaction", per)
	}
	for range ringSize {
		tab.tick()
	}
	if tab.len() != 0 {
		t.Errorf("%d transactions are left", tab.len())
	}
	if left := int64(heap()) - int64(before); left > 2<<20 {
		t.Errorf("%d bytes are kept for nothing", left)
	}
}

// A retransmission gets its own answer again, whatever else was answered in the same
// second, for as long as Timer J runs, and not longer.
func TestAnswersAreRemembered(t *testing.T) {
	tab := newServerTable(1_000_000)
	answers := []*answer{
		{status: 202, reason: "Accepted"},
		{status: 202, reason: "taken"},
		{status: 404, reason: "Not Found", to: "<sip:bob@example.org>;tag=1"},
		{status: 200, reason: "OK", headers: []sip.Header{{Name: "Contact", Value: "<sip:b@b>"}, {Name: "X-Empty", Value: ""}}},
		{status: 699, reason: "", headers: []sip.Header{{Name: "A", Value: "b"}}, body: []byte("\x00text\r\n")},
		{status: 200, reason: "OK", body: bytes.Repeat([]byte("long "), 10_000)},
	}
	const n, seconds = 300, ringSize - 2
	number := func(second, i int) *ServerTx { return numbered(second*n + i) }
	for second := range seconds {
		for i := range n {
			r := number(second, i)
			tab.begin(r)
			tab.finish(r, answers[(second+i)%len(answers)])
		}
		tab.tick()
	}
	for second := range seconds {
		for i := range n {
			state, a := tab.begin(number(second, i))
			want := answers[(second+i)%len(answers)]
			if state != txAnswered || a.status != want.status || a.reason != want.reason || a.to != want.to ||
				!slices.Equal(a.headers, want.headers) || !bytes.Equal(a.body, want.body) {
				t.Fatalf("second %d, request %d: got %v %+v, want %+v", second, i, state, a, want)
			}
		}
	}
	for range ringSize {
		tab.tick()
	}
	if state, _ := tab.begin(number(0, 0)); state != txNew || tab.len() != 1 {
		t.Errorf("after Timer J the state is %v, and %d are left", state, tab.len()-1)
	}
}

// An answer that was relayed keeps what a retransmission needs of the device's
// response, and not the response.
func TestRelayedAnswerMemory(t *testing.T) {
	const n = 20_000
	s := newStack(Config{}, echo)
	response := request("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch="+newBranch(sip.AoR{})+";rport=5060;received=192.0.2.1",
		"From: <sip:alice@example.org>;tag=1234567890", "To: <sip:bob@example.org>;tag=0987654321", "Call-ID: 0123456789abcdef@192.0.2.7",
		"CSeq: 20 MESSAGE", "Contact: <sip:bob@192.0.2.8:5060>", "User-Agent: "+strings.Repeat("x", 40), "Supported: replaces, outbound", "Content-Length: 0", "", "")
	before := heap()
	for i := range n {
		r := numbered(i)
		r.layer = s.Layer
		s.server.begin(r)
		res, err := sip.Parse(response, false)
		if err != nil {
			t.Fatal(err)
		}
		r.ForwardResponse(res)
	}
	per := (heap() - before) / n
	t.Logf("%d bytes a transaction", per)
	if per > 550 {
		t.Errorf("%d bytes a transaction", per)
	}
	runtime.KeepAlive(s)
}

// numbered is a request unlike any with another number.
func numbered(i int) *ServerTx {
	r := &ServerTx{Request: sip.Request{Message: &sip.Message{}}, Flow: peer}
	binary.BigEndian.PutUint64(r.id.key[:], uint64(i)*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint64(r.id.key[8:], uint64(i)*0xC2B2AE3D27D4EB4F)
	r.id.merge = uint64(i)*0x9E3779B97F4A7C15 + 1
	return r
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
