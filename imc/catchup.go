package imc

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"silod/delivery"
	"silod/sip"
)

// A member that comes back after being away gets the last CatchUpMax entries that it has missed in
// a room; the cursor moves over the older ones. They are remembered until the daemon ends, so that
// #catchup all can send them.

// maxCounted is the number of skipped entries up to which they are counted, and of those that a
// member can ask for with #catchup.
const maxCounted = 10_000

// A skipped names the entries that a member was not sent: those with a Seq above from, up to to.
type skipped struct {
	from, to int64
	wanted   bool // they are being sent now, and from moves
}

// WrapSender returns a Sender that notices that a member is away, and when it is back. It must be used
// for the messages of s, and for those of queues that are served before: a member that is away gets
// as far as the first message.
func (s *Service) WrapSender(next delivery.Sender) delivery.Sender { return sender{next, s} }

type sender struct {
	next  delivery.Sender
	rooms *Service
}

// Send sends an item through the next Sender.
func (o sender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	m, ok := it.Row.(*member)
	if ok && m.away.Load() && !o.rooms.isAway(owner) {
		o.rooms.limitBacklog(ctx, m, owner)
		if it.Withdrawn() {
			return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "skipped, the recipient was away"}
		}
	}
	a := o.next.Send(ctx, owner, it)
	if out, ended := a.(delivery.Outcome); ended && out.Verdict == delivery.Offline && (!ok || !m.away.Load()) {
		o.rooms.setAway(owner)
	}
	return a
}

// Alive asks the next Sender.
func (o sender) Alive(ctx context.Context, owner sip.AoR, devices []string) bool {
	return o.next.Alive(ctx, owner, devices)
}

// isAway reports whether a user has no registered device.
func (s *Service) isAway(user sip.AoR) bool {
	if s.online == nil {
		return false
	}
	online, known := s.online(user)
	return known && !online
}

// setAway marks the memberships of a user that is not online.
func (s *Service) setAway(user sip.AoR) {
	for _, r := range s.roomsOf(user) {
		r.mu.Lock()
		if m := r.find(user); m != nil {
			m.away.Store(true)
		}
		r.mu.Unlock()
	}
}

// allEntries is the count of #catchup all.
const allEntries = -1

// parseCatchUp parses the number of entries that a member wants to catch up on.
func (c *invocation) parseCatchUp(words *wordReader) (int, *refusal) {
	switch strings.ToLower(words.peek()) {
	case "all":
		words.next()
		return allEntries, nil
	case "none":
		words.next()
		return 0, nil
	}
	return c.parseCount(words, 0)
}

// limitBacklog skips the entries that a member that is back gets no more, and tells it how many
// they are.
func (s *Service) limitBacklog(ctx context.Context, m *member, user sip.AoR) {
	m.away.Store(false)
	limit := s.config().CatchUpMax
	if limit == 0 {
		return
	}
	n, err := s.skipBacklog(ctx, m, limit)
	if err == nil && n > 0 {
		room := m.room.name
		err = s.sendAll(ctx, nil, []directMessage{s.newDirect(room, user, "", s.text("skipped", room, "count", countOf(n)))})
	}
	if err != nil {
		s.stats.StoreErrors.Add(1)
		s.log.Warn("missed room messages not limited", slog.String("room", m.room.name.String()),
			slog.String("member", user.String()), slog.Any("error", err))
	}
}

// countOf returns a number of skipped entries as texts show it.
func countOf(n int) string {
	if n >= maxCounted {
		return "more than " + itoa(maxCounted-1)
	}
	return itoa(n)
}

