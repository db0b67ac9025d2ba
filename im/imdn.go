package im

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// MediaTypeIMDN is the media type of a disposition notification (RFC 5438 section 11).
const MediaTypeIMDN = "message/imdn+xml"

// imdnNamespace identifies the CPIM headers of RFC 5438 section 6.
const imdnNamespace = "urn:ietf:params:imdn"

// IMDNPrefix is the NS header that declares the prefix "imdn" for the headers of
// RFC 5438.
const IMDNPrefix = "imdn <" + imdnNamespace + ">"

// IMDN returns the first message header with a name of RFC 5438, such as Message-ID,
// whatever prefix the message has declared for that namespace; "" if there is none.
// The prefix of a message that declares none is "imdn".
func (c *CPIM) IMDN(name string) string {
	prefix := "imdn"
	for i := range c.Headers {
		if c.Headers[i].Name != "NS" {
			continue
		}
		if p, uri, ok := NameURI(c.Headers[i].Value); ok && uri == imdnNamespace {
			prefix = p
		}
	}
	if prefix != "" {
		name = prefix + "." + name
	}
	return c.Header(name)
}

// Wants reports whether the sender asks for a kind of notification, such as
// "processing" (RFC 5438 section 6.2).
func (c *CPIM) Wants(kind string) bool {
	for w := range strings.SplitSeq(c.IMDN("Disposition-Notification"), ",") {
		if w, _, _ = strings.Cut(w, ";"); strings.TrimSpace(w) == kind {
			return true
		}
	}
	return false
}

// NameURI parses "name <uri>", the form of the CPIM headers From, To and NS. The name
// may be empty.
func NameURI(value string) (name, uri string, ok bool) {
	name, rest, ok := strings.Cut(value, "<")
	uri, _, closed := strings.Cut(rest, ">")
	return strings.TrimSpace(name), uri, ok && closed
}

// An IMDN is a disposition notification (RFC 5438 section 11).
type IMDN struct {
	MessageID         string // of the message that it is about
	DateTime          string // of that message
	Recipient         string // URI
	OriginalRecipient string // URI
	Element           string // kind of notification, such as "delivery-notification"
	Status            string // element within status, such as "failed"
}

// Document returns the XML document. Element and Status must be names of XML
// elements; the other values may be any text.
func (n *IMDN) Document() string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
<message-id>%s</message-id>
<datetime>%s</datetime>
<recipient-uri>%s</recipient-uri>
<original-recipient-uri>%s</original-recipient-uri>
<%[5]s><status><%[6]s/></status></%[5]s>
</imdn>
`, escape(n.MessageID), escape(n.DateTime), escape(n.Recipient), escape(n.OriginalRecipient), n.Element, n.Status)
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // writing to a Builder cannot fail
	return b.String()
}
