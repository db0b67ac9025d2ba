package silo

import (
	"context"
	"errors"
	"strconv"
	"time"

	"silod/im"
	"silod/sip"
)

// A disposition is a result that a sender can ask to be notified of (RFC 5438): that
// the message was stored, or that its delivery has failed.
type disposition struct {
	kind    string // value of Disposition-Notification that asks for it
	element string // of the XML document
	status  string
}

var (
	dispositionStored = disposition{"processing", "processing-notification", "stored"}
	dispositionFailed = disposition{"negative-delivery", "delivery-notification", "failed"}
)

// notifyStored sends <stored/> to a sender that has asked for it: once, because a
// message is stored once (RFC 5438 section 8).
func (s *Service) notifyStored(ctx context.Context, in *Incoming, id int64) {
	s.sendDisposition(ctx, dispositionStored, in.Sender, &Message{ID: id, Owner: in.Owner, Stored: s.opt.Now(), Message: *in.Message})
}

// notifyRefused sends <failed/> for a message that was set aside when it was stored.
func (s *Service) notifyRefused(ctx context.Context, in *Incoming, id int64) {
	s.sendDisposition(ctx, dispositionFailed, in.Sender, &Message{ID: id, Owner: in.Owner, Stored: s.opt.Now(), Message: *in.Message})
}

// notifyFailed sends <failed/> to a sender that has asked for it, except for reminders. It reports
// whether it has.
func (s *Service) notifyFailed(ctx context.Context, m *Message) bool {
	from := nameAddr(m.From)
	sender, _ := s.opt.Domains.AoR(from.URI)
	if m.senderUnverified || !m.SendAt.IsZero() {
		return false
	}
	return s.sendDisposition(ctx, dispositionFailed, sender, m)
}

// sendDisposition stores a notification for the sender, if the message asks for it, and reports
// whether it has.
func (s *Service) sendDisposition(ctx context.Context, d disposition, sender sip.AoR, m *Message) bool {
	c, ok := readCPIM(&m.Message)
	if !ok || !c.Wants(d.kind) || c.IMDN("Message-ID") == "" || !sender.Reachable() {
		return false
	}
	note := d.notification(c, m, s.opt.Now())
	if _, err := s.Put(ctx, &Incoming{Owner: sender, Message: note, SafetyCopy: true, Own: true}); err != nil {
		if !errors.Is(err, ErrUnknownUser) {
			s.opt.Log.Warn("disposition notification not sent", "sender", sender, "status", d.status, "error", err)
		}
		return false
	}
	s.Stats.Dispositions.Inc()
	return true
}

// notification returns the notification about a message (RFC 5438 section 7.2.1). It is
// from the recipient, as one by the recipient's device would be: clients find the
// conversation by its From. It is not sent to the address in IMDN-Record-Route, which
// is not verified.
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
		To:     toSender(m.From),
		CallID: id + "@" + m.Owner.Domain,
		CSeq:   1,
		Headers: []sip.Header{
			{Name: "Content-Type", Value: im.MediaTypeCPIM},
			{Name: "Priority", Value: "non-urgent"},
		},
		Body: body.Append(nil),
	}
}

// document returns the XML document about a message.
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
