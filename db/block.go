package db

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"silod/im"
	"silod/sip"
)

// A header block is what Kamailio's columns cannot say about a message, as
// header lines. Ours are named X-Silod-*: a Kamailio that shares the table sends
// them along and nobody minds; we take them off when we read. Content-Type keeps
// its place among the other headers by being a line there.
const (
	lineFrom   = "X-Silod-From"
	lineTo     = "X-Silod-To"
	lineCallID = "X-Silod-Call-ID"
	lineCSeq   = "X-Silod-CSeq"
	lineType   = "X-Silod-Content-Type"
	lineHeader = "X-Silod-Header" // a sender's own header that is named like one of ours
	linePrefix = "X-Silod-"
)

// bare is what the columns say of a message.
type bare struct{ from, to, callID, ctype string }

// bareOf is what a row with these addresses says by itself.
func bareOf(src, dst, callID, ctype string) bare {
	return bare{from: "<" + src + ">", to: "<" + dst + ">", callID: callID, ctype: ctype}
}

var errLine = errors.New("a header cannot hold a line break or NUL")

// encodeBlock writes the lines that, with the columns, give back the message.
func encodeBlock(m *im.Message, b bare) (string, error) {
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
		if !sip.IsToken(h.Name) && w.err == nil {
			w.err = fmt.Errorf("%q is no header name", h.Name)
		}
	}
	return w.b.String(), w.err
}

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

// decodeBlock makes the message of columns and block. trusted says that the
// block is one that nobody but silod writes; otherwise its From is only believed
// where it names the sender that the columns name, because a Kamailio keeps
// whatever header a stranger sent.
func decodeBlock(block string, b bare, trusted bool) im.Message {
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

// blockLines gives a block's lines, folded ones (RFC 3261 section 7.3.1) as one.
// Lines may end in LF alone: not every row is ours.
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

func cutEnd(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// cutLine splits a line at its colon. One space behind it is ours, any other
// belongs to the value.
func cutLine(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	return name, strings.TrimPrefix(value, " "), ok && sip.IsToken(name)
}

// sameSender tells whether a From value names the user that another one names.
func sameSender(from, other string) bool {
	// One pair of angle brackets, with that URI in it: the usual case, without parsing.
	if strings.Count(from, "<") == 1 && strings.Contains(from, other) {
		return true
	}
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return false
	}
	b, err := sip.ParseNameAddr(other)
	return err == nil && a.URI.AoR() == b.URI.AoR() && a.URI.Scheme == b.URI.Scheme && a.URI.Opaque == b.URI.Opaque
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// foreignBlock is the part of a message's headers that Kamailio itself would
// have kept: those that its parser does not know and the identity headers
// (RFC 3325, RFC 3323), as many as fit.
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

// blockMax is what Kamailio can be trusted to build a message from: its buffer
// for the headers of a stored message has 1024 bytes, and a row that needs more
// stops the delivery of the whole mailbox.
const blockMax = 900

// knownHeader tells the headers that Kamailio parses, and therefore does not store.
func knownHeader(name string) bool { return known[strings.ToLower(name)] }

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
