package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// hi returns the head of a valid MESSAGE to bob with a body of two bytes.
func hi() []string {
	return append(lines("MESSAGE", uri("bob")), "Content-Type: text/plain", "Content-Length: 2")
}

// empty returns the head of a request without a body.
func empty(method, uri string, more ...string) []string {
	return append(append(lines(method, uri), more...), "Content-Length: 0")
}

// registration returns the head of a REGISTER of mallory.
func registration(more ...string) []string {
	return swap(empty("REGISTER", "sip:"+domain, more...), "To", "To: <"+uri("mallory")+">")
}

// swap replaces the line of a header field.
func swap(head []string, name string, line ...string) []string {
	i := slices.IndexFunc(head, func(l string) bool { return strings.HasPrefix(l, name+":") })
	return slices.Concat(head[:i], line, head[i+1:])
}

func without(name string) []string { return swap(hi(), name) }

func hiWith(name, line string) []string { return swap(hi(), name, line) }

func hiAnd(line string) []string { return append(hi(), line) }

func hiTo(uri string) []string { return starts("MESSAGE " + uri + " SIP/2.0") }

func starts(line string) []string { return append([]string{line}, hi()[1:]...) }

// none is the status of a request that gets no answer.
const none = 0

// TestBadRequests has, for each invalid request, the status that RFC 3261 and other RFCs
// require. Each is the first request on its socket, over UDP and over TCP.
func TestBadRequests(t *testing.T) {
	d := serve(t)
	stored := 0
	for _, tt := range []struct {
		name   string
		head   []string
		status int
		header string // that the answer must have
	}{
		// Mandatory by RFC 3261 section 8.1.1. Without a Via there can be no answer.
		{"no From", without("From"), 400, ""},
		{"no To", without("To"), 400, ""},
		{"no Call-ID", without("Call-ID"), 400, ""},
		{"no CSeq", without("CSeq"), 400, ""},
		{"no Max-Forwards", without("Max-Forwards"), 202, ""}, // section 16.3, step 3
		{"no Via", without("Via"), none, ""},
		{"no header fields", []string{"MESSAGE " + uri("bob") + " SIP/2.0"}, none, ""},
		{"two From", hiAnd("From: <sip:x@y>;tag=2"), 400, ""},
		{"two To", hiAnd("t: <sip:x@y>"), 400, ""},
		{"two Call-ID", hiAnd("i: other"), 400, ""},
		{"two CSeq", hiAnd("CSeq: 2 MESSAGE"), 400, ""},

		{"invalid From", hiWith("From", "From: <<<"), 400, ""},
		{"invalid To", hiWith("To", "To: \"bob <sip:bob@sip.test>"), 400, ""},
		{"empty Call-ID", hiWith("Call-ID", "Call-ID:"), 400, ""},
		{"CSeq without a method", hiWith("CSeq", "CSeq: 1"), 400, ""},
		{"CSeq of another method", hiWith("CSeq", "CSeq: 1 REGISTER"), 400, ""},
		{"CSeq too large", hiWith("CSeq", "CSeq: 4294967296 MESSAGE"), 400, ""}, // section 8.1.1.5
		{"CSeq of 2^31", hiWith("CSeq", "CSeq: 2147483648 MESSAGE"), 400, ""},   // the same
		{"CSeq that is not a number", hiWith("CSeq", "CSeq: one MESSAGE"), 400, ""},
		{"Via without an address", hiWith("Via", "Via: SIP/2.0/UDP"), none, ""},
		{"Via of another protocol", hiWith("Via", "Via: HTTP/1.1 proxy;branch=z9hG4bK{N}"), none, ""},
		{"From of another scheme", hiWith("From", "From: <mailto:mallory@sip.test>;tag={N}"), 202, ""}, // section 20.20
		{"line without a colon", hiAnd("this is no header"), 400, ""},
		{"NUL in a header", hiAnd("Subject: a\x00b"), 400, ""},
		{"bad header name", hiAnd("Sub ject: a"), 400, ""},

		{"Max-Forwards 0", hiWith("Max-Forwards", "Max-Forwards: 0"), 483, ""}, // section 16.3, step 3
		{"Max-Forwards 1", hiWith("Max-Forwards", "Max-Forwards: 1"), 202, ""},
		{"Max-Forwards too large", hiWith("Max-Forwards", "Max-Forwards: 256"), 400, ""},
		{"Max-Forwards below 0", hiWith("Max-Forwards", "Max-Forwards: -1"), 400, ""},
		{"Max-Forwards that is not a number", hiWith("Max-Forwards", "Max-Forwards: many"), 400, ""},
		{"OPTIONS with Max-Forwards 0", swap(empty("OPTIONS", "sip:"+domain), "Max-Forwards", "Max-Forwards: 0"), 200, "Allow"}, // section 11

		{"Content-Length below 0", hiWith("Content-Length", "Content-Length: -2"), 400, ""},
		{"Content-Length that is not a number", hiWith("Content-Length", "Content-Length: two"), 400, ""},
		{"Content-Length too large", hiWith("Content-Length", "Content-Length: 99999999999999999999"), 400, ""},
		{"two Content-Length", hiAnd("l: 3"), 400, ""},
		{"empty body", empty("MESSAGE", uri("bob"), "Content-Type: text/plain"), 480, ""}, // there is no text to store

		{"foreign domain", hiTo("sip:bob@elsewhere.example"), 403, ""},
		{"route to another server", hiAnd("Route: <sip:elsewhere.example;lr>"), 403, ""},
		{"no user", hiTo("sip:" + domain), 404, ""},
		{"invalid address", hiTo("sip:@@"), 400, ""},
		{"address without a host", hiTo("sip:bob@"), 400, ""},
		{"address with a bad port", hiTo("sip:bob@" + domain + ":99999"), 400, ""},
		{"address with a space", hiTo("sip:bob smith@" + domain), 400, ""},
		{"address of another scheme", hiTo("tel:+4912345"), 416, ""}, // section 8.2.2.1
		{"no address", starts("MESSAGE SIP/2.0"), 400, ""},
		{"another version", starts("MESSAGE " + uri("bob") + " SIP/3.0"), 505, ""}, // section 21.5.6
		{"HTTP", starts("GET / HTTP/1.1"), none, ""},

		{"unknown method", empty("FROBNICATE", uri("bob")), 501, "Allow"}, // section 21.5.2
		{"INVITE", empty("INVITE", uri("bob")), 405, "Allow"},             // section 21.4.6
		{"SUBSCRIBE", empty("SUBSCRIBE", uri("bob"), "Event: presence"), 405, "Allow"},
		{"PUBLISH", empty("PUBLISH", uri("bob"), "Event: presence"), 405, "Allow"},
		{"BYE", empty("BYE", uri("bob")), 481, ""},       // section 15.1.2
		{"CANCEL", empty("CANCEL", uri("bob")), 481, ""}, // section 9.2
		{"ACK", empty("ACK", uri("bob")), none, ""},
		{"extension that is required", hiAnd("Require: 100rel, path, frobnicate"), 420, "Unsupported"}, // section 8.2.2.3
		{"extension that a proxy must have", hiAnd("Proxy-Require: frobnicate"), 420, "Unsupported"},   // section 16.3, step 5
		{"response to nothing", starts("SIP/2.0 200 OK"), none, ""},
		{"invalid response", starts("SIP/2.0 999 Beyond"), none, ""},

		{"REGISTER elsewhere", empty("REGISTER", "sip:elsewhere.example", "Contact: <sip:x@127.0.0.1:9>"), 404, ""}, // section 10.3, step 5
		{"REGISTER of a room", swap(registration("Contact: <sip:x@127.0.0.1:9>"), "To", "To: <"+uri("chat-1")+">"), 403, ""},
		{"REGISTER without a user", empty("REGISTER", "sip:"+domain, "Contact: <sip:x@127.0.0.1:9>"), 400, ""},
		{"REGISTER of an invalid address", registration("Contact: <sip:"), 400, ""},
		{"REGISTER of another scheme", registration("Contact: <mailto:mallory@sip.test>"), 400, ""},
		{"REGISTER of * for a time", registration("Contact: *", "Expires: 60"), 400, ""}, // section 10.3, step 6
		{"REGISTER of * and more", registration("Contact: *, <sip:x@127.0.0.1:9>", "Expires: 0"), 400, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(tt.name+"/"+network, func(t *testing.T) {
				w := dial(t, network, d.addr)
				body := "hi"
				if slices.Contains(tt.head, "Content-Length: 0") {
					body = ""
				}
				raw := w.request(tt.head, body)
				w.send(raw)
				if tt.status == none {
					w.silent()
					return
				}
				res := w.answer()
				if res.status != tt.status || tt.header != "" && res.header.Get(tt.header) == "" {
					t.Errorf("want %d and header %q:\n%s\n--- asked:\n%s", tt.status, tt.header, res, raw)
				}
				checkAnswer(t, raw, res)
			})
			if tt.status == 202 {
				stored++
			}
		}
	}
	d.checkAlive(t)
	d.awaitStored(t, "bob", slices.Repeat([]string{"hi"}, stored)...)
	d.awaitOnline(t, "mallory", false)
}

// checkAnswer checks the header fields that every answer repeats (RFC 3261 section 8.2.6.2)
// and that the request has once.
func checkAnswer(t *testing.T, raw string, res *response) {
	t.Helper()
	for _, name := range []string{"From", "Call-ID", "CSeq"} {
		var sent []string
		for line := range strings.Lines(raw) {
			if v, ok := strings.CutPrefix(line, name+": "); ok {
				sent = append(sent, strings.TrimSpace(v))
			}
		}
		if got := res.header.Values(name); len(sent) == 1 && !slices.Contains(got, sent[0]) {
			t.Errorf("the answer has %s %q, asked with %q", name, got, sent)
		}
	}
	if via := res.header.Get("Via"); !strings.Contains(via, ";received=127.0.0.1") {
		t.Errorf("the answer's Via lacks the source of the request: %s", via)
	}
}
