package silo

import (
	"context"
	"strconv"
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
	if !from.URI.IsSIP() || from.URI.User == "" || m.senderUnverified || !m.SendAt.IsZero() {
		return
	}
	sender, _ := s.opt.Domains.AoR(from.URI)
	s.dispose(ctx, failed, sender, m)
}

// dispose puts a notification into the sender's mailbox: from there it is delivered
// when the sender is online.
func (s *Service) dispose(ctx context.Context, d disposition, sender sip.AoR, m *Message) {
	c, ok := readCPIM(&m.Message)
	if !ok || !c.Wants(d.asked) || c.IMDN("Message-ID") == "" || sender.IsZero() {
		return
	}
	note := d.notification(c, m, s.opt.Now())
	if _, err := s.Put(ctx, &Incoming{Owner: sender, Message: note, SafetyCopy: true}); err != nil {
		s.opt.Log.Warn("disposition notification not sent", "sender", sender, "status", d.status, "error", err)
		return
	}
	s.Stats.Dispositions.Inc()
}

// notification makes the message (RFC 5438 section 7.2.1). It speaks for the
// recipient, as the recipient's own would: clients know by its From to which
// conversation it belongs. It goes to the sender who is known, not where an
// IMDN-Record-Route may point.
func (d disposition) notification(c *im.CPIM, m *Message, now time.Time) *im.Message {
	id := "silo-" + d.status + "-" + strconv.FormatInt(m.ID, 10) + "-" + strconv.FormatInt(m.Stored.Unix(), 10)
	body := im.CPIM{Body: []byte(d.document(c, m))}
	for _, f := range []im.Field{
		{Name: "From", Value: c.Header("To")},
		{Name: "To", Value: c.Header("From")},
		{Name: "NS", Value: im.IMDNPrefix},
		{Name: "imdn.Message-ID", Value: id},
		{Name: "DateTime", Value: now.UTC().Format(time.RFC3339)},
	} {
		if f.Value != "" {
			body.Headers = append(body.Headers, f)
		}
	}
	body.Content = []im.Field{
		{Name: "Content-type", Value: im.MediaTypeIMDN},
		{Name: "Content-Disposition", Value: "notification"},
		{Name: "Content-length", Value: strconv.Itoa(len(body.Body))},
	}
	return &im.Message{
		From:   "<" + m.Owner.String() + ">;tag=" + id,
		To:     "<" + bareURI(m.From) + ">",
		CallID: id + "@" + m.Owner.Domain,
		CSeq:   1,
		Headers: []sip.Header{
			{Name: "Content-Type", Value: im.MediaTypeCPIM},
			{Name: "Priority", Value: "non-urgent"},
		},
		Body: body.Append(nil),
	}
}

// document returns the notification itself.
func (d disposition) document(c *im.CPIM, m *Message) string {
	n := im.IMDN{
		MessageID: c.IMDN("Message-ID"), DateTime: c.Header("DateTime"),
		Recipient: m.Owner.String(), OriginalRecipient: m.Owner.String(),
		Element: d.element, Status: d.status,
	}
	if n.DateTime == "" {
		n.DateTime = m.Stored.UTC().Format(time.RFC3339)
	}
	if _, uri, ok := im.NameURI(c.Header("To")); ok {
		n.OriginalRecipient = uri
	}
	return n.Document()
}

// maxCPIM limits how much of a body is searched for the ends of its headers.
const maxCPIM = 16 << 10

// readCPIM reads a CPIM message. It reports false if m is not one, is encoded, or has
// headers that cannot be read.
func readCPIM(m *im.Message) (*im.CPIM, bool) {
	if im.MediaType(m.Header("Content-Type")) != im.MediaTypeCPIM || !m.PlainEncoding() {
		return nil, false
	}
	return parseCPIM(m.Body)
}

func parseCPIM(body []byte) (*im.CPIM, bool) {
	c, ok := im.ParseCPIM(body[:min(len(body), maxCPIM)])
	return c, ok && !c.Malformed
}

// isDisposition reports whether a message is a disposition notification (RFC 5438),
// alone or within CPIM.
func isDisposition(m *im.Message) bool {
	if im.MediaType(m.Header("Content-Type")) == im.MediaTypeIMDN {
		return true
	}
	c, ok := readCPIM(m)
	return ok && c.ContentType() == im.MediaTypeIMDN
}
