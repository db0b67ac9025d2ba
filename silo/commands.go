package silo

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
)

// Commands returns the management commands for stored messages.
func (s *Service) Commands() []mi.Command {
	c := commands{silo: s, domains: s.opt.Domains}
	return []mi.Command{
		{
			Name: "silo_list", Aliases: []string{"silo.list"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [limit]",
			Help: "Lists stored messages, oldest first; all arguments but the owner are given by name.", MaxArgs: 7, Run: c.list,
		},
		{
			Name: "silo_show", Aliases: []string{"silo.show"}, Args: "id",
			Help: "Shows one stored message with its headers and body, and the answers of devices.", MinArgs: 1, MaxArgs: 1, Bodies: true, Run: c.show,
		},
		{
			Name: "silo_count", Aliases: []string{"silo.count"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [slice]", Timeout: bulkTimeout,
			Help: "Counts stored messages. With slice::yes it stops after about a second; if the reply has after, a call with that after goes on.", MaxArgs: 7, Run: c.count,
		},
		{
			Name: "silo_send", Aliases: []string{"silo.send"}, Args: "from to text [owner]",
			Help:    "Stores a text message for a user, in the mailbox of owner if one is given. It is delivered at once if that user is online.",
			MinArgs: 3, MaxArgs: 4, Writes: true, Run: c.send,
		},
		{
			Name: "silo_remind", Aliases: []string{"silo.remind"}, Args: "to time text",
			Help:    "Stores a text that is delivered to a user at a given time: YYYYMMDDHHMMSS in silo.time_zone, or RFC 3339.",
			MinArgs: 3, MaxArgs: 3, Writes: true, Run: c.remind,
		},
		{
			Name: "silo_dump", Aliases: []string{"silo.dump"}, Args: "owner",
			Help: "Delivers a mailbox now, but no message to a device that has refused it.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.dump,
		},
		{
			Name: "silo_requeue", Aliases: []string{"silo.requeue"}, Args: "id",
			Help: "Requeues a message that was set aside, also for the devices that have refused it.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.requeue,
		},
		{
			Name: "silo_delete", Aliases: []string{"silo.delete"}, Args: "id",
			Help: "Deletes one stored message.", MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.remove,
		},
		{
			Name: "silo_purge", Aliases: []string{"silo.purge"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [limit] [all] [after] [slice]", Timeout: bulkTimeout,
			Help:    "Deletes up to limit (1000) of the selected messages and returns their number. To select all messages, all::yes is required. slice and after are those of silo_count.",
			MaxArgs: 9, Writes: true, Run: c.purge,
		},
		{
			Name: "silo_export", Aliases: []string{"silo.export"}, Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [limit]",
			Help: "Exports stored messages and reminders for silo_import, each as a JSON text.", MaxArgs: 7, Bodies: true, Run: c.export,
		},
		{
			Name: "silo_import", Aliases: []string{"silo.import"}, Args: "messages", Private: []string{"messages"}, Timeout: time.Minute,
			Help:    "Imports messages from silo_export, one a line. Messages that are stored already are skipped.",
			MinArgs: 1, MaxArgs: 1, Writes: true, Run: c.importLines,
		},
		{
			Name: "silo_stats", Aliases: []string{"silo.stats"}, Timeout: bulkTimeout,
			Help: "Shows the number of stored messages and of their owners, and the time of the oldest.", Run: c.stats,
		},
	}
}

// commands run the management commands.
type commands struct {
	silo    *Service
	domains sip.Domains
}

// owner returns the owner of messages that an argument names.
func (c commands) owner(arg string) (sip.AoR, error) {
	a, _, err := c.domains.Parse(arg)
	if err != nil {
		return a, mi.Errorf(400, "Bad owner, %v", err)
	}
	return a, nil
}

// source returns the URI in column src_addr for a sender as an administrator writes it.
func (c commands) source(from string) (string, error) {
	a, _, err := c.domains.Parse(from)
	if !errors.Is(err, sip.ErrScheme) {
		return a.String(), err
	}
	u, err := sip.ParseURI(strings.Trim(from, "<> "))
	switch {
	case err != nil:
		return "", err
	case strings.Trim(u.Opaque, "+-. ") == "":
		return "", errors.New("empty address")
	}
	return sourceOf(c.domains, u), nil
}

// sameSource returns a function that reports whether a URI is a spelling of a sender, such as
// Kamailio's, which stores the URI of From as it was received. It remembers its results.
func (c commands) sameSource(from string) func(string) bool {
	known := map[string]bool{}
	return func(s string) bool {
		same, ok := known[s]
		if !ok {
			source, err := c.source(s)
			same = err == nil && source == from
			if len(known) < 10_000 {
				known[s] = same
			}
		}
		return same
	}
}

// queryNames are the arguments that select messages, owner also without its name.
var queryNames = []string{"owner", "from", "older_than", "stuck", "reminders", "after", "limit", "all", "slice"}

// query parses the arguments that select messages. An empty or unknown one is refused: without
// it, more messages would be selected.
func (c commands) query(req *mi.Request) (q Query, err error) {
	for _, a := range req.Args {
		if a.Name != "" && !slices.Contains(queryNames, strings.ToLower(a.Name)) {
			return q, unknownArgument(a.Name)
		}
	}
	q.Stuck, q.Reminders = flag(req, "stuck"), flag(req, "reminders")
	if owner, given := req.Given("owner", 0); given {
		if q.Owner, err = c.owner(owner); err != nil {
			return q, err
		}
	}
	if from, given := req.Given("from", -1); given {
		if q.From, err = c.source(from); err != nil {
			return q, mi.Errorf(400, "Bad from, %v", err)
		}
		q.SameFrom = c.sameSource(q.From)
	}
	if v, given := req.Given("older_than", -1); given {
		age, err := age(v)
		if err != nil {
			return q, mi.Errorf(400, "Bad older_than %q: expected a number of seconds, or a time such as 36h or 30d", v)
		}
		q.Before = c.silo.opt.Now().Add(-age)
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

// unknownArgument returns the error of an argument that selects nothing.
func unknownArgument(arg string) error {
	return mi.Errorf(400, "Unknown argument %.60q: after the owner, write name::value with one of %s", arg, strings.Join(queryNames[1:], ", "))
}

// flag reports whether a named argument is set to yes.
func flag(req *mi.Request, name string) bool {
	v := req.Named(name, -1)
	return v == "1" || v == "true" || v == "yes"
}

// number sets *to to a named argument that is a number, if it is given.
func number(req *mi.Request, name string, to *int64) error {
	v := req.Named(name, -1)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return mi.Errorf(400, "Bad %s %q: expected a number", name, v)
	}
	*to = n
	return nil
}

// age parses a number of seconds, or a duration such as 90m, 36h or 30d.
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

// message returns the stored message with the ID that is an argument.
func (c commands) message(ctx context.Context, req *mi.Request) (Message, error) {
	id, err := strconv.ParseInt(req.Named("id", 0), 10, 64)
	if err != nil {
		return Message{}, mi.Errorf(400, "Bad id %q: expected a number as shown by silo_list", req.Named("id", 0))
	}
	m, err := c.silo.opt.Store.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Message{}, noMessage(id)
	case err != nil:
		return Message{}, unavailable(err)
	}
	return m, nil
}

func noMessage(id int64) error {
	return mi.Errorf(404, "There is no message %d; it may have been delivered", id)
}

// unavailable returns the error of a reply after a store has failed. The log has the
// details of ErrBusy.
func unavailable(err error) error {
	if errors.Is(err, ErrNumbers) {
		return mi.Errorf(503, "The numbers of messages are used up; siloctl db check shows the solution")
	}
	if errors.Is(err, ErrBusy) {
		return mi.Errorf(503, "The database is not available, try again")
	}
	return err
}
