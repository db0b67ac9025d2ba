package imc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"silod/sip"
)

// Limits of #history.
const (
	defaultHistory = 20   // entries without a number
	maxHistory     = 1000 // entries
	historyReads   = 2    // at a time, for all users: others read from the same database
	maxHistories   = 64   // that are read or wait
)

// errNoHistory is wrapped by the errors of a history that could not be read now.
var errNoHistory = errors.New("history is not available")

// histories are the histories that are being read: one for each user, and few for all. The
// zero AoR is that of operators, which may read more than one.
type histories struct {
	slots chan struct{}
	mu    sync.Mutex
	users map[sip.AoR]int
}

func newHistories() *histories {
	return &histories{slots: make(chan struct{}, historyReads), users: map[sip.AoR]int{}}
}

// begin waits until a user may read a history. Then end must be called.
func (h *histories) begin(ctx context.Context, u sip.AoR) error {
	h.mu.Lock()
	switch {
	case h.users[u] > 0 && !u.IsZero():
		h.mu.Unlock()
		return refuse("history_busy")
	case len(h.users) >= maxHistories || h.users[u] >= maxHistories:
		h.mu.Unlock()
		return fmt.Errorf("%w: too many are being read", errNoHistory)
	}
	h.users[u]++
	h.mu.Unlock()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		h.leave(u)
		return fmt.Errorf("%w: %w", errNoHistory, ctx.Err())
	}
}

// end ends the reading of a history.
func (h *histories) end(u sip.AoR) {
	<-h.slots
	h.leave(u)
}

func (h *histories) leave(u sip.AoR) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[u]--; h.users[u] == 0 {
		delete(h.users, u)
	}
}

// showHistory sends the caller entries of the room: the last ones, or those since a time.
func (s *Service) showHistory(ctx context.Context, c *invocation, r *room) error {
	entries, err := s.recent(ctx, c.by.user, r, c.since, c.count)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		s.notifyCaller(c, r, "no_history")
		return nil
	}
	lines := []string{s.text("history", r.name, "count", itoa(len(entries)))}
	for i := range entries {
		lines = append(lines, s.historyLine(r, &entries[i]))
	}
	s.notifyUser(c, c.by.user, r.name, s.pages(lines)...)
	return nil
}

// recent returns the last entries of a room: count of them, or those since a time, or
// defaultHistory if neither is given. Entries of an earlier room of the name are not shown, and to a
// user, unlike to an operator, none that readFrom excludes.
func (s *Service) recent(ctx context.Context, by sip.AoR, r *room, since time.Time, count int) ([]Entry, error) {
	switch {
	case count == 0 && since.IsZero():
		count = defaultHistory
	case count == 0 || count > maxHistory:
		count = maxHistory
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	if err := s.history.begin(ctx, by); err != nil {
		return nil, err
	}
	defer s.history.end(by)
	from := r.base
	if !by.IsZero() {
		var err error
		if from, err = s.readFrom(r, by); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	last := r.last
	if r.Created.After(since) {
		since = r.Created
	}
	r.mu.Unlock()
	entries, err := s.store.Recent(ctx, r.log, from, since, count)
	if err != nil {
		return nil, fmt.Errorf("%w: read the log of %s: %w", errNoHistory, r.name, err)
	}
	// The name may have a new room since the lock was released.
	for len(entries) > 0 && entries[len(entries)-1].Seq > last {
		entries = entries[:len(entries)-1]
	}
	if by.IsZero() {
		return entries, nil
	}
	// The user may have left meanwhile, and even joined again.
	if from, err = s.readFrom(r, by); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Seq <= from }), nil
}

// historyLine returns an entry as a line of #history; an entry that is not text is
// shown by its type and size.
func (s *Service) historyLine(r *room, e *Entry) string {
	a := []string{
		"time", e.At.In(s.now().Location()).Format("2006-01-02 15:04"),
		"user", displayName(e.From, e.Room), "nick", r.called(e.From),
	}
	if c := inspect(&e.Message); c.text != "" {
		key := textKey("said")
		if words, ok := action([]byte(c.text)); ok {
			key, c.text = "acted", string(words)
		}
		if e.From == e.Room {
			key = "noted"
		}
		return s.text(key, e.Room, append(a, "text", blockText(strings.TrimSpace(c.text)))...)
	}
	return s.text("sent", e.Room, append(a, "type", oneLine(clip(mediaType(&e.Message))), "size", itoa(len(e.Body)))...)
}

// typeAndSize describes a content that is not shown.
func (s *Service) typeAndSize(e *Entry) string {
	return "(" + oneLine(clip(mediaType(&e.Message))) + ", " + itoa(len(e.Body)) + " bytes)"
}
