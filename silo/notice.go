package silo

import (
	"context"
	"strconv"
	"strings"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/limit"
	"silod/sip"
)

// NotifySender notifies in.Sender that a message was stored under an ID. The caller
// has answered the message already. unreachable says that the recipient could not be
// reached; only then is a notice sent, besides the notification of RFC 5438.
func (s *Service) NotifySender(ctx context.Context, in *Incoming, id int64, unreachable bool) {
	if !in.Sender.Reachable() || !in.SendAt.IsZero() {
		return
	}
	if unreachable {
		s.sendNotice(in, id)
	}
	if in.Standing == Stranger { // notifications are stored too, and the address may be forged
		return
	}
	s.notifyStored(ctx, in, id)
	if in.setAside {
		s.notifyRefused(ctx, in, id)
	}
}

// sendNotice queues the notice that the recipient is offline, unless the message is not
// a text, comes from an address of this service or is a notice that a proxy has sent
// back, or the sender was notified about the recipient a short while ago.
func (s *Service) sendNotice(in *Incoming, id int64) {
	cfg, now := s.cfg(), s.opt.Now()
	if cfg.NoticeFrom == nil || cfg.NoticeText == nil || s.opt.Notices == nil ||
		!isText(in.Message) || strings.HasPrefix(in.Message.CallID, noticePrefix) || s.isServiceAddress(cfg, in, in.Sender) {
		return
	}
	m, ok := s.notice(cfg, in, id, now)
	if !ok {
		return
	}
	if _, ok, _ := s.noticeLimiter.Take(pair{in.Sender, in.Owner}, noticeRate(cfg), now); !ok {
		s.Stats.Unnoticed.Inc()
		return
	}
	it := delivery.Item{Message: *m, Expires: now.Add(noticeLife)}
	if cfg.UseContact {
		it.Contact = uriText(nameAddr(in.Contact).URI)
	}
	if s.notices.add(in.Sender, it) {
		s.Stats.Notices.Inc()
		s.opt.Notices.Wake(in.Sender)
	}
}

const (
	noticePrefix = "silo-notice-" // of the Call-ID of every notice
	noticeLife   = time.Minute    // after that the recipient may be online again
	maxPairs     = 50_000         // pairs of sender and recipient that are remembered
)

// A pair is the key of Service.noticeLimiter.
type pair struct{ sender, recipient sip.AoR }

// noticeRate returns how often a sender gets a notice about a recipient.
func noticeRate(cfg *Settings) limit.Rate {
	interval := cfg.NoticeEvery
	if !cfg.NoticeFromFixed {
		// The answer to such a notice is stored for a user. A program that answers every
		// message does so at once.
		interval = max(interval, time.Minute)
	}
	return limit.Rate{N: 1, Per: interval}
}

// notice returns the notice about a message, and false if the configured sender of
// notices is not a SIP URI.
func (s *Service) notice(cfg *Settings, in *Incoming, id int64, now time.Time) (*im.Message, bool) {
	v := in.values(now)
	from := cfg.NoticeFrom.expand(v)
	u, err := sip.ParseURI(from)
	if err != nil || !u.IsSIP() {
		s.opt.Log.Info("notice not sent: from_address is not a SIP URI", "address", from, "recipient", in.Owner)
		return nil, false
	}
	callID := noticePrefix + strconv.FormatInt(id, 10) + "-" + strconv.FormatInt(now.Unix(), 10)
	fields := cfg.NoticeFields.expand(v)
	return &im.Message{
		From:    "<" + u.Strict() + ">;tag=" + callID,
		To:      toSender(in.Message.From),
		CallID:  callID + "@" + in.Owner.Domain,
		CSeq:    1,
		Headers: addMissing(fields, []sip.Header{{Name: "Content-Type", Value: "text/plain"}}),
		Body:    []byte(cfg.NoticeText.expand(v)),
	}, true
}

// toSender returns the To value of a message to the sender with a From value, in the characters of
// the grammar: a device of the sender may be stricter than the one that wrote From.
func toSender(from string) string {
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return "<>"
	}
	return "<" + a.URI.Bare().Strict() + ">"
}

// isText reports whether a message is a text for a person.
func isText(m *im.Message) bool {
	if strings.HasPrefix(im.MediaType(m.Header("Content-Type")), "text/") {
		return m.PlainEncoding()
	}
	c, ok := readCPIM(m)
	return ok && strings.HasPrefix(c.ContentType(), "text/")
}
