package registrar

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
)

// AoRs and their bindings in the formats that each kind of client expects.

const (
	synced     = "CS_SYNC" // usrloc's state of a binding that is in the database
	allMethods = int64(1<<32 - 1)
)

// dumpClassic returns the reply of ul_dump in Kamailio up to 4 and OpenSIPS up to 2.
func (c commands) dumpClassic(brief bool) *mi.Node {
	users, _ := c.location.Counts()
	n := &mi.Node{}
	d := n.Add("Domain", table,
		mi.Attr{Name: "table", Value: shards}, mi.Attr{Name: "records", Value: users},
		mi.Attr{Name: "max_slot", Value: c.location.largestShard()})
	d.Stream = c.each(func(a sip.AoR, bs []Binding) *mi.Node {
		u := &mi.Node{Name: "AOR", Value: userAt(a)}
		for i := range bs {
			if !brief {
				u.Nodes = append(u.Nodes, c.classic(&bs[i]))
			}
		}
		return u
	})
	return n
}

// each returns a sequence of one node per AoR.
func (c commands) each(node func(sip.AoR, []Binding) *mi.Node) iter.Seq2[*mi.Node, error] {
	return func(yield func(*mi.Node, error) bool) {
		c.location.Each(func(a sip.AoR, bs []Binding) bool { return yield(node(a, bs), nil) })
	}
}

// classic returns a contact in the lines of ul_dump.
func (c commands) classic(b *Binding) *mi.Node {
	now := c.now()
	n := &mi.Node{Name: "Contact", Value: b.Contact, Attrs: []mi.Attr{{Name: "Q", Value: qText(b.Q)}}}
	n.Add("Expires", expiresText(b, now))
	n.Add("Callid", b.CallID)
	n.Add("Cseq", int64(b.CSeq))
	n.Add("User-agent", orNA(b.UserAgent))
	if !b.Flow.IsZero() {
		n.Add("Received", received(b))
	}
	if len(b.Path) > 0 {
		n.Add("Path", strings.Join(b.Path, ", "))
	}
	n.Add("State", synced)
	n.Add("Flags", 0)
	n.Add("Cflag", 0)
	n.Add("Socket", socket(b))
	n.Add("Methods", allMethods)
	n.Add("Ruid", b.RUID)
	n.Add("Reg-Id", int64(b.RegID))
	n.Add("Last-Keepalive", b.Modified.Unix())
	n.Add("Last-Modified", b.Modified.Unix())
	return n
}

// line returns a contact in the line of ul_show_contact.
func (c commands) line(b *Binding) string {
	path := ""
	if len(b.Path) > 0 {
		path = ";path=<" + strings.Join(b.Path, ", ") + ">"
	}
	return fmt.Sprintf("<%s>;q=%s;expires=%d;flags=0x0;cflags=0x0;state=0;socket=<%s>;methods=0xFFFFFFFF;user_agent=<%s>%s;reg-id=%d",
		b.Contact, qText(b.Q), max(0, int(b.Expires.Sub(c.now())/time.Second)), socket(b), orNA(b.UserAgent), path, b.RegID)
}

// dumpKamailio returns the reply of ul.dump in Kamailio 5 and 6.
func (c commands) dumpKamailio(brief bool) *mi.Node {
	root := &mi.Node{}
	d := list(root, "Domains").Add("", nil).Add("Domain", nil)
	d.Add("Domain", table)
	d.Add("Size", shards)
	list(d, "AoRs").Stream = c.each(func(a sip.AoR, bs []Binding) *mi.Node {
		u := &mi.Node{}
		if brief {
			u.Add("AoR", userAt(a)) // kamctl online looks for this name
			return u
		}
		info := u.Add("Info", nil)
		info.Add("AoR", userAt(a))
		info.Add("HashID", 0)
		c.contactsKamailio(info, bs)
		return u
	})
	st := d.Add("Stats", nil)
	users, _ := c.location.Counts()
	st.Add("Records", users)
	st.Add("Max-Slots", c.location.largestShard())
	return root
}

