package silo

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
)

// disposition is what a sender can ask to be told of a message (RFC 5438). The
// silo tells two things: that a message was stored, and that it failed for good.
type disposition struct {
	asked   string // the word in Disposition-Notification
	element string
	status  string
}

var (
	stored = disposition{"processing", "processing-notification", "stored"}
	failed = disposition{"negative-delivery", "delivery-notification", "failed"}
)

// tellStored sends <stored/> to a sender who asked for it: once, because a message
// is stored once (RFC 5438 section 8).
func (s *Service) tellStored(ctx context.Context, in *Incoming, id int64) {
	s.dispose(ctx, stored, in.Sender, &Message{ID: id, Owner: in.Owner, Stored: s.opt.Now(), Message: *in.Message})
}

// tellFailed sends <failed/> to a sender who asked for it. A reminder is nobody's
// message any more.
func (s *Service) tellFailed(ctx context.Context, m *Message) {
	from := nameAddr(m.From)
	if !from.URI.IsSIP() || from.URI.User == "" || m.untold || !m.SendAt.IsZero() {
		return
	}
	sender, _ := s.opt.Domains.AoR(from.URI)
	s.dispose(ctx, failed, sender, m)
}

// dispose puts a notification into the sender's mailbox: from there it is delivered
// when the sender is online.
func (s *Service) dispose(ctx context.Context, d disposition, sender sip.AoR, m *Message) {
	c, ok := cpimOf(&m.Message)
	if !ok || !c.wants(d.asked) || c.messageID == "" || sender.IsZero() {
		return
	}
	note := d.notification(&c, m, s.opt.Now())
	if _, err := s.Put(ctx, &Incoming{Owner: sender, Message: note, Passing: true}); err != nil {
		s.opt.Log.Warn("disposition notification not sent", "sender", sender, "status", d.status, "error", err)
		return
	}
	s.Stats.Dispositions.Inc()
}

// notification makes the message (RFC 5438 section 7.2.1). It speaks for the
// recipient, as the recipient's own would: clients know by its From to which
// conversation it belongs. It goes to the sender who is known, not where an
// IMDN-Record-Route may point.
func (d disposition) notification(c *cpim, m *Message, now time.Time) *im.Message {
	id := "silo-" + d.status + "-" + strconv.FormatInt(m.ID, 10) + "-" + strconv.FormatInt(m.Stored.Unix(), 10)
	doc := d.document(c, m)
	var b strings.Builder
	for _, h := range [][2]string{
		{"From", c.to},
		{"To", c.from},
		{"NS", "imdn <" + imdnNamespace + ">"},
		{"imdn.Message-ID", id},
		{"DateTime", now.UTC().Format(time.RFC3339)},
	} {
		if h[1] != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	fmt.Fprintf(&b, "\r\nContent-type: message/imdn+xml\r\nContent-Disposition: notification\r\nContent-length: %d\r\n\r\n%s", len(doc), doc)
	return &im.Message{
		From:   "<" + m.Owner.String() + ">;tag=" + id,
		To:     "<" + bareURI(m.From) + ">",
		CallID: id + "@" + m.Owner.Domain,
		CSeq:   1,
		Headers: []sip.Header{
			{Name: "Content-Type", Value: "message/cpim"},
			{Name: "Priority", Value: "non-urgent"},
		},
		Body: []byte(b.String()),
	}
}

// document is the notification itself (RFC 5438 section 11).
func (d disposition) document(c *cpim, m *Message) string {
	date, original := c.date, m.Owner.String()
	if date == "" {
		date = m.Stored.UTC().Format(time.RFC3339)
	}
	if _, uri, ok := namespace(c.to); ok { // To has the same form: a name, and a URI in brackets
		original = uri
	}
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
<message-id>%s</message-id>
<datetime>%s</datetime>
<recipient-uri>%s</recipient-uri>
<original-recipient-uri>%s</original-recipient-uri>
<%[5]s><status><%[6]s/></status></%[5]s>
</imdn>
`, escape(c.messageID), escape(date), escape(m.Owner.String()), escape(original), d.element, d.status)
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
