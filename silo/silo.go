// Package silo keeps messages for those who are offline: it decides what may be
// stored and for how long, commits it before the sender is told, hands it to the
// delivery engine as a Source, and clears away what has expired. Reminders are
// messages that are delivered at a set time. Senders are told what becomes of
// their messages: by a notice, once in a while, and by the disposition
// notifications of RFC 5438 that they ask for.
//
// It knows nothing of SIP transactions, contacts or SQL.
//
// Locks: limiter.mu, noticeBox.mu and turns.mu each guard a table in memory; none
// is held while anything else is done.
package silo

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"silod/delivery"
	"silod/mi"
	"silod/sip"
	"silod/watch"
)

// Waker is a queue in the delivery engine.
type Waker interface{ Wake(owner sip.AoR) }

// Options are what a Service needs.
type Options struct {
	Store   Store
	Waker   Waker              // the queue of messages
	Notices Waker              // the queue of notices; nil: none are sent
	Online  func(sip.AoR) bool // asked after each commit
	Domains sip.Domains        // that are ours
	Watch   *watch.Hub         // told what happens; may be nil
	Log     *slog.Logger
	Now     func() time.Time
	Every   bool // every device of an owner gets a copy, also one that comes later

	Settings Settings
}

// Service is the silo. Make it with New; Run clears up and delivers reminders.
type Service struct {
	opt     Options
	current atomic.Pointer[Settings]
	changed chan struct{} // has an element when Run should look at current
	turns   turns
	told    limiter
	notices noticeBox

	importing gate // one import at a time
	Stats     Stats
}

// Stats are msilo's counters, and ours.
type Stats struct {
	Stored, Dumped, Failed           mi.Counter // messages
	DumpedReminders, FailedReminders mi.Counter
	Expired, Refused                 mi.Counter
	OverQuota, OverSenderQuota       mi.Counter
	Notices, Unnoticed, Dispositions mi.Counter
	Commit                           mi.Histogram // how long a message waited for its commit
}

// New makes a silo; it starts nothing.
func New(opt Options) *Service {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{opt: opt, changed: make(chan struct{}, 1), importing: make(gate, 1)}
	s.notices.now = opt.Now
	s.current.Store(opt.Settings.complete())
	return s
}

// Configure takes new settings from now on.
func (s *Service) Configure(c Settings) {
	s.current.Store(c.complete())
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Settings are those in force, complete with their defaults.
func (s *Service) Settings() Settings { return *s.cfg() }

// cfg are the settings of this moment. What is done for one message is done with
// one copy of them.
func (s *Service) cfg() *Settings { return s.current.Load() }

// Counters are msilo's statistics under its names, and ours.
func (s *Service) Counters() []mi.Stat {
	st := &s.Stats
	return []mi.Stat{
		{Name: "stored_messages", Help: "Messages and reminders stored.", Counter: &st.Stored},
		{Name: "dumped_messages", Help: "Stored messages delivered.", Counter: &st.Dumped},
		{Name: "failed_messages", Help: "Attempts to deliver a stored message that failed.", Counter: &st.Failed},
		{Name: "dumped_reminders", Help: "Reminders delivered.", Counter: &st.DumpedReminders},
		{Name: "failed_reminders", Help: "Attempts to deliver a reminder that failed.", Counter: &st.FailedReminders},
		{Name: "expired_messages", Help: "Messages and reminders that expired undelivered.", Counter: &st.Expired},
		{Name: "refused_messages", Help: "Messages and reminders that a device refused for good.", Counter: &st.Refused},
		{Name: "over_quota", Help: "Messages refused because the mailbox was full.", Counter: &st.OverQuota},
		{Name: "over_sender_quota", Help: "Messages refused because the mailbox had enough of their sender's.", Counter: &st.OverSenderQuota},
		{Name: "notices", Help: "Notices sent, that a recipient is offline.", Counter: &st.Notices},
		{Name: "suppressed_notices", Help: "Notices not sent: the sender was told a short while ago.", Counter: &st.Unnoticed},
		{Name: "dispositions", Help: "Disposition notifications made (RFC 5438).", Counter: &st.Dispositions},
	}
}

// Run clears expired messages away and has reminders delivered until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	sweep, remind := time.NewTimer(s.cfg().Sweep), time.NewTimer(0)
	defer sweep.Stop()
	defer remind.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
			sweep.Reset(s.cfg().Sweep)
			remind.Reset(0)
		case <-sweep.C:
			s.expire(ctx)
			s.told.forget(s.opt.Now(), s.cfg().NoticeEvery)
			s.notices.forget()
			sweep.Reset(s.cfg().Sweep)
		case <-remind.C:
			if s.cfg().reminders() {
				s.remind(ctx)
				remind.Reset(s.cfg().Remind)
			}
		}
	}
}

var _ delivery.Source = (*Service)(nil)
