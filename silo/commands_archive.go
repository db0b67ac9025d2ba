package silo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"silod/mi"
	"silod/sip"
)

// export streams the lines of what the arguments select, each as a value.
func (c commands) export(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	q.Both = !q.Reminders
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for m, err := range c.opt.Store.List(ctx, q) {
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

func (c commands) line(ctx context.Context, m *Message) ([]byte, error) {
	var copies []Copy
	if m.Marked {
		var err error
		if copies, err = c.opt.Store.Marks(ctx, m.ID); err != nil {
			return nil, err
		}
	}
	return plainJSON(archive(m, copies))
}

// restore stores lines again.
func (c commands) restore(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	list, err := unarchive([]byte(req.Named("messages", 0)))
	if err != nil {
		return nil, mi.Errorf(400, "Nothing was stored, %v", err)
	}
	if err := c.importing.take(ctx); err != nil {
		return nil, unavailable(fmt.Errorf("wait for another import: %w: %w", ErrBusy, err))
	}
	defer c.importing.leave()
	im := &importer{Service: c.Service, refused: &mi.Node{Name: "refused", List: true}}
	if err := im.run(ctx, list); err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("stored", im.stored)
	n.Add("known", im.known)
	n.Add("expired", im.expired)
	if len(im.refused.Nodes) > 0 {
		n.Nodes = append(n.Nodes, im.refused)
	}
	return n, nil
}

// gate lets one in at a time.
type gate chan struct{}

func (g gate) take(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// importer stores some lines of an archive.
type importer struct {
	*Service
	stored, known, expired int
	refused                *mi.Node // lines that cannot be stored, and why
}

// run looks what of the list is there already, stores the rest in its order, and
// brings each message into the state that its line tells.
func (im *importer) run(ctx context.Context, list []*archived) error {
	there, err := im.present(ctx, list)
	if err != nil {
		return err
	}
	now := im.opt.Now()
	var fresh []*Message
	rows := make(map[*archived]*Message, len(list))
	for _, a := range list {
		key := a.key()
		m, ok := there[key]
		switch {
		case ok:
			im.known++
		case a.Expires != nil && !a.Expires.After(now):
			im.expired++
			continue
		default:
			m = a.message()
			there[key] = m
			fresh = append(fresh, m)
		}
		rows[a] = m
	}
	if err := im.add(ctx, list, rows, fresh); err != nil {
		return err
	}
	return im.settle(ctx, list, rows)
}

// present gives the messages in the mailboxes of a list that were stored when those of
// the list were, by their keys.
func (im *importer) present(ctx context.Context, list []*archived) (map[string]*Message, error) {
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
	wanted := map[string]bool{} // so that of a large mailbox no more is kept in memory
	for _, a := range list {
		wanted[a.key()] = true
	}
	there := map[string]*Message{}
	for owner, s := range spans {
		q := Query{Owner: owner, Both: true, Since: s.first, Before: s.last.Add(time.Second)}
		for m, err := range im.opt.Store.List(ctx, q) {
			if err != nil {
				return nil, err
			}
			if key := archive(&m, nil).key(); wanted[key] {
				there[key] = &m
			}
		}
	}
	return there, nil
}

// add stores what is not there. Where one message cannot be stored the others are
// stored one by one.
func (im *importer) add(ctx context.Context, list []*archived, rows map[*archived]*Message, fresh []*Message) error {
	if len(fresh) == 0 {
		return nil
	}
	err := im.opt.Store.AddAll(ctx, fresh)
	if err == nil {
		im.stored += len(fresh)
		return nil
	}
	if !errors.Is(err, ErrInvalid) {
		return err
	}
	for i, a := range list {
		m := rows[a]
		if m == nil || m.ID != 0 {
			continue
		}
		err := im.opt.Store.Add(ctx, m)
		switch {
		case errors.Is(err, ErrInvalid):
			delete(rows, a)
			im.refused.Add("", nil, mi.Attr{Name: "line", Value: i + 1}, mi.Attr{Name: "reason", Value: err.Error()})
		case err != nil:
			return err
		default:
			im.stored++
		}
	}
	return nil
}

// settle sets aside what was, notes which devices have got their copies, and wakes
// those who are online.
func (im *importer) settle(ctx context.Context, list []*archived, rows map[*archived]*Message) error {
	for _, a := range list {
		m := rows[a]
		if m == nil {
			continue
		}
		if a.Stuck != "" && m.Stuck == "" {
			if _, err := im.opt.Store.SetAside(ctx, m.ID, string(a.Stuck)); err != nil {
				return err
			}
		}
		for _, c := range a.Copies {
			done := make(chan error, 1)
			im.opt.Store.Mark(m.ID, string(c.Device), string(c.Refused), func(err error) { done <- err })
			if err := <-done; err != nil {
				return err
			}
		}
	}
	for _, m := range rows {
		if m.SendAt.IsZero() && im.opt.Online(m.Owner) {
			im.opt.Waker.Wake(m.Owner)
		}
	}
	return nil
}
