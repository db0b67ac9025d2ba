package db

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"silod/registrar"
	"silod/sip"
)

// A bindingRow is a change to a binding in the form of the table location.
type bindingRow struct {
	ruid   string
	values []any  // in the order of the table's fields; nil: the binding is removed
	extra  []byte // lines for silod_binding; nil: none
}

// size returns the approximate size of a row in bytes.
func (r *bindingRow) size() int {
	n := 400 + len(r.extra)
	for _, v := range r.values {
		if s, ok := v.(string); ok {
			n += len(s)
		}
	}
	return n
}

// row builds the row of a change of a user with this name. It returns errInvalid where the table
// cannot hold the binding.
func (l *bindingLayout) row(ch *registrar.Change, owner rowName) (*bindingRow, error) {
	b := &ch.Binding
	if b.RUID == "" || !fits(l.columns["ruid"], b.RUID) {
		return nil, fmt.Errorf("%w: no RUID", errInvalid)
	}
	r := &bindingRow{ruid: b.RUID}
	if ch.Removed {
		return r, nil
	}
	if !fits(l.columns["username"], owner.user) || !fits(l.columns["domain"], owner.domain) {
		return nil, fmt.Errorf("%w: %s is too long for the table location", errInvalid, ch.AoR)
	}
	if b.Contact == "" {
		return nil, fmt.Errorf("%w: no contact", errInvalid)
	}
	var w blockWriter
	values := l.values(ch, &w)
	values["username"], values["domain"] = owner.user, nullable(owner.domain)
	if w.err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, w.err)
	}
	r.values = make([]any, 0, len(l.table.fields))
	for _, f := range l.table.fields {
		r.values = append(r.values, values[f.name])
	}
	if w.b.Len() > 0 {
		r.extra = []byte(w.b.String())
	}
	return r, nil
}

// values returns the values of the columns by their names, and writes lines for the parts of
// the binding that the columns cannot restore. readLines reads these lines.
func (l *bindingLayout) values(ch *registrar.Change, w *blockWriter) map[string]any {
	b := &ch.Binding
	// text returns the value for a column, or writes a line where the column does not take it.
	text := func(column, line, value string) string {
		if l.holds(column, value) {
			return value
		}
		w.line(line, value)
		return ""
	}
	// number does the same for a column of 32 bits with a sign.
	number := func(line string, value uint32) int64 {
		if value > math.MaxInt32 {
			w.line(line, strconv.FormatUint(uint64(value), 10))
			return math.MaxInt32
		}
		return int64(value)
	}
	values := map[string]any{
		"ruid": b.RUID, "contact": b.Contact,
		"path": nullable(text("path", "Path", strings.Join(b.Path, ","))), "expires": b.Expires.Unix(),
		"q": float64(b.Q), "callid": text("callid", "Call-ID", b.CallID), "cseq": number("CSeq", b.CSeq),
		"last_modified": b.Modified.Unix(), "flags": int64(0), "cflags": int64(0),
		"user_agent": text("user_agent", "User-Agent", b.UserAgent), "methods": methodMask(b.Methods),
		"instance": nullable(text("instance", "Instance", b.Instance)), "reg_id": number("Reg-ID", b.RegID),
	}
	received, socket := flowColumns(b.Flow)
	if contact := l.contactColumn(b); contact != b.Contact {
		values["contact"] = contact
		w.line("Contact", b.Contact)
		if contact == unreachable(b.RUID) { // without a Path or a flow to the device
			received, socket = "", ""
			values["path"] = nil
			if len(b.Path) == 1 {
				w.line("Path-Value", b.Path[0])
			}
		}
	}
	values["received"], values["socket"] = nullable(received), nullable(socket)
	if flowOf(received, socket) != b.Flow {
		w.line("Flow", b.Flow.String())
	}
	if values["callid"] == "" {
		values["callid"] = b.RUID // Kamailio refuses a row without a Call-ID
		w.line("Call-ID", b.CallID)
	}
	// The column has two decimal places on some engines.
	if q := strconv.FormatFloat(float64(b.Q), 'g', -1, 32); len(q) > len("0.25") {
		w.line("Q", q)
	}
	if b.Methods != methodList(methodMask(b.Methods)) {
		w.line("Methods", b.Methods)
	}
	if b.Params != "" {
		w.line("Params", b.Params)
	}
	if b.ViaNAT {
		w.line("NAT", "Via")
	}
	if len(b.Path) > 1 {
		for _, p := range b.Path {
			w.line("Path-Value", p)
		}
	}
	return values
}

// holds reports whether a column exists and takes a value.
func (l *bindingLayout) holds(column, value string) bool {
	c, ok := l.columns[column]
	if !ok || !fits(c, value) {
		return false
	}
	switch c.charset { // MySQL refuses characters that the column's set does not have
	case "", "utf8mb4":
		return true
	case "utf8", "utf8mb3":
		return !strings.ContainsFunc(value, func(r rune) bool { return r > 0xffff })
	}
	return !strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 })
}

