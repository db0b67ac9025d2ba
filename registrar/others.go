package registrar

import (
	"context"
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// Times of the watch over the rows of other programs. Each step takes a few milliseconds of the
// database, whatever the size of the table.
const (
	watchInterval  = 10 * time.Second       // from one pass over the table, or its new rows, to the next
	watchPause     = 250 * time.Millisecond // between the steps of a pass
	watchTimeout   = 10 * time.Second       // of a step
	endingInterval = 2 * time.Second
	endingSoon     = 10 * time.Second // before its end, and after it, the row of a binding is read again
	expiredPass    = time.Minute
	watchRows      = 500 // that are read by their RUIDs in a step
	watchedUsers   = 20000
	maxEnding      = 5000

	// expiredGrace is the time after which a row that has expired is deleted. Its program may have another
	// time zone, or have written a time in the hour that comes twice when summer time ends. The
	// largest difference of two time zones is 26 hours.
	expiredGrace = 26 * time.Hour
)

// others are the rows of other programs in the store, as far as a Location follows them. The
// fields belong to Load, then to the goroutine of watch; those behind mu to all.
type others struct {
	fresh   slicing  // of new rows
	ends    [2]int64 // the last rows at the last two passes over new rows
	all     slicing  // of all rows
	shard   int      // of the bindings that are compared next with their rows
	unread  int      // rows of a pass that cannot be used
	example error    // one of them
	told    int      // their number when the log told of them last
	rows    int      // that the current step has read
	changed []sip.AoR

	mu     sync.Mutex
	ending []foreign // bindings that end soon, as far as is known
}

// A slicing is a pass over rows in the order of their numbers.
type slicing struct {
	active      bool
	after, last int64 // last is 0 if it is not known
}

// A foreign is a binding that was read from the row of another program.
type foreign struct {
	aor     sip.AoR
	binding *Binding
}

// A pass is work that is repeated, in steps.
type pass struct {
	every time.Duration
	share time.Duration // the part of the time in which it may run, in percent; 0: all
	step  func(context.Context) (done bool, err error)
	began time.Time
	next  time.Time
}

// watch follows the rows of other programs until ctx is done: new rows, changed rows, deleted
// rows. It also deletes rows that have expired, of any program.
func (l *Location) watch(ctx context.Context) {
	now := time.Now()
	passes := []*pass{
		{every: endingInterval, step: l.readEnding},
		{every: watchInterval, step: l.readFresh},
		{every: watchInterval, share: 50, step: l.compareRows},
		{every: watchInterval, share: 10, step: l.readAll},
		{every: expiredPass, step: l.deleteExpired},
	}
	for _, p := range passes {
		p.next = now.Add(p.every)
	}
	for {
		p := slices.MinFunc(passes, func(a, b *pass) int { return a.next.Compare(b.next) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(p.next)):
		}
		l.runStep(ctx, p)
	}
}

// runStep runs one step of a pass and sets the time of its next one.
func (l *Location) runStep(ctx context.Context, p *pass) {
	o := &l.others
	if p.began.IsZero() {
		p.began = time.Now()
	}
	o.rows = 0
	limited, cancel := context.WithTimeout(ctx, watchTimeout)
	done, err := p.step(limited)
	cancel()
	if l.opt.Changed != nil {
		for _, a := range o.changed {
			l.opt.Changed(a)
		}
	}
	o.changed = nil
	p.next = time.Now().Add(watchPause * time.Duration(1+o.rows/watchRows))
	if err != nil && ctx.Err() == nil {
		l.opt.Log.Warn("bindings of other programs not read", "error", err)
	}
	if done || err != nil {
		p.next = time.Now().Add(p.every)
		if p.share > 0 {
			p.next = time.Now().Add(max(p.every, 100*time.Since(p.began)/p.share))
		}
		p.began = time.Time{}
	}
}

// found handles a row that was read.
func (l *Location) found(ctx context.Context, a sip.AoR, b Binding) {
	l.others.rows++
	changed, err := l.meet(ctx, a, b)
	if changed {
		l.others.changed = append(l.others.changed, a)
	}
	if err != nil {
		l.unreadable(err)
	}
}

// unreadable counts a row that cannot be used.
func (l *Location) unreadable(err error) {
	if l.others.unread++; l.others.unread == 1 {
		l.others.example = err
	}
}

// slice reads the next slice of rows. It reports whether there are no more.
func (l *Location) slice(ctx context.Context, s *slicing) (done bool, err error) {
	last, err := l.opt.Shared.Others(ctx, s.after, func(a sip.AoR, b Binding) { l.found(ctx, a, b) }, l.unreadable)
	done = last <= s.after || s.last > 0 && last >= s.last
	s.after = last
	return done || err != nil, err
}

// readFresh reads the rows that are new since the pass before the last one: a row with a
// lower number than another row may become visible after it.
func (l *Location) readFresh(ctx context.Context) (done bool, err error) {
	o := &l.others
	if !o.fresh.active {
		last, err := l.opt.Shared.LastRow(ctx)
		if err != nil {
			return true, err
		}
		o.fresh = slicing{active: true, after: min(o.ends[0], last), last: last} // SQLite may use numbers again
	}
	unread := o.unread
	done, err = l.slice(ctx, &o.fresh)
	o.unread = unread // the pass over all rows counts them
	if done && err == nil {
		o.ends = [2]int64{o.ends[1], o.fresh.last}
	}
	o.fresh.active = !done
	return done, err
}

// readAll reads all rows, for changes that the other passes do not find. Rows that cannot be used
// are told when there are more than before.
func (l *Location) readAll(ctx context.Context) (done bool, err error) {
	o := &l.others
	if !o.all.active {
		o.all, o.unread = slicing{active: true}, 0
	}
	done, err = l.slice(ctx, &o.all)
	o.all.active = !done
	if done && err == nil {
		l.tellUnread()
	}
	return done, err
}

// tellUnread logs the number of rows that cannot be used, and one of them, if there are more than
// before.
func (l *Location) tellUnread() {
	o := &l.others
	if o.unread > o.told {
		l.opt.Log.Warn("bindings not loaded", "count", o.unread, "example", o.example)
	}
	o.told = o.unread
}

// compareRows reads the rows of some bindings of other programs again, and removes the bindings
// without a row.
func (l *Location) compareRows(ctx context.Context) (done bool, err error) {
	o := &l.others
	var list []foreign
	for users := 0; o.shard < shards && len(list) < watchRows && users < watchedUsers; o.shard++ {
		s := &l.shards[o.shard]
		s.mu.RLock()
		users += len(s.users)
		for a, bs := range s.users {
			for i := range bs {
				if bs[i].Foreign {
					list = append(list, foreign{a, &bs[i]})
				}
			}
		}
		s.mu.RUnlock()
	}
	if done = o.shard == shards; done {
		o.shard = 0
	}
	for part := range slices.Chunk(list, watchRows) {
		if err := l.readAgain(ctx, part); err != nil {
			return true, err
		}
	}
	return done, nil
}

// readEnding reads the rows of bindings that end soon, or have ended: their programs may have
// extended them. Otherwise meet removes them.
func (l *Location) readEnding(ctx context.Context) (done bool, err error) {
	o := &l.others
	o.mu.Lock()
	n := min(len(o.ending), watchRows)
	part := o.ending[:n]
	if o.ending = o.ending[n:]; len(o.ending) == 0 {
		o.ending = nil
	}
	o.mu.Unlock()
	return n < watchRows, l.readAgain(ctx, part)
}

// endsSoon records a binding of another program that ends soon, or has ended. If there are too many,
// the next sweep records the others.
func (o *others) endsSoon(a sip.AoR, b *Binding) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ending) < maxEnding {
		o.ending = append(o.ending, foreign{a, b})
	}
}

// readAgain reads the rows of bindings again.
func (l *Location) readAgain(ctx context.Context, list []foreign) error {
	if len(list) == 0 {
		return nil
	}
	rows := make(map[string]bool, len(list))
	ruids := make([]string, len(list))
	for i := range list {
		ruids[i] = list[i].binding.RUID
	}
	err := l.opt.Shared.Rows(ctx, ruids, func(a sip.AoR, b Binding) {
		rows[b.RUID] = true
		l.found(ctx, a, b)
	}, func(error) {}) // a row that cannot be used any more is as good as deleted
	if err != nil {
		return err
	}
	for _, f := range list {
		if !rows[f.binding.RUID] && l.gone(f.aor, f.binding) {
			l.others.changed = append(l.others.changed, f.aor)
		}
	}
	return nil
}

// deleteExpired deletes some of the rows that have expired: those of bindings that ended while silod
// was down, or while the row could not be deleted.
func (l *Location) deleteExpired(ctx context.Context) (done bool, err error) {
	n, err := l.opt.Shared.DeleteExpired(ctx, l.opt.Earlier().Add(-expiredGrace))
	return n == 0, err
}
