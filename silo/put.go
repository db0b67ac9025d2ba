package silo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"silod/im"
	"silod/sip"
	"silod/watch"
)

// Errors of Put, besides those of Store.Add.
var (
	ErrQuota       = errors.New("mailbox is full")
	ErrSenderQuota = errors.New("mailbox has enough of this sender's messages")
	ErrExpired     = errors.New("message has expired")
	ErrEmpty       = errors.New("message has no body")
	ErrTooFar      = errors.New("time is too far ahead")
)

// errCrowded is the error of Put while too many messages for one mailbox are being stored: those
// for others would find no goroutine to serve them.
var errCrowded = fmt.Errorf("%w: too many messages for one mailbox at once", ErrBusy)

// putTimeout limits the time from the call of Put to the commit, with all reads before it. It is
// far below the 32 s after which a sender gives up (RFC 3261 section 17.1.2.2).
const putTimeout = 10 * time.Second

// within returns a context that ends putTimeout after the arrival of a message, if a second of that
// is over. Before that a Store observes its own limit: most messages wait for nothing, and a
// context with a deadline for each of them would cost too much.
func within(ctx context.Context, arrived time.Time) (context.Context, context.CancelFunc) {
	if time.Since(arrived) < time.Second {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, arrived.Add(putTimeout))
}

// Put stores a message and returns its ID. When Put returns without an error the
// message is committed, and the sender may get a 2xx. The errors are those above, those of
// ledger and senderTotals, ErrSender, ErrUnknownUser, ErrInvalid and ErrBusy.
func (s *Service) Put(ctx context.Context, in *Incoming) (int64, error) {
	cfg, now, arrived := s.cfg(), s.opt.Now(), time.Now()
	row, err := s.newRow(cfg, in, now)
	if err != nil {
		return 0, err
	}
	if err := s.checkSender(cfg, in); err != nil {
		s.Stats.RefusedSenders.Inc()
		return 0, err
	}
	if !in.Own { // silod's own messages are few at a time
		if !s.busy.Enter(in.Owner) {
			s.Stats.Crowded.Inc()
			return 0, errCrowded
		}
		defer s.busy.Leave(in.Owner)
	}
	if in.Feigned, err = s.checkOwner(ctx, cfg, in); err != nil {
		return 0, err
	}
	ctx, cancel := within(ctx, arrived)
	defer cancel()
	a, err := s.admit(ctx, cfg, in, row)
	if err != nil {
		return 0, err
	}
	rest, cancel := within(ctx, arrived)
	defer cancel()
	add := s.opt.Store.Add
	if in.Feigned {
		add = s.opt.Store.Feign
	}
	start := time.Now()
	err = add(rest, row)
	s.settle(&a, in, row, err == nil)
	if err != nil {
		return 0, fmt.Errorf("store message: %w", err)
	}
	in.expires, in.src, in.size = row.Expires, row.Src, a.bytes
	s.Stats.Commit.Observe(time.Since(start))
	if !in.Feigned {
		s.stored(in, row)
	}
	return row.ID, nil
}

// stored counts a message that was stored, and starts its delivery.
func (s *Service) stored(in *Incoming, row *Message) {
	s.Stats.Stored.Inc()
	s.publish(watch.Stored, row, "")
	if in.setAside = row.Stuck != ""; in.setAside {
		s.Stats.Refused.Inc()
		s.publish(watch.SetAside, row, row.Stuck)
	}
	// If the owner has registered during the commit, that registration started a delivery
	// that has not seen this message. So schedule is called after the commit.
	if in.SendAt.IsZero() {
		s.schedule(in.Owner, in.Own)
	}
}

// newRow returns the message that is stored for an incoming one.
func (s *Service) newRow(cfg *Settings, in *Incoming, now time.Time) (*Message, error) {
	if len(in.Message.Body) == 0 {
		return nil, ErrEmpty
	}
	life, err := lifetime(cfg, in.Message, now)
	if err != nil {
		return nil, err
	}
	stamp := s.opt.Stamp()
	row := &Message{
		Owner:   in.Owner,
		Src:     s.source(in.Message.From),
		Dst:     bareURI(in.Message.To),
		Stored:  stamp.Truncate(time.Second),
		Expires: stamp.Add(life).Truncate(time.Second),
		SendAt:  in.SendAt,
		Stuck:   s.stuck(in.Owner, in.Refusals),
		Marks:   marksOf(in.Refusals),
		Message: *in.Message,
	}
	if !in.SendAt.IsZero() {
		row.Expires = in.SendAt.Add(life).Truncate(time.Second)
		if row.Expires.Unix() >= math.MaxInt32 { // the columns hold 32 bits
			return nil, ErrTooFar
		}
	}
	row.Headers = withoutInternal(row.Headers)
	if keep := cfg.KeepFields.expand(in.values(now)); keep != "" {
		row.Headers = addMissing(row.Headers, parseFields(keep))
	}
	if in.SafetyCopy && in.SendAt.IsZero() && s.canTry(in.Owner, in.Own) {
		row.Headers = addField(row.Headers, fieldSafetyCopy, "yes")
	}
	if c, ok := readCPIM(in.Message); ok && (in.Sender.IsZero() || in.Standing == Stranger) && c.Wants(dispositionFailed.kind) {
		row.Headers = addField(row.Headers, fieldUnverified, "yes")
	}
	return row, nil
}

// lifetime returns how long a message is kept: at most cfg.Expire, less if its Expires
// header says so, which counts from the Date header (RFC 3428 section 7). The error is
// ErrExpired.
func lifetime(cfg *Settings, m *im.Message, now time.Time) (time.Duration, error) {
	seconds, ok := expires(m)
	if !ok {
		return cfg.Expire, nil
	}
	life := time.Duration(seconds) * time.Second
	if sent, err := time.Parse(time.RFC1123, m.Header("Date")); err == nil && sent.Before(now) {
		life -= now.Sub(sent)
	}
	if life <= 0 {
		return 0, ErrExpired
	}
	return min(life, cfg.Expire), nil
}

// expires returns the value of the Expires header. A malformed one is ignored.
func expires(m *im.Message) (seconds uint64, ok bool) {
	v := m.Header("Expires")
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	return n, err == nil
}

// source returns the URI of a sender for column src_addr: the AoR, because a sender could
// otherwise get round a quota by another port or an escape.
func (s *Service) source(from string) string {
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return ""
	}
	return sourceOf(s.opt.Domains, a.URI)
}

// sourceOf is source for a URI. A telephone number has no visual separators, which a sender
// could vary as well.
func sourceOf(d sip.Domains, u sip.URI) string {
	if aor, _ := d.AoR(u); aor.User != "" {
		return aor.String()
	}
	u = u.Bare()
	if u.Scheme == "tel" {
		number, _, _ := strings.Cut(u.Opaque, ";")
		u.Opaque = u.TelNumber() + u.Opaque[len(number):]
	}
	return columnText(u.String())
}

// columnText returns a URI with an escape for each byte that is not UTF-8, which no column
// takes. It is the same URI (RFC 3261 section 19.1.4).
func columnText(uri string) string {
	if utf8.ValidString(uri) {
		return uri
	}
	var b strings.Builder
	for i, r := range uri { // a byte that is not UTF-8 is a RuneError of length 1
		if _, size := utf8.DecodeRuneInString(uri[i:]); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", uri[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// bareURI returns the URI in a From or To value without parameters, "" if the value
// cannot be parsed.
func bareURI(value string) string {
	a, err := sip.ParseNameAddr(value)
	if err != nil {
		return ""
	}
	return columnText(a.URI.Bare().String())
}