// contactColumn returns the value for the column contact: the contact where it fits, else an
// equal URI without optional parameters such as those of push services, else an address that
// cannot exist. So a Kamailio that reads the row reaches the device or nothing. It must not
// reach the device past a Path that does not fit.
func (l *bindingLayout) contactColumn(b *registrar.Binding) string {
	if !l.holds("path", strings.Join(b.Path, ",")) && len(b.Path) > 0 {
		return unreachable(b.RUID)
	}
	if l.holds("contact", b.Contact) {
		return b.Contact
	}
	if short := essential(b.Contact); l.holds("contact", short) {
		return short
	}
	return unreachable(b.RUID)
}

func essential(contact string) string {
	u, err := sip.ParseURI(contact)
	if err != nil {
		return contact
	}
	return u.Essential().String()
}

// unreachable returns an address that cannot exist (RFC 2606).
func unreachable(ruid string) string { return "sip:" + ruid + "@silod.invalid" }

// nullable returns nil, NULL in the database, for an empty text, as Kamailio writes it.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// binding reads a row: the columns of the table in order, then the lines of silod_binding.
// With an error it returns the values that it has read before.
func (st *bindings) binding(values []any) (sip.AoR, registrar.Binding, error) {
	v := map[string]any{}
	for i, f := range st.layout.bindings.table.fields {
		v[f.name] = values[i]
	}
	var b registrar.Binding
	b.RUID, b.Contact, b.CallID = asText(v["ruid"]), asText(v["contact"]), asText(v["callid"])
	b.UserAgent, b.Instance = asText(v["user_agent"]), asText(v["instance"])
	a := st.layout.aor(rowName{asText(v["username"]), asText(v["domain"])})
	if a.User == "" || b.Contact == "" || b.RUID == "" {
		return a, b, errors.New("no user name, contact or ruid")
	}
	if a.Domain == "" && st.layout.domains != (sip.Domains{}) {
		return a, b, errors.New("no domain")
	}
	expires, err := st.layout.dialect.time(v["expires"])
	if err != nil {
		return a, b, fmt.Errorf("expires: %w", err)
	}
	if expires == 0 {
		expires = noExpiry // Kamailio's permanent contact
	}
	var modified int64
	if v["last_modified"] != nil {
		if modified, err = st.layout.dialect.time(v["last_modified"]); err != nil {
			return a, b, fmt.Errorf("last_modified: %w", err)
		}
	}
	b.Expires, b.Modified = time.Unix(expires, 0), time.Unix(modified, 0)
	if b.Q = float32(asFloat(v["q"])); b.Q < 0 || b.Q > 1 {
		b.Q = 1
	}
	b.CSeq, b.RegID = uint32(asInt(v["cseq"])), uint32(asInt(v["reg_id"]))
	if m, ok := v["methods"]; ok && m != nil {
		b.Methods = methodList(asInt(m))
	}
	b.Flow = flowOf(asText(v["received"]), asText(v["socket"]))
	if b.Path, err = splitPath(asText(v["path"])); err != nil {
		return a, b, fmt.Errorf("path: %w", err)
	}
	readLines(asText(values[len(values)-1]), &b)
	if u, err := sip.ParseURI(b.Contact); err != nil || !u.IsSIP() {
		return a, b, fmt.Errorf("contact %.60q is not a SIP URI", b.Contact)
	}
	return a, b, nil
}

// readLines sets the parts of a binding that are in the lines of silod_binding.
func readLines(lines string, b *registrar.Binding) {
	var path []string
	for line := range blockLines(lines) {
		name, value, ok := cutLine(line)
		if !ok {
			continue
		}
		n, _ := strconv.ParseUint(value, 10, 32)
		switch name {
		case "Contact":
			// Another program may have changed the row since.
			if b.Contact == essential(value) || b.Contact == unreachable(b.RUID) {
				b.Contact = value
			}
		case "Params":
			b.Params = value
		case "Flow":
			b.Flow, _ = sip.ParseFlow(value)
		case "NAT":
			b.ViaNAT = true
		case "Methods":
			b.Methods = value
		case "Call-ID":
			b.CallID = value
		case "User-Agent":
			b.UserAgent = value
		case "Instance":
			b.Instance = value
		case "Path":
			b.Path = []string{value}
		case "Path-Value":
			path = append(path, value)
		case "CSeq":
			b.CSeq = uint32(n)
		case "Reg-ID":
			b.RegID = uint32(n)
		case "Q":
			if q, err := strconv.ParseFloat(value, 32); err == nil {
				b.Q = float32(q)
			}
		}
	}
	if path != nil {
		b.Path = path
	}
}

// splitPath splits a list of Path values, as Kamailio stores them. kamctl writes "." for none.
func splitPath(s string) ([]string, error) {
	if s == "" || s == "." || s == "<null>" {
		return nil, nil
	}
	return sip.SplitList(s)
}