func (c commands) contactsKamailio(n *mi.Node, bs []Binding) {
	contacts := list(n, "Contacts")
	for i := range bs {
		c.contactKamailio(contacts.Add("", nil).Add("Contact", nil), &bs[i])
	}
}

func (c commands) contactKamailio(n *mi.Node, b *Binding) {
	const unset = "[not set]"
	or := func(s string) string {
		if s == "" {
			return unset
		}
		return s
	}
	n.Add("Address", b.Contact)
	n.Add("Expires", max(0, int(b.Expires.Sub(c.now())/time.Second)))
	n.Add("Q", float64(b.Q))
	n.Add("Call-ID", b.CallID)
	n.Add("CSeq", int64(b.CSeq))
	n.Add("User-Agent", or(b.UserAgent))
	n.Add("Received", or(received(b)))
	n.Add("Path", or(strings.Join(b.Path, ", ")))
	n.Add("State", synced)
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

// dumpOpenSIPS returns the reply of ul_dump in OpenSIPS 3 and 4.
func (c commands) dumpOpenSIPS(brief bool) *mi.Node {
	root := &mi.Node{}
	d := list(root, "Domains").Add("", nil)
	d.Add("name", table)
	d.Add("hash_size", shards)
	list(d, "AORs").Stream = c.each(func(a sip.AoR, bs []Binding) *mi.Node {
		u := &mi.Node{}
		u.Add("AOR", userAt(a))
		if !brief {
			c.contactsOpenSIPS(u, bs)
		}
		return u
	})
	return root
}

func (c commands) contactsOpenSIPS(n *mi.Node, bs []Binding) {
	contacts := list(n, "Contacts")
	for i := range bs {
		c.contactOpenSIPS(contacts.Add("", nil), &bs[i])
	}
}

// contactOpenSIPS adds a contact to n, without empty values.
func (c commands) contactOpenSIPS(n *mi.Node, b *Binding) {
	known := func(name, value string) {
		if value != "" {
			n.Add(name, value)
		}
	}
	n.Add("Contact", b.Contact)
	n.Add("ContactID", b.RUID)
	if left := b.Expires.Sub(c.now()); left > forever/2 {
		n.Add("Expires", permanent)
	} else {
		n.Add("Expires", max(0, int(left/time.Second)))
	}
	n.Add("Q", qText(b.Q))
	n.Add("Callid", b.CallID)
	n.Add("Cseq", int64(b.CSeq))
	known("User-agent", b.UserAgent)
	known("Received", received(b))
	known("Path", strings.Join(b.Path, ", "))
	n.Add("State", synced)
	n.Add("Flags", 0)
	n.Add("Cflags", "")
	known("Socket", socket(b))
	n.Add("Methods", allMethods)
	known("SIP_instance", b.Instance)
}

// list adds a list with a name to n and returns it.
func list(n *mi.Node, name string) *mi.Node {
	l := n.Add(name, nil)
	l.List = true
	return l
}

// qText returns a preference as text, "" for the default.
func qText(q float32) string {
	if q == 1 {
		return ""
	}
	return strconv.FormatFloat(float64(q), 'f', 2, 32)
}

// permanent is the expiry of a contact that an administrator added without an end.
const permanent = "permanent"

// expiresText returns the seconds until a binding expires, at least 0, or permanent.
func expiresText(b *Binding, now time.Time) string {
	if b.Expires.Sub(now) > forever/2 {
		return permanent
	}
	return strconv.Itoa(max(0, int(b.Expires.Sub(now)/time.Second)))
}

func orNA(s string) string {
	if s == "" {
		return "n/a"
	}
	return s
}

// received returns the remote end of the flow as a URI, as usrloc writes it.
func received(b *Binding) string {
	if b.Flow.IsZero() {
		return ""
	}
	return "sip:" + b.Flow.Remote.String() + ";transport=" + b.Flow.Transport.String()
}

// socket returns the local end of the flow, as usrloc writes it.
func socket(b *Binding) string {
	if b.Flow.IsZero() {
		return ""
	}
	return b.Flow.Transport.String() + ":" + b.Flow.Local.String()
}
