// Package silo stores messages for offline users. It decides whether a message is
// stored and for how long, commits it before the sender gets a 2xx, and deletes it when
// it has expired. The delivery package reads stored messages through Service,
// which is a delivery.Source. Reminders are messages that are delivered at a given
// time. Senders get a notice that the recipient is offline, at limited intervals, and
// the disposition notifications of RFC 5438 that they ask for.
//
// The package does not depend on SIP transactions, contacts or SQL.
//
// Locks: noticeQueue.mu and mailboxLocks.mu each protect a table in memory. They are
// held for access to that table only. The lock of one mailbox and Service.importing are
// held across calls of the Store, and waiting for them ends with a context.
package silo

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"silod/delivery"
	"silod/limit"
	"silod/mi"
	"silod/sip"
	"silod/watch"
)

// A Waker is a queue of the delivery package.
type Waker interface {
	Wake(owner sip.AoR)      // starts the delivery to an owner
	WakeLater(owner sip.AoR) // starts it after the wait for a first retry
	Retry(owner sip.AoR)     // starts it, and ends a wait for a retry
}

// Options are the dependencies of a Service and what a reload cannot change.
type Options struct {
	Store   Store
	Waker   Waker              // the queue of messages
	Notices Waker              // the queue of notices; nil: none are sent
	Online  func(sip.AoR) bool // reports whether an owner can be reached now
	// Reachable reports whether a message for an owner can be tried, which is so also if an
	// outbound proxy may know the devices. own reports that silod itself is the sender. nil:
	// Online.
	Reachable func(owner sip.AoR, own bool) bool
	Domains   sip.Domains // of this server
	Watch     *watch.Hub  // receives an event for each change; may be nil
	Log       *slog.Logger
	Now       func() time.Time                // the time by which messages expire, and reminders are due
	Stamp     func() time.Time                // of new messages; nil: Now
	Devices   func(sip.AoR) []delivery.Device // registered devices of an owner; nil: refusals are not recorded
	Every     bool                            // every device of an owner gets a copy, also a device that registers later

	// Exists reports whether an AoR of this server is a user. nil: users are not known.
	Exists func(context.Context, sip.AoR) (bool, error)
	// Authenticated says that senders are Verified or Strangers.
	Authenticated bool
	Passed        *Passed // is told of messages that are sent for strangers; may be nil

	MaxBusy int // messages for one mailbox that Put handles at the same time; 0: 1024
}

// A Service is the message store. Run deletes expired messages and sends reminders; all
// other methods can be called without it.
type Service struct {
	opt           Options
	settings      atomic.Pointer[Settings]
	changed       chan struct{}         // has an element when settings has changed, for Run
	sweepChanged  chan struct{}         // the same for sweep
	busy          *limit.Crowd[sip.AoR] // owners of the mailboxes of messages in Put
	locks         mailboxLocks
	accounts      accounts
	totals        senderTotals
	strangers     ledger
	noticeLimiter *limit.Meter[pair]
	notices       noticeQueue
	importing     mutex // held during an import

	Stats Stats
}

// Stats are the counters of msilo and of silod.
type Stats struct {
	Stored, Dumped, Failed           mi.Counter // messages
	DumpedReminders, FailedReminders mi.Counter
	Expired, Refused                 mi.Counter
	OverQuota, OverSenderQuota       mi.Counter
	OverSenderTotal, OverStrangers   mi.Counter
	Crowded                          mi.Counter
	UnknownUsers, RefusedSenders     mi.Counter
	Notices, Unnoticed, Dispositions mi.Counter
	Commit                           mi.Histogram // time that a message waited for its commit
}

