package phone

import (
	"slices"
	"strings"
	"sync"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// An Answer is the response to a message. The zero Answer is 200 OK, at once.
type Answer struct {
	Code    int    // 0 for 200
	Reason  string // "" for the code's usual one
	Headers Headers
	Delay   time.Duration // before it is sent; later messages do not wait for it
	Silent  bool          // no answer at all
}

// Limits on remembered requests, and the value of Allow.
const (
	transactionTime = 64 * t1 // Timer J: how long retransmissions come (RFC 3261 section 17.2.2)
	maxRemembered   = 4096    // requests
	allowed         = "MESSAGE, OPTIONS"
)

// answers remembers requests and their answers, for retransmissions.
type answers struct {
	mu    sync.Mutex
	byKey map[string]*answered
	order []*answered // oldest first
}

// An answered is one request that arrived, answered or not yet.
type answered struct {
	key   string
	at    time.Time
	bytes []byte // nil until it is answered
}

// find reports whether a request is a retransmission, and returns its answer, which is nil
// before it is answered. It remembers a new request.
func (a *answers) find(m *Message) (bytes []byte, again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.byKey[m.key]; old != nil && m.At.Sub(old.at) < transactionTime {
		return old.bytes, true
	}
	n := 0
	for n < len(a.order) && (m.At.Sub(a.order[n].at) >= transactionTime || len(a.order)-n >= maxRemembered) {
		delete(a.byKey, a.order[n].key)
		n++
	}
	a.order = slices.Delete(a.order, 0, n)
	if a.byKey == nil {
		a.byKey = map[string]*answered{}
	}
	e := &answered{key: m.key, at: m.At}
	a.byKey[m.key] = e
	a.order = append(a.order, e)
	return nil, false
}

// keep remembers the final answer to a request.
func (a *answers) keep(key string, bytes []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.byKey[key]; e != nil {
		e.bytes = bytes
	}
}

// accept answers a request, or queues it for Receive.
func (p *Phone) accept(m *Message) {
	if m.Method == "ACK" { // of the INVITE that we refused
		return
	}
	if bytes, again := p.answers.find(m); again {
		if bytes != nil {
			p.send(m, bytes)
		}
		return
	}
	allow := Headers{{Name: "Allow", Value: allowed}}
	switch m.Method {
	case "MESSAGE":
		select {
		case p.queue <- m:
		default:
			p.answer(m, busy)
		}
	case "OPTIONS":
		p.answer(m, Answer{Headers: allow})
	case "CANCEL": // there is no INVITE that it could cancel
		p.answer(m, Answer{Code: 481})
	default:
		p.answer(m, Answer{Code: 405, Headers: allow})
	}
}

// busy is the answer to a message for which the queue or the inbox is full.
var busy = Answer{Code: 503, Headers: Headers{{Name: "Retry-After", Value: "5"}}}

// receive takes messages in order and answers them.
func (p *Phone) receive() {
	for {
		select {
		case <-p.done:
			return
		case m := <-p.queue:
			a := p.take(m)
			switch {
			case a.Silent:
			case a.Delay > 0:
				p.workers.Go(func() {
					select {
					case <-time.After(a.Delay):
						p.answer(m, a)
					case <-p.done:
					}
				})
			default:
				p.answer(m, a)
			}
		}
	}
}

// take passes a message to Receive, or to the inbox, and returns the answer.
func (p *Phone) take(m *Message) Answer {
	if p.cfg.Receive != nil {
		return p.cfg.Receive(m)
	}
	select {
	case p.inbox <- m:
		return Answer{}
	default:
		return busy
	}
}

// answer sends an answer, and keeps it for retransmissions.
func (p *Phone) answer(m *Message, a Answer) {
	for _, h := range a.Headers {
		if err := checkHeader(h); err != nil {
			p.log.Warn("header left out of an answer", "reason", err)
		}
	}
	bytes := response(m, a)
	if a.Code == 0 || a.Code >= 200 {
		p.answers.keep(m.key, bytes)
	}
	p.send(m, bytes)
}

// response returns the bytes of an answer (RFC 3261 section 8.2.6).
func response(m *Message, a Answer) []byte {
	if a.Code == 0 {
		a.Code = 200
	}
	if a.Reason == "" {
		a.Reason = reason(a.Code)
	}
	res := sipgo.NewResponse(a.Code, strings.Map(printable, a.Reason))
	for _, h := range m.Headers {
		name, repeated := repeats[longName(h.Name)]
		if !repeated {
			continue
		}
		if _, tagged := m.To.Params.Get("tag"); name == "To" && !tagged && a.Code != 100 {
			h.Value += ";tag=" + token()
		}
		res.AppendHeader(sipgo.NewHeader(name, h.Value))
	}
	for _, h := range a.Headers {
		if checkHeader(h) == nil {
			res.AppendHeader(sipgo.NewHeader(h.Name, h.Value))
		}
	}
	res.SetBody(nil)
	return []byte(res.String())
}

// send sends an answer on the flow of its request (RFC 3261 section 18.2.2). If the flow has
// ended, the answer is lost.
func (p *Phone) send(m *Message, bytes []byte) {
	if err := m.flow.write(bytes); err != nil {
		p.log.Debug("answer not sent", "call_id", m.CallID, "reason", err)
	}
}

// repeats are the header fields that an answer repeats.
var repeats = map[string]string{
	"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq",
}

// printable maps control characters, which would break a status line, to spaces.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// reason returns the reason phrase of a status code (RFC 3261 section 21), or "Answer 4xx" and
// the like.
func reason(code int) string {
	if s, ok := reasons[code]; ok {
		return s
	}
	return "Answer " + string(rune('0'+code/100)) + "xx"
}

// reasons are the reason phrases of answers in tests.
var reasons = map[int]string{
	100: "Trying", 200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 408: "Request Timeout", 413: "Request Entity Too Large",
	415: "Unsupported Media Type", 420: "Bad Extension", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 486: "Busy Here", 488: "Not Acceptable Here",
	500: "Server Internal Error", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}

// viaBranch returns the branch of the topmost Via.
func viaBranch(via string) string {
	via, _, _ = strings.Cut(via, ",")
	_, params, _ := strings.Cut(via, ";")
	ps, err := sip.ParseParams(";" + params)
	if err != nil {
		return ""
	}
	branch, _ := ps.Get("branch")
	return branch
}
