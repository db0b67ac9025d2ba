package db

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"silod/im"
	"silod/sip"
)

// A header block has the header fields of a message, and the other parts for which
// Kamailio's columns have no place, all as header lines. Those parts are in lines named
// X-Silod-*. A Kamailio that shares the table sends these along as header fields, which does
// no harm; decodeBlock takes them out. lineType is at the place of Content-Type among the
// header fields, unless that is the first one and the column has its value.
const (
	lineFrom   = "X-Silod-From"
	lineTo     = "X-Silod-To"
	lineCallID = "X-Silod-Call-ID"
	lineCSeq   = "X-Silod-CSeq"
	lineType   = "X-Silod-Content-Type"
	lineHeader = "X-Silod-Header" // a sender's header field with the prefix X-Silod-
	linePrefix = "X-Silod-"
)

// columnValues are the parts of a message that follow from the columns of its row.
type columnValues struct{ from, to, callID, ctype string }

// columnValuesOf returns the values for a row with these columns.
func columnValuesOf(src, dst, callID, ctype string) columnValues {
	return columnValues{from: "<" + src + ">", to: "<" + dst + ">", callID: callID, ctype: ctype}
}

// errLine is the cause of errInvalid for a value that would end its line.
var errLine = errors.New("a header cannot hold a line break or NUL")

// encodeBlock returns the lines from which, together with b, decodeBlock restores the message
// without its body. It returns an error for values that do not fit into a line.
func encodeBlock(m *im.Message, b columnValues) (string, error) {
	var w blockWriter
	if m.From != b.from {
		w.line(lineFrom, m.From)
	}
	if m.To != b.to {
		w.line(lineTo, m.To)
	}
	if m.CallID != b.callID {
		w.line(lineCallID, m.CallID)
	}
	if m.CSeq != 0 {
		w.line(lineCSeq, strconv.FormatUint(uint64(m.CSeq), 10))
	}
	for i, h := range m.Headers {
		switch {
		case strings.EqualFold(h.Name, "Content-Type"):
			if i > 0 || h.Value != b.ctype {
				w.line(lineType, h.Value)
			}
		case hasPrefixFold(h.Name, linePrefix):
			w.line(lineHeader, h.Name+": "+h.Value)
		default:
			w.line(h.Name, h.Value)
		}
		if !sip.IsName(h.Name) && w.err == nil {
			w.err = fmt.Errorf("%q is not a header name", h.Name)
		}
	}
	return w.b.String(), w.err
}

// A blockWriter writes lines and keeps the first error.
type blockWriter struct {
	b   strings.Builder
	err error
}

func (w *blockWriter) line(name, value string) {
	if strings.ContainsAny(value, "\r\n\x00") && w.err == nil {
		w.err = fmt.Errorf("header %s: %w", name, errLine)
	}
	w.b.WriteString(name)
	w.b.WriteString(": ")
	w.b.WriteString(value)
	w.b.WriteString("\r\n")
}

// decodeBlock restores a message from columns and block. trusted is set if only silod writes
// the block. Otherwise lineFrom counts only if it names the sender in the columns: Kamailio
// stores every header field that a sender adds, and this one would forge the sender.
func decodeBlock(block string, b columnValues, trusted bool) im.Message {
	m := im.Message{From: b.from, To: b.to, CallID: b.callID}
	typed := false
	for line := range blockLines(block) {
		name, value, ok := cutLine(line)
		if !ok {
			continue
		}
		if !hasPrefixFold(name, linePrefix) {
			m.Headers = append(m.Headers, sip.Header{Name: name, Value: value})
			continue
		}
		switch {
		case strings.EqualFold(name, lineFrom):
			if trusted || sameSender(value, b.from) {
				m.From = value
			}
		case strings.EqualFold(name, lineTo):
			m.To = value
		case strings.EqualFold(name, lineCallID):
			m.CallID = value
		case strings.EqualFold(name, lineCSeq):
			if n, err := strconv.ParseUint(value, 10, 32); err == nil {
				m.CSeq = uint32(n)
			}
		case strings.EqualFold(name, lineType):
			typed = true
			m.Headers = append(m.Headers, sip.Header{Name: "Content-Type", Value: value})
		case strings.EqualFold(name, lineHeader):
			if name, value, ok := cutLine(value); ok {
				m.Headers = append(m.Headers, sip.Header{Name: name, Value: value})
			}
		}
	}
	if !typed && b.ctype != "" {
		ct := sip.Header{Name: "Content-Type", Value: b.ctype}
		m.Headers = append([]sip.Header{ct}, m.Headers...)
	}
	return m
}

