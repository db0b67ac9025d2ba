package silo

import (
	"context"
	"errors"
	"strconv"
	"time"

	"silod/im"
	"silod/mi"
	"silod/sip"
)

func (c commands) send(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	from, _, err := c.domains.Parse(req.Named("from", 0))
	if err != nil {
		return nil, mi.Errorf(400, "Bad from, %v", err)
	}
	to, err := c.user("to", req.Named("to", 1))
	if err != nil {
		return nil, err
	}
	in := c.textMessage(from.String(), to, req.Named("text", 2))
	if v, given := req.Given("owner", 3); given {
		if in.Owner, err = c.user("owner", v); err != nil {
			return nil, err
		}
	}
	return c.put(ctx, in)
}

func (c commands) remind(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	to, err := c.user("to", req.Named("to", 0))
	if err != nil {
		return nil, err
	}
	cfg := c.silo.cfg()
	if !cfg.reminders() {
		return nil, mi.Errorf(503, "Reminders are disabled: set silo.reminder and silo.send_time")
	}
	at, err := ParseTime(req.Named("time", 1), cfg.Zone)
	switch {
	case err != nil:
		return nil, mi.Errorf(400, "Bad time %q, %v", req.Named("time", 1), err)
	case !at.After(c.silo.opt.Now()):
		return nil, mi.Errorf(400, "The time %s is in the past", at.Format(time.RFC3339))
	}
	in := c.textMessage(cfg.Reminder, to, req.Named("text", 2))
	in.SendAt = at
	return c.put(ctx, in)
}

// user parses the AoR of a user of this server.
func (c commands) user(name, value string) (sip.AoR, error) {
	a, ours, err := c.domains.Parse(value)
	if err != nil {
		return a, mi.Errorf(400, "Bad %s, %v", name, err)
	}
	if !ours {
		return a, mi.Errorf(403, "%s is not in a domain of this server", a)
	}
	return a, nil
}

// textMessage returns a text message that an administrator sends.
func (c commands) textMessage(from string, to sip.AoR, text string) *Incoming {
	id := strconv.FormatInt(c.silo.opt.Now().UnixNano(), 36)
	return &Incoming{
		Owner: to, URI: to.String(), SafetyCopy: true,
		Message: &im.Message{
			From:    "<" + from + ">;tag=mi" + id,
			To:      "<" + to.String() + ">",
			CallID:  "mi-" + id + "@" + to.Domain,
			CSeq:    1,
			Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain;charset=utf-8"}},
			Body:    []byte(text),
		},
	}
}

// put stores a message and returns its ID.
func (c commands) put(ctx context.Context, in *Incoming) (*mi.Node, error) {
	id, err := c.silo.Put(ctx, in)
	switch {
	case errors.Is(err, ErrQuota), errors.Is(err, ErrSenderQuota), errors.Is(err, ErrEmpty), errors.Is(err, ErrExpired),
		errors.Is(err, ErrInvalid), errors.Is(err, ErrTooFar):
		return nil, mi.Errorf(400, "Not stored, %v", err)
	case err != nil:
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("id", id)
	return n, nil
}

func (c commands) dump(_ context.Context, req *mi.Request) (*mi.Node, error) {
	owner, err := c.owner(req.Named("owner", 0))
	if err != nil {
		return nil, err
	}
	if !c.silo.opt.Reachable(owner, true) {
		return nil, mi.Errorf(480, "%s is not registered; the messages are delivered when that changes", owner)
	}
	c.silo.opt.Waker.Retry(owner)
	return &mi.Node{}, nil
}

func (c commands) requeue(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	m, err := c.message(ctx, req)
	if err != nil {
		return nil, err
	}
	ok, err := c.silo.opt.Store.Requeue(ctx, m.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	if !ok {
		return nil, noMessage(m.ID)
	}
	c.silo.schedule(m.Owner, true)
	return &mi.Node{}, nil
}

func (c commands) remove(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	m, err := c.message(ctx, req)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	c.silo.opt.Store.Delete(m.ID, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	c.silo.removed(&m, !m.SendAt.IsZero())
	return &mi.Node{}, nil
}
