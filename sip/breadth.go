package sip

// MaxBreadth is the Max-Breadth of a request without that field, and of those that begin here.
// It is also the most that is forwarded (RFC 5393 section 5.3.3).
const MaxBreadth = 60

// MaxBreadth returns the number of branches into which a request may be forked, at most 60
// (RFC 5393 section 5). ok is false if the header field is malformed or occurs twice.
func (r *Request) MaxBreadth() (n int, ok bool) {
	n, found := MaxBreadth, false
	for i := range r.Headers {
		if r.Headers[i].Name != "Max-Breadth" {
			continue
		}
		if n, ok = parseBreadth(r.Headers[i].Value); found || !ok {
			return 0, false
		}
		found = true
	}
	return n, true
}

func parseBreadth(v string) (n int, ok bool) {
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = min(n*10+int(v[i]-'0'), MaxBreadth)
	}
	return n, v != ""
}