// blockLines returns the lines of a block, unfolded (RFC 3261 section 7.3.1). Lines may
// end in LF alone, in rows of other programs.
func blockLines(block string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for block != "" {
			var line string
			line, block = cutEnd(block)
			if folded := []string{line}; block != "" && (block[0] == ' ' || block[0] == '\t') {
				for block != "" && (block[0] == ' ' || block[0] == '\t') {
					line, block = cutEnd(block)
					folded = append(folded, strings.TrimLeft(line, " \t"))
				}
				line = strings.Join(folded, " ")
			}
			if !yield(line) {
				return
			}
		}
	}
}

// cutEnd cuts the first line, which ends in LF or CRLF, from a block.
func cutEnd(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// cutLine splits a line at its colon. It removes one space after the colon, which
// encodeBlock has written; further spaces belong to the value.
func cutLine(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	return name, strings.TrimPrefix(value, " "), ok && sip.IsName(name)
}

// sameSender reports whether two From values name the same user.
func sameSender(from, other string) bool {
	// The usual case without parsing: one pair of angle brackets with that URI in it, which is
	// not in a parameter of another URI.
	if i := strings.IndexAny(from, "<;"); i >= 0 && strings.HasPrefix(from[i:], other) && strings.Count(from, "<") == 1 {
		return true
	}
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return false
	}
	b, err := sip.ParseNameAddr(other)
	return err == nil && a.URI.AoR() == b.URI.AoR() && a.URI.Scheme == b.URI.Scheme && a.URI.Opaque == b.URI.Opaque
}

// hasPrefixFold is strings.HasPrefix without regard to case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// foreignBlock returns the block that Kamailio itself would have stored: the header fields
// that its parser does not know, and those of RFC 3323 and RFC 3325, as many as fit.
func foreignBlock(m *im.Message, fits func(string) bool) string {
	var w blockWriter
	for _, h := range m.Headers {
		if knownHeader(h.Name) || hasPrefixFold(h.Name, linePrefix) || w.b.Len()+len(h.Name)+len(h.Value)+4 > blockMax {
			continue
		}
		if line := h.Name + ": " + h.Value; fits(line) {
			w.line(h.Name, h.Value)
		}
	}
	return w.b.String()
}

// blockMax is the length of a block that Kamailio can send. Its buffer for the header of
// a stored message has 1024 bytes; a longer block stops the delivery of the whole
// mailbox.
const blockMax = 900

// knownHeader reports whether Kamailio parses a header field, and therefore does not
// store it.
func knownHeader(name string) bool { return known[strings.ToLower(name)] }

// known are the names of those header fields, in lower case.
var known = func() map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(`accept accept-contact accept-disposition accept-language allow
		allow-events authorization call-id call-info contact content-disposition content-encoding
		content-length content-type cseq date diversion event expires from identity identity-info
		max-forwards min-expires min-se organization path priority proxy-authenticate
		proxy-authorization proxy-require record-route refer-to reject-contact remote-party-id reply-to
		request-disposition require retry-after route rpid-privacy server service-route session-expires
		sip-if-match subject subscription-state supported to unsupported user-agent via www-authenticate`) {
		m[name] = true
	}
	return m
}()
