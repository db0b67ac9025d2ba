package silo

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"silod/address"
	"silod/delivery"
	"silod/mi"
)

// Commands are the management commands for stored messages.
func (s *Service) Commands(domains address.Domains) []mi.Command {
	c := commands{s, domains}
	return []mi.Command{
		{
			Name: "silo_list", Aliases: []string{"silo.list"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [limit]",
			Help: "Lists stored messages, oldest first; all arguments but the owner are given by name.", MaxArgs: 7, Run: c.list,
		},
		{
			Name: "silo_show", Aliases: []string{"silo.show"}, Args: "id",
			Help: "Shows one stored message with its headers and body.", MinArgs: 1, MaxArgs: 1, Run: c.show,
		},
		{
			Name: "silo_count", Aliases: []string{"silo.count"}, Args: "[owner] [from] [older_than] [stuck] [reminders]",
			Help: "Counts stored messages.", MaxArgs: 5, Run: c.count,
		},
		{
			Name: "silo_send", Aliases: []string{"silo.send"}, Args: "from to text",
			Help: "Stores a text message for a user, delivered at once to one who is online.", MinArgs: 3, MaxArgs: 3, Writes: true, Run: c.send,
		},
		{
			Name: "silo_dump", Aliases: []string{"silo.dump"}, Args: "owner",
			Help: "Has a user's stored messages delivered now.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.dump,
		},
		{
			Name: "silo_requeue", Aliases: []string{"silo.requeue"}, Args: "id",
			Help: "Has a message that was set aside tried again.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.requeue,
		},
		{
			Name: "silo_delete", Aliases: []string{"silo.delete"}, Args: "id",
			Help: "Deletes one stored message.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.remove,
		},
		{
			Name: "silo_purge", Aliases: []string{"silo.purge"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [limit]",
			Help: "Deletes up to limit (1000) of the messages that the arguments select, and tells how many.", MinArgs: 1, MaxArgs: 6, Writes: true, Run: c.purge,
		},
		{
			Name: "silo_stats", Aliases: []string{"silo.stats"},
			Help: "Tells how many messages are stored, for how many users, and how old the oldest is.", Run: c.stats,
		},
	}
}

// Counters are msilo's statistics under its names, and ours.
func (s *Service) Counters() []mi.Stat {
	st := &s.Stats
	return []mi.Stat{
		{Name: "stored_messages", Help: "Messages stored.", Counter: &st.Stored},
		{Name: "dumped_messages", Help: "Stored messages delivered.", Counter: &st.Dumped},
		{Name: "failed_messages", Help: "Stored messages that could not be delivered.", Counter: &st.Failed},
		{Name: "dumped_reminders", Help: "Reminders delivered.", Counter: &st.DumpedReminders},
		{Name: "failed_reminders", Help: "Reminders that could not be delivered.", Counter: &st.FailedReminders},
		{Name: "expired_messages", Help: "Messages that expired before they could be delivered.", Counter: &st.Expired},
		{Name: "refused_messages", Help: "Messages that a device refused for good.", Counter: &st.Refused},
		{Name: "over_quota", Help: "Messages refused because the mailbox was full.", Counter: &st.OverQuota},
	}
}

type commands struct {
	*Service
	domains address.Domains
}

func (c commands) owner(arg string) (address.AoR, error) {
	if arg == "" {
		return address.AoR{}, nil
	}
	a, _, err := c.domains.Parse(arg)
	if err != nil {
		return a, mi.Errorf(400, "Bad owner, %v", err)
	}
	return a, nil
}

// query reads the arguments that select messages.
func (c commands) query(req *mi.Request) (Query, error) {
	owner, err := c.owner(req.Named("owner", 0))
	if err != nil {
		return Query{}, err
	}
	q := Query{Owner: owner, Stuck: flag(req, "stuck"), Reminders: flag(req, "reminders")}
	if from := req.Named("from", -1); from != "" {
		a, _, err := c.domains.Parse(from)
		if err != nil {
			return q, mi.Errorf(400, "Bad from, %v", err)
		}
		q.From = a.String()
	}
	if v := req.Named("older_than", -1); v != "" {
		age, err := age(v)
		if err != nil {
			return q, mi.Errorf(400, "Bad older_than %q: a number of seconds, or like 36h or 30d", v)
		}
		q.Before = c.opt.Now().Add(-age)
	}
	if err := number(req, "after", &q.AfterID); err != nil {
		return q, err
	}
	var limit int64
	if err := number(req, "limit", &limit); err != nil {
		return q, err
	}
	q.Limit = int(limit)
	return q, nil
}

func flag(req *mi.Request, name string) bool {
	v := req.Named(name, -1)
	return v == "1" || v == "true" || v == "yes"
}

func number(req *mi.Request, name string, to *int64) error {
	v := req.Named(name, -1)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return mi.Errorf(400, "Bad %s %q: a number is expected", name, v)
	}
	*to = n
	return nil
}

// age reads seconds, or a duration such as 90m, 36h or 30d.
func age(v string) (time.Duration, error) {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(v)
}

func (c commands) list(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for m, err := range c.opt.Store.List(ctx, q) {
			if err != nil {
				yield(nil, unavailable(err))
				return
			}
			if !yield(row(&m), nil) {
				return
			}
		}
	}}, nil
}

