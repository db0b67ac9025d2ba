package silo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"silod/mi"
	"silod/sip"
)

// export streams the selected messages, a line each.
func (c commands) export(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	q.Both = !q.Reminders
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for m, err := range c.silo.opt.Store.List(ctx, q) {
			var line []byte
			if err == nil {
				line, err = c.line(ctx, &m)
			}
			if err != nil {
				yield(nil, unavailable(err))
				return
			}
			if !yield(&mi.Node{Value: string(line)}, nil) {
				return
			}
		}
	}}, nil
}

// line returns the line of a message.
func (c commands) line(ctx context.Context, m *Message) ([]byte, error) {
	var copies []Copy
	if m.Marked {
		var err error
		if copies, err = c.silo.opt.Store.Marks(ctx, m.ID); err != nil {
			return nil, err
		}
	}
	return plainJSON(archive(m, copies))
}

// importLines stores the messages of exported lines.
func (c commands) importLines(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	list, err := unarchive([]byte(req.Named("messages", 0)), c.domains)
	if err != nil {
		return nil, mi.Errorf(400, "Nothing was stored, %v", err)
	}
	if err := c.silo.importing.lock(ctx); err != nil {
		return nil, unavailable(fmt.Errorf("wait for another import: %w: %w", ErrBusy, err))
	}
	defer c.silo.importing.unlock()
	imp := &importer{silo: c.silo, rows: make(map[*archived]*Message, len(list)), refused: &mi.Node{Name: "refused", List: true}}
	if err := imp.run(ctx, list); err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("stored", imp.stored)
	n.Add("known", imp.known)
	n.Add("expired", imp.expired)
	if len(imp.refused.Nodes) > 0 {
		n.Nodes = append(n.Nodes, imp.refused)
	}
	return n, nil
}

// An importer stores the lines of an archive.
type importer struct {
	silo                   *Service
	rows                   map[*archived]*Message // stored before or by this import
	stored, known, expired int
	refused                *mi.Node // lines that cannot be stored, with the reason
}

// run stores those lines of a list that are not stored yet, in their order, and sets
// the state of each message.
func (i *importer) run(ctx context.Context, list []*archived) error {
	existing, err := i.existing(ctx, list)
	if err != nil {
		return err
	}
	now := i.silo.opt.Now()
	var missing []*Message
	for _, a := range list {
		key := a.key()
		m, ok := existing[key]
		switch {
		case ok:
			i.known++
		case a.Expires != nil && !a.Expires.After(now):
			i.expired++
			continue
		default:
			m = a.message()
			m.Stuck, m.Marks = string(a.Stuck), a.marks()
			existing[key] = m
			missing = append(missing, m)
		}
		i.rows[a] = m
	}
	if err := i.add(ctx, list, missing); err != nil {
		return err
	}
	return i.setStates(ctx, list)
}

// existing returns the messages of a list that are stored already, by their keys. It
// reads the mailboxes of the list for the time in which the list was stored.
func (i *importer) existing(ctx context.Context, list []*archived) (map[string]*Message, error) {
	type span struct{ first, last time.Time }
	spans := map[sip.AoR]span{}
	for _, a := range list {
		owner := sip.AoR{User: string(a.User), Domain: string(a.Domain)}
		s, ok := spans[owner]
		if !ok || a.Stored.Before(s.first) {
			s.first = a.Stored
		}
		if a.Stored.After(s.last) {
			s.last = a.Stored
		}
		spans[owner] = s
	}
	wanted := map[string]bool{} // so that the rest of a large mailbox is not held in memory
	for _, a := range list {
		wanted[a.key()] = true
	}
	existing := map[string]*Message{}
	for owner, s := range spans {
		q := Query{Owner: owner, Both: true, Since: s.first, Before: s.last.Add(time.Second)}
		for m, err := range i.silo.opt.Store.List(ctx, q) {
			if err != nil {
				return nil, err
			}
			if key := archive(&m, nil).key(); wanted[key] {
				existing[key] = &m
			}
		}
	}
	return existing, nil
}

// add stores the missing messages of a list. If one of them cannot be stored, the
// others are stored one by one.
func (i *importer) add(ctx context.Context, list []*archived, missing []*Message) error {
	if len(missing) == 0 {
		return nil
	}
	err := i.silo.opt.Store.AddAll(ctx, missing)
	if err == nil {
		i.stored += len(missing)
		return nil
	}
	if !errors.Is(err, ErrInvalid) {
		return err
	}
	for n, a := range list {
		m := i.rows[a]
		if m == nil || m.ID != 0 {
			continue
		}
		err := i.silo.opt.Store.Add(ctx, m)
		switch {
		case errors.Is(err, ErrInvalid):
			delete(i.rows, a)
			i.refused.Add("", nil, mi.Attr{Name: "line", Value: n + 1}, mi.Attr{Name: "reason", Value: err.Error()})
		case err != nil:
			return err
		default:
			i.stored++
		}
	}
	return nil
}

// setStates sets messages that were stored before aside, records the answers of devices, and
// starts the delivery to owners that are online.
func (i *importer) setStates(ctx context.Context, list []*archived) error {
	for _, a := range list {
		m := i.rows[a]
		if m == nil {
			continue
		}
		if a.Stuck != "" && m.Stuck == "" {
			if _, err := i.silo.opt.Store.SetAside(ctx, m.ID, string(a.Stuck), nil); err != nil {
				return err
			}
		}
		if marks := a.marks(); marks != nil && m.Marks == nil {
			done := make(chan error, 1)
			i.silo.opt.Store.Mark(m.ID, marks, func(err error) { done <- err })
			if err := <-done; err != nil {
				return err
			}
		}
	}
	for _, m := range i.rows {
		if m.SendAt.IsZero() {
			i.silo.schedule(m.Owner, false)
		}
	}
	return nil
}
