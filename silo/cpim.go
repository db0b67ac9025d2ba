package silo

import (
	"bytes"
	"strings"

	"silod/im"
)

// cpim is what the silo wants to know of a message/cpim body (RFC 3862): its
// headers, and what it wraps. Header names are case-sensitive there; names with a
// prefix belong to a namespace, which an NS header declares.
type cpim struct {
	from, to  string // as written: a formal name and a URI in angle brackets
	date      string
	messageID string   // of the namespace imdn (RFC 5438 section 6.3)
	wanted    []string // its Disposition-Notification
	content   string   // media type of what is wrapped, in lower case
}

// cpimMost bounds what is read of a body in search of the ends of its headers.
const cpimMost = 16 << 10

// imdnNamespace is what the prefix of disposition headers stands for.
const imdnNamespace = "urn:ietf:params:imdn"

// cpimOf reads a message that is CPIM; false where it is none, or cannot be read.
func cpimOf(m *im.Message) (cpim, bool) {
	if kind, _ := mediaType(m.Header("Content-Type")); kind != "message/cpim" || !plainEncoding(m) {
		return cpim{}, false
	}
	return parseCPIM(m.Body)
}

// parseCPIM reads the headers of the message and those of its content, each up to
// an empty line.
func parseCPIM(body []byte) (cpim, bool) {
	body = body[:min(len(body), cpimMost)]
	head, content, ok := cutBlank(body)
	if !ok {
		return cpim{}, false
	}
	var c cpim
	prefix := "imdn" // RFC 5438 has it declared; what else could be meant is not seen
	fields := map[string]string{}
	for line := range lines(head) {
		name, value, ok := cpimHeader(line)
		if !ok {
			return cpim{}, false
		}
		if ns, uri, ok := namespace(value); name == "NS" && ok && uri == imdnNamespace {
			prefix = ns
		}
		if _, there := fields[name]; !there {
			fields[name] = value
		}
	}
	if prefix != "" {
		prefix += "."
	}
	c.from, c.to, c.date = fields["From"], fields["To"], fields["DateTime"]
	c.messageID = fields[prefix+"Message-ID"]
	for w := range strings.SplitSeq(fields[prefix+"Disposition-Notification"], ",") {
		if w = strings.TrimSpace(w); w != "" {
			c.wanted = append(c.wanted, w)
		}
	}
	head, _, _ = cutBlank(content)
	for line := range lines(head) {
		if name, value, ok := strings.Cut(line, ":"); ok && fold(name) == "content-type" {
			c.content, _ = mediaType(value)
		}
	}
	return c, true
}

// wants tells whether a kind of notification was asked for.
func (c *cpim) wants(kind string) bool {
	for _, w := range c.wanted {
		if w, _, _ = strings.Cut(w, ";"); strings.TrimSpace(w) == kind {
			return true
		}
	}
	return false
}

// cpimHeader reads "Name: value" and "Name:;lang=fr value" (RFC 3862 section 2.2).
func cpimHeader(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", "", false
	}
	if strings.HasPrefix(value, ";") {
		_, value, _ = strings.Cut(value, " ")
	}
	return name, strings.TrimSpace(value), true
}

// namespace reads "imdn <urn:ietf:params:imdn>"; without a prefix it is the default.
func namespace(value string) (prefix, uri string, ok bool) {
	prefix, rest, ok := strings.Cut(value, "<")
	uri, _, closed := strings.Cut(rest, ">")
	return strings.TrimSpace(prefix), uri, ok && closed
}

// cutBlank parts a text at its first empty line. Lines may end in LF alone.
func cutBlank(b []byte) (head, rest []byte, ok bool) {
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			break
		}
		if line := b[i : i+n]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return b[:i], b[i+n+1:], true
		}
		i += n + 1
	}
	return b, nil, false
}

// lines gives the lines of a text without their ends.
func lines(b []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(b) > 0 {
			var line []byte
			line, b, _ = bytes.Cut(b, []byte("\n"))
			if !yield(string(bytes.TrimSuffix(line, []byte("\r")))) {
				return
			}
		}
	}
}

// isDisposition tells whether a message is a disposition notification (RFC 5438),
// as it is or wrapped in CPIM.
func isDisposition(m *im.Message) bool {
	const imdnXML = "message/imdn+xml"
	if kind, _ := mediaType(m.Header("Content-Type")); kind == imdnXML {
		return true
	}
	c, ok := cpimOf(m)
	return ok && c.content == imdnXML
}

// isText tells whether a message is words for a person.
func isText(m *im.Message) bool {
	kind, _ := mediaType(m.Header("Content-Type"))
	if strings.HasPrefix(kind, "text/") {
		return plainEncoding(m)
	}
	c, ok := cpimOf(m)
	return ok && strings.HasPrefix(c.content, "text/")
}
