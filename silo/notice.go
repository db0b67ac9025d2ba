package silo

import (
	"context"
	"strconv"
	"strings"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/sip"
)

// NotifySender tells a sender what has become of a message, once the answer to it is on
// its way. away says that the recipient was not to be reached.
func (s *Service) NotifySender(ctx context.Context, in *Incoming, id int64, away bool) {
	if in.Sender.IsZero() || !in.SendAt.IsZero() {
		return
	}
	if away {
		s.notify(in, id)
	}
	s.tellStored(ctx, in, id)
}

// notify sends the notice that the recipient is offline: for words only, not for
// what machines send each other, nor to ourselves; not for a notice that came back
// through a proxy; and to each sender once in a while only.
func (s *Service) notify(in *Incoming, id int64) {
	cfg, now := s.cfg(), s.opt.Now()
	if cfg.NoticeFrom == nil || cfg.NoticeText == nil || s.opt.Notices == nil ||
		!isText(in.Message) || strings.HasPrefix(in.Message.CallID, noticePrefix) || s.isServiceAddress(cfg, in, in.Sender) {
		return
	}
	m, ok := s.notice(cfg, in, id, now)
	if !ok {
		return
	}
	every := cfg.NoticeEvery
	if !cfg.NoticeOwn {
		// An answer to this notice goes to somebody's mailbox. A machine that answers
		// everything does so at once.
		every = max(every, time.Minute)
	}
	if every > 0 && !s.told.allow(pair{in.Sender, in.Owner}, now, every) {
		s.Stats.Unnoticed.Inc()
		return
	}
	it := delivery.Item{Message: *m, Expires: now.Add(noticeLife)}
	if cfg.UseContact {
		it.Contact = text(nameAddr(in.Contact).URI)
	}
	if s.notices.add(in.Sender, it) {
		s.Stats.Notices.Inc()
		s.opt.Notices.Wake(in.Sender)
	}
}

const (
	noticePrefix = "silo-notice-"
	noticeLife   = time.Minute // a notice is worth something now
)

// notice makes the notice for a message.
func (s *Service) notice(cfg *Settings, in *Incoming, id int64, now time.Time) (*im.Message, bool) {
	v := in.values(now)
	from := cfg.NoticeFrom.expand(v)
	if u, err := sip.ParseURI(from); err != nil || !u.IsSIP() {
		s.opt.Log.Info("no notice is sent: from_address gives no SIP URI", "address", from, "recipient", in.Owner)
		return nil, false
	}
	call := noticePrefix + strconv.FormatInt(id, 10) + "-" + strconv.FormatInt(now.Unix(), 10)
	fields := cfg.NoticeFields.expand(v)
	return &im.Message{
		From:    "<" + from + ">;tag=" + call,
		To:      "<" + bareURI(in.Message.From) + ">",
		CallID:  call + "@" + in.Owner.Domain,
		CSeq:    1,
		Headers: addFields(fields, []sip.Header{{Name: "Content-Type", Value: "text/plain"}}),
		Body:    []byte(cfg.NoticeText.expand(v)),
	}, true
}

// isText reports whether a message is a text for a person.
func isText(m *im.Message) bool {
	if strings.HasPrefix(im.MediaType(m.Header("Content-Type")), "text/") {
		return m.PlainEncoding()
	}
	c, ok := readCPIM(m)
	return ok && strings.HasPrefix(c.ContentType(), "text/")
}
