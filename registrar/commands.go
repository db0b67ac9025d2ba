package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/address"
	"silod/mi"
)

// Commands are Kamailio's management commands of usrloc, classic and newer names.
func (l *Location) Commands(domains address.Domains) []mi.Command {
	c := commands{l, domains}
	return []mi.Command{
		{Name: "ul_dump", Aliases: []string{"ul.dump"}, Args: "[brief]", MaxArgs: 2, Help: "Lists all registered users with their contacts.", Run: c.dump},
		{
			Name: "ul_show_contact", Aliases: []string{"ul.lookup"}, Args: "table aor", MinArgs: 2, MaxArgs: 2,
			Help: "Shows the contacts of one user.", Run: c.show,
		},
		{
			Name: "ul_add", Aliases: []string{"ul.add"}, Args: "table aor contact expires q path flags cflags methods",
			MinArgs: 9, MaxArgs: 9, Writes: true, Help: "Registers a contact for a user; expires 0 is for ever.", Run: c.add,
		},
		{
			Name: "ul_rm", Aliases: []string{"ul.rm"}, Args: "table aor [contact]", MinArgs: 2, MaxArgs: 3, Writes: true,
			Help: "Removes a user's contacts, or the one that is named.", Run: c.remove,
		},
		{Name: "ul_rm_contact", Aliases: []string{"ul.rm_contact"}, Args: "table aor contact", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Removes one contact of a user.", Run: c.removeContact},
		{Name: "ul_flush", Aliases: []string{"ul.flush"}, Writes: true, Help: "Writes refreshed contacts to the database now, and not within seconds.", Run: c.writeOut},
	}
}

// Counters are Kamailio's statistics of usrloc.
func (l *Location) Counters() []mi.Stat {
	users := func() int64 { n, _ := l.Counts(); return int64(n) }
	contacts := func() int64 { _, n := l.Counts(); return int64(n) }
	return []mi.Stat{
		{Name: "registered_users", Help: "Users with at least one contact.", Gauge: users},
		{Name: "location-users", Help: "Users with at least one contact.", Gauge: users},
		{Name: "location-contacts", Help: "Contacts registered now.", Gauge: contacts},
		{Name: "location-expires", Help: "Contacts that expired without being refreshed.", Counter: &l.Expired},
	}
}

type commands struct {
	*Location
	domains address.Domains
}

// table is the one location table, by Kamailio's name.
const table = "location"

func (c commands) aor(req *mi.Request) (address.AoR, error) {
	if req.Arg(0) != table {
		return address.AoR{}, mi.Errorf(404, "Table not found")
	}
	a, _, err := c.domains.Parse(req.Arg(1))
	if err != nil {
		return a, mi.Errorf(400, "Bad AOR, %v", err)
	}
	return a, nil
}

// userAt is the AoR as usrloc prints it.
func userAt(a address.AoR) string { return a.User + "@" + a.Domain }

func (c commands) dump(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if len(req.Args) > 1 && req.Dialect == mi.Classic {
		return nil, mi.ErrArguments
	}
	brief := req.Arg(0) == "brief"
	users, _ := c.Counts()
	if req.Dialect == mi.Kamailio {
		return c.dumpJSON(users, brief), nil
	}
	n := &mi.Node{}
	if req.Dialect == mi.Native {
		n.List = true
		n.Stream = c.rows
		return n, nil
	}
	d := n.Add("Domain", table,
		mi.Attr{Name: "table", Value: shards}, mi.Attr{Name: "records", Value: users}, mi.Attr{Name: "max_slot", Value: c.maxSlot()})
	d.Stream = func(yield func(*mi.Node, error) bool) {
		c.Each(func(a address.AoR, bs []Binding) bool {
			u := &mi.Node{Name: "AOR", Value: userAt(a)}
			for i := range bs {
				if !brief {
					u.Nodes = append(u.Nodes, c.classic(&bs[i]))
				}
			}
			return yield(u, nil)
		})
	}
	return n, nil
}

// rows is one line for each contact, for siloctl's tables.
func (c commands) rows(yield func(*mi.Node, error) bool) {
	now := c.opt.Now()
	c.Each(func(a address.AoR, bs []Binding) bool {
		for i := range bs {
			if !yield(row(a, &bs[i], now), nil) {
				return false
			}
		}
		return true
	})
}

func row(a address.AoR, b *Binding, now time.Time) *mi.Node {
	return &mi.Node{Name: "CONTACT", Attrs: []mi.Attr{
		{Name: "aor", Value: a.String()},
		{Name: "contact", Value: b.Contact},
		{Name: "expires", Value: int(b.Expires.Sub(now) / time.Second)},
		{Name: "flow", Value: b.Flow},
		{Name: "q", Value: strconv.FormatFloat(float64(b.Q), 'g', 3, 32)},
		{Name: "instance", Value: b.Instance},
		{Name: "user_agent", Value: b.UserAgent},
	}}
}

func (c commands) maxSlot() int {
	most := 0
	for i := range c.shards {
		c.shards[i].mu.RLock()
		most = max(most, len(c.shards[i].users))
		c.shards[i].mu.RUnlock()
	}
	return most
}

// classic is a contact in ul_dump's lines.
func (c commands) classic(b *Binding) *mi.Node {
	now := c.opt.Now()
	n := &mi.Node{Name: "Contact", Value: b.Contact, Attrs: []mi.Attr{{Name: "Q", Value: qText(b.Q)}}}
	n.Add("Expires", expiresText(b, now))
	n.Add("Callid", b.CallID)
	n.Add("Cseq", int64(b.CSeq))
	n.Add("User-agent", orNA(b.UserAgent))
	if b.Flow != "" {
		n.Add("Received", received(b))
	}
	if len(b.Path) > 0 {
		n.Add("Path", strings.Join(b.Path, ", "))
	}
	n.Add("State", "CS_SYNC")
	n.Add("Flags", 0)
	n.Add("Cflag", 0)
	n.Add("Socket", socket(b))
	n.Add("Methods", int64(4294967295))
	n.Add("Ruid", b.RUID)
	n.Add("Reg-Id", int64(b.RegID))
	n.Add("Last-Keepalive", b.Modified.Unix())
	n.Add("Last-Modified", b.Modified.Unix())
	return n
}

func (c commands) dumpJSON(users int, brief bool) *mi.Node {
	root := &mi.Node{}
	ds := root.Add("Domains", nil)
	ds.List = true
	d := ds.Add("", nil).Add("Domain", nil)
	d.Add("Domain", table)
	d.Add("Size", shards)
	aors := d.Add("AoRs", nil)
	aors.List = true
	aors.Stream = func(yield func(*mi.Node, error) bool) {
		c.Each(func(a address.AoR, bs []Binding) bool {
			u := &mi.Node{}
			if brief {
				u.Add("AoR", userAt(a)) // kamctl online looks for this name
				return yield(u, nil)
			}
			c.infoJSON(u.Add("Info", nil), a, bs)
			return yield(u, nil)
		})
	}
	st := d.Add("Stats", nil)
	st.Add("Records", users)
	st.Add("Max-Slots", c.maxSlot())
	return root
}

func (c commands) infoJSON(n *mi.Node, a address.AoR, bs []Binding) {
	n.Add("AoR", userAt(a))
	n.Add("HashID", 0)
	cs := n.Add("Contacts", nil)
	cs.List = true
	for i := range bs {
		c.contactJSON(cs.Add("", nil).Add("Contact", nil), &bs[i])
	}
}

func (c commands) contactJSON(n *mi.Node, b *Binding) {
	const unset = "[not set]"
	or := func(s string) string {
		if s == "" {
			return unset
		}
		return s
	}
	n.Add("Address", b.Contact)
	n.Add("Expires", max(0, int(b.Expires.Sub(c.opt.Now())/time.Second)))
	n.Add("Q", float64(b.Q))
	n.Add("Call-ID", b.CallID)
	n.Add("CSeq", int64(b.CSeq))
	n.Add("User-Agent", or(b.UserAgent))
	n.Add("Received", or(received(b)))
	n.Add("Path", or(strings.Join(b.Path, ", ")))
	n.Add("State", "CS_SYNC")
	n.Add("Flags", 0)
	n.Add("CFlags", 0)
	n.Add("Socket", or(socket(b)))
	n.Add("Methods", -1)
	n.Add("Ruid", b.RUID)
	n.Add("Instance", or(b.Instance))
	n.Add("Reg-Id", int64(b.RegID))
	n.Add("Last-Keepalive", b.Modified.Unix())
	n.Add("Last-Modified", b.Modified.Unix())
}

func (c commands) show(_ context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	bs := c.Bindings(a)
	if len(bs) == 0 {
		return nil, mi.Errorf(404, "AOR not found")
	}
	n := &mi.Node{}
	switch req.Dialect {
	case mi.Kamailio:
		n.Add("AoR", userAt(a))
		cs := n.Add("Contacts", nil)
		cs.List = true
		for i := range bs {
			c.contactJSON(cs.Add("", nil).Add("Contact", nil), &bs[i])
		}
	case mi.Native:
		n.List = true
		for i := range bs {
			n.Nodes = append(n.Nodes, row(a, &bs[i], c.opt.Now()))
		}
	case mi.Classic, mi.OpenSIPS:
		for i := range bs {
			n.Add("Contact", c.line(&bs[i]))
		}
	}
	return n, nil
}

// line is a contact as ul_show_contact prints it.
func (c commands) line(b *Binding) string {
	path := ""
	if len(b.Path) > 0 {
		path = ";path=<" + strings.Join(b.Path, ", ") + ">"
	}
	return fmt.Sprintf("<%s>;q=%s;expires=%d;flags=0x0;cflags=0x0;state=0;socket=<%s>;methods=0xFFFFFFFF;user_agent=<%s>%s;reg-id=%d",
		b.Contact, qText(b.Q), max(0, int(b.Expires.Sub(c.opt.Now())/time.Second)), socket(b), orNA(b.UserAgent), path, b.RegID)
}

// forever is the life of a binding that an administrator makes without an end.
const forever = 10 * 365 * 24 * time.Hour

func (c commands) add(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	uri, err := address.ParseURI(strings.Trim(req.Arg(2), "<>"))
	if err != nil || !uri.IsSIP() {
		return nil, mi.Errorf(400, "Bad contact %.60q: a SIP URI is expected", req.Arg(2))
	}
	secs, err := strconv.Atoi(req.Arg(3))
	if err != nil || secs < 0 {
		return nil, mi.Errorf(400, "Bad expires %.60q: seconds are expected, or 0 for ever", req.Arg(3))
	}
	life := forever
	if secs > 0 && secs < int(forever/time.Second) {
		life = time.Duration(secs) * time.Second
	}
	now := c.opt.Now()
	b := Binding{
		Contact: uri.String(), Q: 1, Expires: now.Add(life), CallID: "mi-" + newRUID(), CSeq: 1,
		UserAgent: "SIP Router MI Server", RUID: newRUID(), Modified: now,
	}
	if q, err := strconv.ParseFloat(req.Arg(4), 32); err == nil && q >= 0 && q <= 1 {
		b.Q = float32(q)
	}
	if p := req.Arg(5); p != "0" && p != "" {
		b.Path = []string{p}
	}
	if err := c.put(ctx, a, b); err != nil {
		return nil, err
	}
	return &mi.Node{}, nil
}

// put adds a binding, or replaces the one of the same contact.
func (c commands) put(ctx context.Context, a address.AoR, b Binding) error {
	s := c.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	u := c.begin(s, a)
	u.bindings = slices.DeleteFunc(u.bindings, func(old Binding) bool {
		if old.Contact == b.Contact {
			u.remove(&old)
		}
		return old.Contact == b.Contact
	})
	u.bindings = append(u.bindings, b)
	u.changes = append(u.changes, Change{AoR: a, Binding: b})
	return c.commit(ctx, s, a, u)
}

var errNoContact = errors.New("no such contact")

// drop removes the bindings that gone selects.
func (c commands) drop(ctx context.Context, a address.AoR, gone func(*Binding) bool) error {
	s := c.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	s.mu.Lock()
	changes := c.split(s, a, gone)
	s.mu.Unlock()
	if len(changes) == 0 {
		return errNoContact
	}
	if err := c.save(ctx, changes); err != nil {
		return fmt.Errorf("remove binding: %w", err)
	}
	return nil
}

// remove: that it may name a contact is kamcli's.
func (c commands) remove(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	if len(req.Args) > 2 {
		return c.removeContact(ctx, req)
	}
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	// As Kamailio: no error where there is nothing to remove.
	if err := c.drop(ctx, a, func(*Binding) bool { return true }); err != nil && !errors.Is(err, errNoContact) {
		return nil, err
	}
	return &mi.Node{}, nil
}

func (c commands) removeContact(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	a, err := c.aor(req)
	if err != nil {
		return nil, err
	}
	if !c.Online(a) {
		return nil, mi.Errorf(404, "AOR not found")
	}
	uri, err := address.ParseURI(strings.Trim(req.Arg(2), "<>"))
	if err != nil {
		return nil, mi.Errorf(400, "Bad contact, %v", err)
	}
	err = c.drop(ctx, a, func(b *Binding) bool {
		u, err := address.ParseURI(b.Contact)
		return err == nil && u.Equal(uri)
	})
	if errors.Is(err, errNoContact) {
		return nil, mi.Errorf(404, "Contact not found")
	}
	if err != nil {
		return nil, err
	}
	return &mi.Node{}, nil
}

func (c commands) writeOut(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
	c.flush(ctx)
	return &mi.Node{}, nil
}
