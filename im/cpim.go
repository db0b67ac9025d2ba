package im

import (
	"bytes"
	"strings"
)

// MediaTypeCPIM is the media type of a CPIM message (RFC 3862).
const MediaTypeCPIM = "message/cpim"

// A CPIM is the body of a message/cpim (RFC 3862 section 2): message headers, then
// the header fields of the content, then the content.
type CPIM struct {
	Headers   []Field // message headers, without language tags
	Content   []Field // header fields of the content
	Body      []byte  // the content; nil if its header fields have no end
	Malformed bool    // a line among the message headers is not a header
}

// A Field is a header of a CPIM message.
type Field struct{ Name, Value string }

// ParseCPIM parses a CPIM message. It reports false if the message headers have no
// end. Lines that are not headers are skipped. Lines may end in LF alone, as some
// clients write them. The result shares memory with body.
func ParseCPIM(body []byte) (*CPIM, bool) {
	head, rest, ok := cutBlank(body)
	if !ok {
		return nil, false
	}
	c := &CPIM{}
	for line := range lines(head) {
		if name, value, ok := messageHeader(line); ok {
			c.Headers = append(c.Headers, Field{name, value})
		} else {
			c.Malformed = true
		}
	}
	head, c.Body, _ = cutBlank(rest)
	for line := range lines(head) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			c.Content = append(c.Content, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return c, true
}

// Header returns the value of the first message header with a name, or "". Unlike
// those of the content, names of message headers are case-sensitive.
func (c *CPIM) Header(name string) string {
	for i := range c.Headers {
		if c.Headers[i].Name == name {
			return c.Headers[i].Value
		}
	}
	return ""
}

// ContentType returns the media type of the content, "" if none is given.
func (c *CPIM) ContentType() string {
	return MediaType(c.ContentField("Content-Type"))
}

// ContentField returns the value of the first header field of the content with a name, or "".
func (c *CPIM) ContentField(name string) string {
	for i := range c.Content {
		if equalFold(c.Content[i].Name, name) {
			return c.Content[i].Value
		}
	}
	return ""
}

// Append appends the message in the form of RFC 3862 to b.
func (c *CPIM) Append(b []byte) []byte {
	for _, fields := range [][]Field{c.Headers, c.Content} {
		for i := range fields {
			b = append(append(b, fields[i].Name...), ": "...)
			b = append(append(b, fields[i].Value...), "\r\n"...)
		}
		b = append(b, "\r\n"...)
	}
	return append(b, c.Body...)
}

// messageHeader parses "Name: value" and "Name:;lang=fr value" (RFC 3862 section 2.2).
func messageHeader(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", "", false
	}
	if strings.HasPrefix(value, ";") {
		_, value, _ = strings.Cut(value, " ")
	}
	return name, strings.TrimSpace(value), true
}

// cutBlank cuts b at its first empty line, which belongs to neither part.
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

// lines yields the lines of b without their ends.
func lines(b []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest := string(b); rest != ""; {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			if !yield(strings.TrimSuffix(line, "\r")) {
				return
			}
		}
	}
}
