package transaction

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"silod/sip"
	"silod/sip/transport"
)

// TestUnavailableDuringRetransmissions checks that a retransmission is never answered 482 and
// stored, however close it comes to an answer that is not kept.
func TestUnavailableDuringRetransmissions(t *testing.T) {
	s := newLayers(config{}, serve(func(tx *ServerTx) { tx.Unavailable("") }))
	raw := request("MESSAGE sip:bob@127.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1", "From: <sip:alice@127.0.0.1>;tag=1",
		"To: <sip:bob@127.0.0.1>", "Call-ID: 1", "CSeq: 1 MESSAGE", "Content-Length: 0", "", "")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				if job, _ := s.Receive(raw, transport.Origin{Flow: peer}); job != nil {
					job.Run()
				}
			}
		})
	}
	wg.Wait()
	if n := s.server.len(); n != 0 {
		t.Errorf("%d transactions are stored", n)
	}
}

// TestServerTransactionMemory checks that a transaction needs less memory than its message,
// and that the memory of many transactions is freed.
func TestServerTransactionMemory(t *testing.T) {
	const n = 200_000
	tab := newServerTable(1_000_000)
	before := heap()
	for i := range n {
		tx := numbered(i)
		if st, _ := tab.begin(tx); st != txNew {
			t.Fatal("a new request was taken for a retransmission")
		}
		tab.finish(tx, &answer{status: 202, reason: "Accepted"})
	}
	if per := (heap() - before) / n; per > 150 {
		t.Errorf("%d bytes per transaction", per)
	}
	for range ringSize {
		tab.tick()
	}
	if tab.len() != 0 {
		t.Errorf("%d transactions are stored", tab.len())
	}
	if left := int64(heap()) - int64(before); left > 2<<20 {
		t.Errorf("%d bytes are not freed", left)
	}
}

// TestAnswersAreKept checks that each retransmission gets the answer to its own request until
// Timer J expires.
func TestAnswersAreKept(t *testing.T) {
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
			tx := number(second, i)
			tab.begin(tx)
			tab.finish(tx, answers[(second+i)%len(answers)])
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
		t.Errorf("after Timer J the state is %v, and %d others are stored", state, tab.len()-1)
	}
}

// TestForwardedResponseMemory checks that a transaction does not keep the received response in
// memory, but only the values for retransmissions.
func TestForwardedResponseMemory(t *testing.T) {
	const n = 20_000
	s := newLayers(config{}, echo)
	response := request("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch="+newBranch("")+";rport=5060;received=192.0.2.1",
		"From: <sip:alice@example.org>;tag=1234567890", "To: <sip:bob@example.org>;tag=0987654321", "Call-ID: 0123456789abcdef@192.0.2.7",
		"CSeq: 20 MESSAGE", "Contact: <sip:bob@192.0.2.8:5060>", "User-Agent: "+strings.Repeat("x", 40), "Supported: replaces, outbound", "Content-Length: 0", "", "")
	before := heap()
	for i := range n {
		tx := numbered(i)
		tx.layer = s.Layer
		s.server.begin(tx)
		res, err := sip.Parse(response, false)
		if err != nil {
			t.Fatal(err)
		}
		tx.ForwardResponse(res)
	}
	per := (heap() - before) / n
	t.Logf("%d bytes per transaction", per)
	if per > 550 {
		t.Errorf("%d bytes per transaction", per)
	}
	runtime.KeepAlive(s)
}

// numbered returns a request with an ID that is unique for each number.
func numbered(i int) *ServerTx {
	tx := &ServerTx{Request: sip.Request{Message: &sip.Message{}}, Flow: peer}
	binary.BigEndian.PutUint64(tx.id.key[:], uint64(i)*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint64(tx.id.key[8:], uint64(i)*0xC2B2AE3D27D4EB4F)
	tx.id.merge = uint64(i)*0x9E3779B97F4A7C15 + 1
	return tx
}

// heap returns the size of the heap in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