// New returns a Service. It starts no goroutine.
func New(opt Options, set Settings) *Service {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Stamp == nil {
		opt.Stamp = opt.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Reachable == nil {
		opt.Reachable = func(owner sip.AoR, _ bool) bool { return opt.Online(owner) }
	}
	s := &Service{
		busy: limit.NewCrowd[sip.AoR](cmp.Or(opt.MaxBusy, 1024)),
		opt:  opt, changed: make(chan struct{}, 1), sweepChanged: make(chan struct{}, 1), importing: newMutex(),
		accounts: newAccounts(), totals: newSenderTotals(),
		noticeLimiter: limit.NewMeter[pair](maxPairs, limit.Refuse),
	}
	s.notices.now = opt.Now
	s.settings.Store(set.complete())
	return s
}

// Configure replaces the settings.
func (s *Service) Configure(set Settings) {
	s.settings.Store(set.complete())
	for _, changed := range []chan struct{}{s.changed, s.sweepChanged} {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// Settings returns the current settings, with defaults filled in.
func (s *Service) Settings() Settings { return *s.cfg() }

// cfg returns the current settings. Code that handles a message calls it once.
func (s *Service) cfg() *Settings { return s.settings.Load() }

// Counters returns the statistics of msilo under its names, and those of silod.
func (s *Service) Counters() []mi.Stat {
	st := &s.Stats
	return []mi.Stat{
		{Name: "stored_messages", Help: "Messages and reminders stored.", Counter: &st.Stored},
		{Name: "dumped_messages", Help: "Stored messages delivered.", Counter: &st.Dumped},
		{Name: "failed_messages", Help: "Attempts to deliver a stored message that failed.", Counter: &st.Failed},
		{Name: "dumped_reminders", Help: "Reminders delivered.", Counter: &st.DumpedReminders},
		{Name: "failed_reminders", Help: "Attempts to deliver a reminder that failed.", Counter: &st.FailedReminders},
		{Name: "expired_messages", Help: "Messages and reminders that expired undelivered.", Counter: &st.Expired},
		{Name: "refused_messages", Help: "Messages and reminders that all devices refused permanently.", Counter: &st.Refused},
		{Name: "over_quota", Help: "Messages refused because the mailbox was full.", Counter: &st.OverQuota},
		{Name: "over_sender_quota", Help: "Messages refused because their sender had too many in the mailbox.", Counter: &st.OverSenderQuota},
		{Name: "over_sender_total", Help: "Messages refused because their sender had too many in all mailboxes.", Counter: &st.OverSenderTotal},
		{Name: "over_strangers_quota", Help: "Messages of unauthenticated senders refused because too many of them were stored.", Counter: &st.OverStrangers},
		{Name: "strangers_messages", Help: "Stored messages of unauthenticated senders.", Gauge: func() int64 { return s.strangers.used().Messages }},
		{Name: "strangers_bytes", Help: "Size in bytes of the stored messages of unauthenticated senders.", Gauge: func() int64 { return s.strangers.used().Bytes }},
		{Name: "crowded", Help: "Messages refused because too many for one mailbox were being stored.", Counter: &st.Crowded},
		{Name: "unknown_users", Help: "Messages that were not stored because their recipient is not a user.", Counter: &st.UnknownUsers},
		{Name: "refused_senders", Help: "Messages that were not stored because of their sender.", Counter: &st.RefusedSenders},
		{Name: "notices", Help: "Notices sent that a recipient is offline.", Counter: &st.Notices},
		{Name: "suppressed_notices", Help: "Notices not sent because the sender had one a short time ago.", Counter: &st.Unnoticed},
		{Name: "dispositions", Help: "Disposition notifications sent (RFC 5438).", Counter: &st.Dispositions},
	}
}

// Run deletes expired messages and sends reminders until ctx ends. Long jobs have their own goroutines.
func (s *Service) Run(ctx context.Context) error {
	remind := time.NewTimer(0)
	defer remind.Stop()
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { s.followTotals(ctx) })
	others.Go(func() { s.sweep(ctx) })
	others.Go(func() { s.tidy(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
			remind.Reset(0)
		case <-remind.C:
			if s.cfg().reminders() {
				s.sendReminders(ctx)
				remind.Reset(s.cfg().Remind)
			}
		}
	}
}

var _ delivery.Source = (*Service)(nil)
