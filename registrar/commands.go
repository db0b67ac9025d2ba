package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
)

// Commands returns Kamailio's management commands of usrloc under their classic and newer
// names. They call changed after a change of a user's bindings.
func (l *Location) Commands(domains sip.Domains, changed func(sip.AoR)) []mi.Command {
	c := commands{l, domains, changed}
	return []mi.Command{
		{Name: "ul_dump", Aliases: []string{"ul.dump"}, Args: "[brief]", MaxArgs: 2, Help: "Lists all registered users with their contacts.", Run: c.dump},
		{
			Name: "ul_show_contact", Aliases: []string{"ul.lookup"}, Args: "table_name aor", MinArgs: 2, MaxArgs: 2,
			Help: "Shows the contacts of one user.", Run: c.show,
		},
		{
			Name: "ul_add", Aliases: []string{"ul.add"}, Args: "table_name aor contact expires q path flags cflags methods",
			MinArgs: 9, MaxArgs: 9, Writes: true, Help: "Registers a contact for a user; with expires 0 it never expires.", Run: c.add,
		},
		{
			Name: "ul_rm", Aliases: []string{"ul.rm"}, Args: "table_name aor [contact]", MinArgs: 2, MaxArgs: 3, Writes: true,
			Help: "Removes all contacts of a user, or the given one.", Run: c.remove,
		},
		{Name: "ul_rm_contact", Aliases: []string{"ul.rm_contact"}, Args: "table_name aor contact", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Removes one contact of a user.", Run: c.removeContact},
		{Name: "ul_flush", Aliases: []string{"ul.flush"}, Writes: true, Help: "Writes refreshed contacts to the database immediately.", Run: c.writeOut},
		{Name: "domain_dump", Aliases: []string{"domain.dump"}, Help: "Lists the domains of this server, the main one first, and its other names.", Run: c.listDomains},
	}
}

// Counters returns Kamailio's statistics of usrloc.
func (l *Location) Counters() []mi.Stat {
	users := func() int64 { n, _ := l.Counts(); return int64(n) }
	contacts := func() int64 { _, n := l.Counts(); return int64(n) }
	return []mi.Stat{
		{Name: "registered_users", Help: "Users with at least one contact.", Gauge: users},
		{Name: "location-users", Help: "Users with at least one contact.", Gauge: users},
		{Name: "location-contacts", Help: "Registered contacts.", Gauge: contacts},
		{Name: "location-expires", Help: "Contacts that expired without being refreshed.", Counter: &l.Expired},
	}
}

// commands runs the management commands.
type commands struct {
	location *Location
	domains  sip.Domains
	changed  func(sip.AoR)
}

func (c commands) now() time.Time { return c.location.opt.Now() }

// table is Kamailio's name of the location table.
const table = "location"

// aor returns the AoR of the second argument. The error is an *mi.Error, also if the first
// argument does not name the table.
func (c commands) aor(req *mi.Request) (sip.AoR, error) {
	if req.Arg(0) != table {
		return sip.AoR{}, mi.Errorf(404, "Table not found")
	}
	a, _, err := c.domains.Parse(req.Arg(1))
	if err != nil {
		return a, mi.Errorf(400, "Bad AOR, %v", err)
	}
	return a, nil
}

// userAt returns an AoR as usrloc prints it.
func userAt(a sip.AoR) string { return a.User + "@" + a.Domain }

// dump runs ul_dump. Each dialect has a format of its own: see formats.go.
func (c commands) dump(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if len(req.Args) > 1 && req.Dialect == mi.Classic {
		return nil, mi.ErrArguments
	}
	brief := req.Arg(0) == "brief"
	switch req.Dialect {
	case mi.Kamailio:
		return c.dumpKamailio(brief), nil
	case mi.OpenSIPS:
		return c.dumpOpenSIPS(brief), nil
	case mi.Native:
		return &mi.Node{List: true, Stream: c.rows}, nil
	default:
		return c.dumpClassic(brief), nil
	}
}

// rows yields one node per contact, for siloctl's tables.
func (c commands) rows(yield func(*mi.Node, error) bool) {
	now := c.now()
	c.location.Each(func(a sip.AoR, bs []Binding) bool {
		for i := range bs {
			if !yield(row(a, &bs[i], now), nil) {
				return false
			}
		}
		return true
	})
}

// row returns a contact as a row of siloctl's table.
func row(a sip.AoR, b *Binding, now time.Time) *mi.Node {
	return &mi.Node{Name: "CONTACT", Attrs: []mi.Attr{
		{Name: "aor", Value: a.String()},
		{Name: "contact", Value: b.Contact},
		{Name: "expires", Value: int(b.Expires.Sub(now) / time.Second)},
		{Name: "flow", Value: b.Flow.String()},
		{Name: "q", Value: strconv.FormatFloat(float64(b.Q), 'g', 3, 32)},
		{Name: "instance", Value: b.Instance},
		{Name: "user_agent", Value: b.UserAgent},
	}}
}

// show runs ul_show_contact.
func (c commands) show(_ context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	bs := c.location.Bindings(a)
	if len(bs) == 0 {
		return nil, mi.Errorf(404, "AOR not found")
	}
	n := &mi.Node{}
	switch req.Dialect {
	case mi.Kamailio:
		n.Add("AoR", userAt(a))
		c.contactsKamailio(n, bs)
	case mi.OpenSIPS:
		n.Add("AOR", userAt(a))
		c.contactsOpenSIPS(n, bs)
	case mi.Native:
		n.List = true
		for i := range bs {
			n.Nodes = append(n.Nodes, row(a, &bs[i], c.now()))
		}
	case mi.Classic:
		for i := range bs {
			n.Add("Contact", c.line(&bs[i]))
		}
	}
	return n, nil
}

// forever is the life of a binding that an administrator adds without an end.
const forever = 10 * 365 * 24 * time.Hour

// add runs ul_add. Like Kamailio it accepts flags and methods, and does not use them. The
// binding has no flow: its contact is resolved when something is sent to it.
func (c commands) add(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	uri, err := sip.ParseURI(strings.Trim(req.Arg(2), "<>"))
	if err != nil || !uri.IsSIP() {
		return nil, mi.Errorf(400, "Bad contact %.60q: a SIP URI is expected", req.Arg(2))
	}
	secs, err := strconv.Atoi(req.Arg(3))
	if err != nil || secs < 0 {
		return nil, mi.Errorf(400, "Bad expires %.60q: a number of seconds is expected, or 0 for never", req.Arg(3))
	}
	life := forever
	if secs > 0 && secs < int(forever/time.Second) {
		life = time.Duration(secs) * time.Second
	}
	now := c.now()
	b := Binding{
		Contact: uri.String(), Q: 1, Expires: now.Add(life), CallID: "mi-" + newRUID(), CSeq: 1,
		UserAgent: "SIP Router MI Server", RUID: newRUID(), Modified: now,
	}
	if q, err := strconv.ParseFloat(req.Arg(4), 32); err == nil && q >= 0 && q <= 1 {
		b.Q = float32(q)
	}
	// kamctl writes "." for no Path.
	if p := req.Arg(5); p != "0" && p != "." && p != "" {
		if b.Path, err = sip.SplitList(p); err != nil {
			return nil, mi.Errorf(400, "Bad path, %v", err)
		}
	}
	if refusal, ok := errors.AsType[*Error](b.check()); ok {
		return nil, mi.Errorf(400, "%s", refusal.Reason)
	}
	if why := c.location.unreachable(&b); why != "" {
		return nil, mi.Errorf(400, "%s", why)
	}
	if err := c.location.put(ctx, a, b); err != nil {
		return nil, err
	}
	c.changed(a)
	return &mi.Node{}, nil
}

// put adds a binding, or replaces the one with the same contact.
func (l *Location) put(ctx context.Context, a sip.AoR, b Binding) error {
	s := l.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	u := l.newUpdate(a)
	l.begin(s, u)
	u.bindings = slices.DeleteFunc(u.bindings, func(old Binding) bool {
		if old.Contact == b.Contact {
			u.remove(&old)
		}
		return old.Contact == b.Contact
	})
	u.bindings = append(u.bindings, b)
	u.changes = append(u.changes, Change{AoR: a, Binding: b})
	return l.commit(ctx, s, u)
}

var errNoContact = errors.New("no such contact")

// unregister removes the bindings for which del returns true. The error is errNoContact
// if there are none.
func (l *Location) unregister(ctx context.Context, a sip.AoR, del func(*Binding) bool) error {
	s := l.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	s.mu.Lock()
	changes := l.removeWhere(s, a, del)
	s.mu.Unlock()
	if len(changes) == 0 {
		return errNoContact
	}
	if err := l.save(ctx, changes); err != nil {
		return fmt.Errorf("remove binding: %w", err)
	}
	return nil
}

// remove runs ul_rm. A third argument that names a contact is kamcli's.
func (c commands) remove(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	if len(req.Args) > 2 {
		return c.removeContact(ctx, req)
	}
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	// Like Kamailio, without an error if there is nothing to remove.
	if err := c.location.RemoveAll(ctx, a); err != nil {
		return nil, err
	}
	c.changed(a)
	return &mi.Node{}, nil
}

// removeContact runs ul_rm_contact. URIs are compared by RFC 3261 section 19.1.4.
func (c commands) removeContact(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	uri, err := sip.ParseURI(strings.Trim(req.Arg(2), "<>"))
	if err != nil {
		return nil, mi.Errorf(400, "Bad contact, %v", err)
	}
	if !c.location.Online(a) {
		return nil, mi.Errorf(404, "AOR not found")
	}
	err = c.location.unregister(ctx, a, func(b *Binding) bool {
		u, err := sip.ParseURI(b.Contact)
		return err == nil && u.Equal(uri)
	})
	if errors.Is(err, errNoContact) {
		return nil, mi.Errorf(404, "Contact not found")
	}
	if err != nil {
		return nil, err
	}
	c.changed(a)
	return &mi.Node{}, nil
}

// listDomains runs domain_dump, a command of Kamailio's module domain.
func (c commands) listDomains(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, d := range c.domains.List() {
		n.Add("DOMAIN", nil, mi.Attr{Name: "domain", Value: d.Domain}, mi.Attr{Name: "name", Value: d.Name})
	}
	return n, nil
}

// writeOut runs ul_flush.
func (c commands) writeOut(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
	c.location.flush(ctx)
	return &mi.Node{}, nil
}
