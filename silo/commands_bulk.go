package silo

import (
	"context"
	"strings"
	"time"

	"silod/mi"
)

// bulkTimeout limits a command that counts or deletes any number of messages: ten million take
// minutes. A client that asks for slices has a reply each second, and so no limit.
const bulkTimeout = time.Hour

// sliceTime is the time for which a command works that is to do a slice of its work. Clients wait
// for some seconds.
const sliceTime = time.Second

// A slicing ends the work on a Query after sliceTime, if the request has slice::yes, and records
// how far it was.
type slicing struct {
	examined int
	last     Slice
}

// newSlicing sets q.Each.
func newSlicing(req *mi.Request, q *Query) *slicing {
	s := &slicing{last: Slice{End: true}}
	begun, sliced := time.Now(), flag(req, "slice")
	q.Each = func(p Slice) bool {
		s.examined += p.Examined
		s.last = p
		return !sliced || time.Since(begun) < sliceTime
	}
	return s
}

// add adds the number of examined messages, and the position if there is more to do.
func (s *slicing) add(req *mi.Request, n *mi.Node) {
	if !flag(req, "slice") {
		return
	}
	n.Add("examined", s.examined)
	if !s.last.End {
		n.Add("after", s.last.Last)
	}
}

func (c commands) count(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	s := newSlicing(req, &q)
	t, err := c.silo.opt.Store.Tally(ctx, q)
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	if q.Reminders {
		n.Add("count", t.Reminders)
	} else {
		n.Add("count", t.Messages)
	}
	s.add(req, n)
	return n, nil
}

func (c commands) stats(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
	t, err := c.silo.opt.Store.Tally(ctx, Query{})
	if err != nil {
		return nil, unavailable(err)
	}
	owners, err := c.silo.opt.Store.Owners(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("messages", t.Messages)
	n.Add("reminders", t.Reminders)
	n.Add("stuck", t.Stuck)
	n.Add("owners", owners)
	n.Add("oldest", stamp(t.Oldest))
	return n, nil
}

// purgeLimit is the number of messages that a call without a limit deletes at most.
const purgeLimit = 1000

// errNoSelection is the error of a purge that selects nothing.
var errNoSelection = mi.Errorf(400, "Select messages by owner, from, older_than, stuck or reminders, or all messages by all::yes")

func (c commands) purge(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	if owner, given := req.Given("owner", 0); given && strings.TrimSpace(owner) == "" {
		return nil, errNoSelection
	}
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	for i, a := range req.Args {
		if i > 0 && a.Name == "" && a.Value != "" { // would be ignored, and more be deleted
			return nil, unknownArgument(a.Value)
		}
	}
	limit := q.Limit
	if limit == 0 {
		limit = purgeLimit
	}
	after := q.AfterID
	q.Limit, q.AfterID = 0, 0
	if q.selectsAll() && !flag(req, "all") {
		return nil, errNoSelection
	}
	q.AfterID = after
	s := newSlicing(req, &q)
	deleted, err := c.silo.opt.Store.Purge(ctx, q, limit)
	c.silo.accounts.removedAny()
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("deleted", deleted)
	s.add(req, n)
	return n, nil
}