// skipBacklog moves the cursor of a member over all entries but the last ones, keep of them. It
// returns the number of entries, maxCounted at most.
func (s *Service) skipBacklog(ctx context.Context, m *member, keep int) (int, error) {
	r := m.room
	r.mu.Lock()
	from := r.unreadFrom(m)
	waiting := from < r.last
	r.mu.Unlock()
	if !waiting {
		return 0, nil
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	seqs, err := s.store.Seqs(ctx, r.log, from, keep+maxCounted)
	if err != nil {
		return 0, fmt.Errorf("read the log of %s: %w", r.name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(seqs) > 0 && seqs[0] > r.last { // not published yet
		seqs = seqs[1:]
	}
	if len(seqs) <= keep || !m.joined() || r.unreadFrom(m) > seqs[keep] {
		return 0, nil
	}
	s.skip(r, m, from, seqs[keep])
	return len(seqs) - keep, nil
}

// unreadFrom returns the Seq after which a member's missed entries begin. The caller holds mu.
func (r *room) unreadFrom(m *member) int64 { return max(m.Cursor, r.expired, r.base) }

// skip moves the cursor of a member from a Seq to another, and remembers the entries between
// them. The caller holds r.mu.
func (s *Service) skip(r *room, m *member, from, to int64) {
	if m.skipped != nil && m.skipped.to >= from { // no entry was sent since the last time
		from = m.skipped.from
	}
	m.skipped = &skipped{from: from, to: to}
	m.advanceCursor(to)
	m.withdrawn.Store(to)
	s.cursors.add(r, m)
}

// catchUp carries out #catchup: it skips all waiting entries of the room but the last ones, or has
// those sent that were skipped before.
func (s *Service) catchUp(ctx context.Context, c *invocation, r *room) error {
	r.mu.Lock()
	m := r.find(c.by.user)
	joined := m.joined()
	if joined && c.count >= 0 && m.skipped != nil && m.skipped.wanted {
		m.skipped.wanted = false
		m.withdrawn.Store(m.skipped.to)
	}
	r.mu.Unlock()
	if !joined {
		return refuse("not_member").in(r.name)
	}
	if c.count == allEntries {
		if !s.resend(r, m) {
			s.notifyCaller(c, r, "none_skipped")
			return nil
		}
		s.notifyCaller(c, r, "resent")
		s.waker.WakeAll(m, []sip.AoR{c.by.user}, sip.AoR{}) // m: the others of the room are not woken
		return nil
	}
	n, err := s.skipBacklog(ctx, m, min(c.count, maxCounted))
	if err != nil {
		return err
	}
	if n == 0 {
		s.notifyCaller(c, r, "not_behind", "limit", itoa(c.count))
		return nil
	}
	s.notifyCaller(c, r, "skipped", "count", countOf(n))
	return nil
}

// resend has the skipped entries of a member sent. It reports false if there are none.
func (s *Service) resend(r *room, m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.skipped == nil || !m.joined() {
		return false
	}
	m.skipped.wanted = true
	m.withdrawn.Store(m.skipped.from)
	return true
}

// resent records that a member has got a skipped entry. It reports false for other entries. The
// caller holds r.mu.
func (m *member) resent(seq int64) bool {
	k := m.skipped
	if k == nil || !k.wanted || seq <= k.from || seq > k.to {
		return false
	}
	if k.from = seq; seq == k.to {
		m.skipped = nil
	}
	return true
}

// beginResend has a scan begin with the skipped entries that a member wants. The caller holds
// r.mu.
func (sc *logScan) beginResend(r *room, m *member) {
	k := m.skipped
	if k == nil || !k.wanted || sc.after >= k.to {
		return
	}
	sc.resendTo, sc.resumeAt, sc.resumeSkipping = k.to, sc.pos, sc.skipping
	sc.pos, sc.skipping = max(k.from, r.base, sc.after), false
	sc.resendAll = sc.after <= k.from
}

// endResend has a scan go on behind the cursor, if it has reached the end of the skipped entries
// with a Seq.
func (sc *logScan) endResend(seq int64) {
	if sc.resendTo > 0 && seq > sc.resendTo {
		sc.resendTo, sc.pos, sc.skipping = 0, sc.resumeAt, sc.resumeSkipping
	}
}

// finishResend forgets the skipped entries of a member if a scan has found none of them. The
// caller holds the room's mu.
func (sc *logScan) finishResend(m *member) {
	if sc.resendAll && !sc.resendFound && (sc.resendTo == 0 || len(sc.found) < sc.limit) {
		m.skipped = nil
	}
}