// row is one line of a list: everything but the words.
func row(m *Message) *mi.Node {
	n := &mi.Node{Name: "MESSAGE", Attrs: []mi.Attr{
		{Name: "id", Value: m.ID},
		{Name: "owner", Value: m.Owner.String()},
		{Name: "from", Value: m.Src},
		{Name: "stored", Value: stamp(m.Stored)},
		{Name: "expires", Value: stamp(m.Expires)},
		{Name: "bytes", Value: len(m.Body)},
		{Name: "type", Value: m.Header("Content-Type")},
		{Name: "call_id", Value: m.CallID},
	}}
	if !m.SendAt.IsZero() {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "send_at", Value: stamp(m.SendAt)})
	}
	if m.Stuck != "" {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "stuck", Value: m.Stuck})
	}
	return n
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func (c commands) show(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	id, err := messageID(req)
	if err != nil {
		return nil, err
	}
	m, err := c.opt.Store.Get(ctx, id)
	if err != nil {
		return nil, missing(err, id)
	}
	line := row(&m)
	n := &mi.Node{}
	for _, a := range line.Attrs {
		n.Add(a.Name, a.Value)
	}
	n.Add("from_header", m.From)
	n.Add("to_header", m.To)
	hs := n.Add("headers", nil)
	hs.List = true
	for _, h := range m.Headers {
		hs.Add("header", h.Name+": "+h.Value)
	}
	n.Add("body", string(m.Body))
	return n, nil
}

func (c commands) count(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	t, err := c.opt.Store.Tally(ctx, q)
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	if q.Reminders {
		n.Add("count", t.Reminders)
	} else {
		n.Add("count", t.Messages)
	}
	return n, nil
}

func (c commands) send(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	from, _, err := c.domains.Parse(req.Named("from", 0))
	if err != nil {
		return nil, mi.Errorf(400, "Bad from, %v", err)
	}
	to, ours, err := c.domains.Parse(req.Named("to", 1))
	if err != nil {
		return nil, mi.Errorf(400, "Bad to, %v", err)
	}
	if !ours {
		return nil, mi.Errorf(403, "%s is not of a domain of this server", to)
	}
	now := c.opt.Now()
	id, err := c.Put(ctx, to, &delivery.Message{
		From:    "<" + from.String() + ">;tag=mi" + strconv.FormatInt(now.UnixNano(), 36),
		To:      "<" + to.String() + ">",
		CallID:  "mi-" + strconv.FormatInt(now.UnixNano(), 36) + "@" + to.Domain,
		CSeq:    1,
		Headers: []delivery.Header{{Name: "Content-Type", Value: "text/plain;charset=utf-8"}},
		Body:    []byte(req.Named("text", 2)),
	})
	switch {
	case errors.Is(err, ErrQuota), errors.Is(err, ErrEmpty), errors.Is(err, ErrExpired), errors.Is(err, ErrInvalid):
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
	if !c.opt.Online(owner) {
		return nil, mi.Errorf(480, "%s is not registered; the messages are delivered when that changes", owner)
	}
	c.opt.Waker.Wake(owner)
	return &mi.Node{}, nil
}

func (c commands) requeue(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	id, err := messageID(req)
	if err != nil {
		return nil, err
	}
	m, err := c.opt.Store.Get(ctx, id)
	if err != nil {
		return nil, missing(err, id)
	}
	ok, err := c.opt.Store.Requeue(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	if !ok {
		return nil, mi.Errorf(404, "Message %d is not set aside", id)
	}
	if c.opt.Online(m.Owner) {
		c.opt.Waker.Wake(m.Owner)
	}
	return &mi.Node{}, nil
}

func (c commands) remove(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	id, err := messageID(req)
	if err != nil {
		return nil, err
	}
	if _, err := c.opt.Store.Get(ctx, id); err != nil {
		return nil, missing(err, id)
	}
	done := make(chan error, 1)
	c.opt.Store.Delete(id, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &mi.Node{}, nil
}

// purgeLimit is how many messages one call deletes where it does not say.
const purgeLimit = 1000

func (c commands) purge(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = purgeLimit
	}
	q.Limit = 0
	deleted, err := c.opt.Store.Purge(ctx, q, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("deleted", deleted)
	return n, nil
}

func (c commands) stats(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
	t, err := c.opt.Store.Tally(ctx, Query{})
	if err != nil {
		return nil, unavailable(err)
	}
	n := &mi.Node{}
	n.Add("messages", t.Messages)
	n.Add("reminders", t.Reminders)
	n.Add("stuck", t.Stuck)
	n.Add("owners", t.Owners)
	n.Add("oldest", stamp(t.Oldest))
	return n, nil
}

func messageID(req *mi.Request) (int64, error) {
	id, err := strconv.ParseInt(req.Named("id", 0), 10, 64)
	if err != nil {
		return 0, mi.Errorf(400, "Bad id %q: the number that silo_list shows is expected", req.Named("id", 0))
	}
	return id, nil
}

func missing(err error, id int64) error {
	if errors.Is(err, ErrNotFound) {
		return mi.Errorf(404, "There is no message %d; it may have been delivered", id)
	}
	return unavailable(err)
}

// unavailable is what a client is told of a store that fails; the log has the rest.
func unavailable(err error) error {
	if errors.Is(err, ErrBusy) {
		return mi.Errorf(503, "The database is not available, try again")
	}
	return err
}
