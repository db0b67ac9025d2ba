package db

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"silod/sip"
)

// A layout is the engine of a database and the names of its tables and columns. Open
// determines it; afterwards it does not change.
type layout struct {
	dialect   dialect
	traits    traits
	fragments fragments

	messages messageLayout
	bindings bindingLayout
	rooms    roomLayout
	fill     *strings.Replacer // replaces {names} in statements, see replacer

	strangers    *atomic.Bool    // silod_stranger has rows
	domains      sip.Domains     // that of Options
	lowerIndexes map[string]bool // see anySpelling

	standIns    []string // replacements for tables that do not exist, see standIn
	nullDomains bool     // the column domain of subscriber may hold NULL

	createdTables []string // tables, versions and indexes that Open created
	numbering     *numberWatch

	watch func(text string, args []any) // set by tests that look at query plans
}

// A messageLayout is the names of the table silo and of its columns, and which columns
// this version of the table has.
type messageLayout struct {
	table   string
	id      string // the name of the column that numbers the rows
	names   SiloNames
	columns map[string]columnInfo // by name
	headers bool                  // the table has a column for header lines
	callID  bool
	insert  table // the columns in the order of messageRow.values
}

// A bindingLayout is the table location: those of bindingFields that this version has.
type bindingLayout struct {
	columns map[string]columnInfo // by name
	table   table
}

// unixTimes reports whether the times in the table are numbers (Kamailio's expires_type=1).
func (l *bindingLayout) unixTimes() bool { return strings.HasSuffix(l.columns["expires"].kind, "int") }

// A roomLayout is the tables imc_rooms and imc_members under their configured names.
type roomLayout struct {
	rooms, members             table
	roomColumns, memberColumns map[string]columnInfo // by name
}

// newLayout returns a layout as far as the options determine it. nameTables and an
// inspection add what depends on the tables.
func newLayout(d dialect, o *Options) layout {
	l := layout{
		dialect: d, traits: d.traits(), fragments: d.fragments(), domains: o.Domains,
		lowerIndexes: map[string]bool{}, strangers: new(atomic.Bool), numbering: newNumberWatch(),
	}
	l.messages.names, l.messages.table = o.Silo, o.SiloTable
	l.rooms.rooms = table{name: o.roomsTable(), serial: "id", keys: 2, fields: []field{
		{name: "name"}, {name: "domain"}, {name: "flag", kind: kindInt},
	}}
	l.rooms.members = table{name: o.membersTable(), serial: "id", keys: 3, fields: []field{
		{name: "username"}, {name: "domain"}, {name: "room"}, {name: "flag", kind: kindInt},
	}}
	return l
}

// roomsTable returns imc's parameter rooms_table.
func (o *Options) roomsTable() string {
	if o.RoomsTable != "" {
		return o.RoomsTable
	}
	return "imc_rooms"
}

// membersTable returns imc's parameter members_table.
func (o *Options) membersTable() string {
	if o.MembersTable != "" {
		return o.MembersTable
	}
	return "imc_members"
}

// nameTables determines the names that depend on the tables that exist.
func (l *layout) nameTables(ctx context.Context, q querier) error {
	if err := l.nameMessages(ctx, q); err != nil {
		return err
	}
	if err := l.nameBindings(ctx, q); err != nil {
		return err
	}
	l.fill = l.replacer()
	return nil
}

// nameMessages names the table silo and its columns. Names in Options count before those
// of Kamailio. Names are in lower case, as the engines report them.
func (l *layout) nameMessages(ctx context.Context, q querier) error {
	m := &l.messages
	n := m.names
	setDefault := func(s *string, name string) {
		if *s = strings.ToLower(*s); *s == "" {
			*s = name
		}
	}
	setDefault(&m.table, "silo")
	info, err := l.dialect.columns(ctx, q, m.table)
	if err != nil {
		return fmt.Errorf("inspect table %s: %w", m.table, err)
	}
	_, hasMID := info["mid"]
	_, hasID := info["id"]
	if n.ID == "" && hasMID && !hasID {
		n.ID = "mid"
	}
	setDefault(&n.ID, "id")
	setDefault(&n.From, "src_addr")
	setDefault(&n.To, "dst_addr")
	setDefault(&n.User, "username")
	setDefault(&n.Host, "domain")
	setDefault(&n.Body, "body")
	setDefault(&n.CType, "ctype")
	setDefault(&n.Exp, "exp_time")
	setDefault(&n.Inc, "inc_time")
	setDefault(&n.Snd, "snd_time")
	setDefault(&n.Headers, "extra_hdrs")
	setDefault(&n.CallID, "callid")
	m.names, m.id = n, n.ID
	return nil
}

// nameBindings names the table of bindings. Before version 3.3 Kamailio's table location
// has no unique key that silod could use. Then silod has a table under another name.
func (l *layout) nameBindings(ctx context.Context, q querier) error {
	l.bindings.table.name = "location"
	info, err := l.dialect.columns(ctx, q, "location")
	if err != nil {
		return fmt.Errorf("inspect table location: %w", err)
	}
	if _, ok := info["ruid"]; info != nil && !ok {
		l.bindings.table.name = "silod_location"
	}
	return nil
}

// replacer returns the replacements for the {names} in statements:
//
//	{silo} {location} {rooms} {members}   Kamailio's tables under their configured names
//	{id} {from} ... {hdrs} {cid}          columns of silo, see SiloNames
//	{headers} {callid}                    those two columns as a SELECT reads them, or a constant
//	                                      where this version of silo has no such column
//	{owner:N}                             condition: the user name is $N, the domain $N+1
//	{distinct}                            DISTINCT owners of messages
//	{exactfrom}                           the sender, as bytes where the engine ignores case
//	{fullowner}                           the owner as one value
//	{lock}                                locks the rows of silo that a SELECT reads
//
// Where a column may hold NULL, or text in place of a number, the comparisons with it that must
// not miss such a row have another form, see lenient.
//
// Silo's alias is s. Comparisons of names are exact also where the engine ignores case.
func (l *layout) replacer() *strings.Replacer {
	n, f := l.messages.names, &l.fragments
	headers, callID := "NULL", "''"
	if l.messages.headers {
		headers = fmt.Sprintf(f.raw, "s."+n.Headers)
	}
	if l.messages.callID {
		callID = "s." + n.CallID
	}
	pairs := append(append(l.lenient(), l.standIns...), []string{
		"{silo}", l.messages.table, "{location}", l.bindings.table.name, "{rooms}", l.rooms.rooms.name, "{members}", l.rooms.members.name,
		"{id}", n.ID, "{from}", n.From, "{to}", n.To, "{user}", n.User, "{host}", n.Host, "{body}", n.Body,
		"{ctype}", n.CType, "{exp}", n.Exp, "{inc}", n.Inc, "{snd}", n.Snd, "{hdrs}", n.Headers, "{cid}", n.CallID,
		"{headers}", headers, "{callid}", callID, "{lock}", f.forUpdate,
	}...)
	user, host := "s."+n.User, "s."+n.Host
	anyHost := host
	if l.messages.columns[n.Host].nullable {
		anyHost = "COALESCE(" + host + ", '')"
	}
	from := fmt.Sprintf(f.sender, "s."+n.From)
	if l.messages.columns[n.From].nullable {
		from = "COALESCE(" + from + ", '')"
	}
	pairs = append(pairs,
		"{distinct}", "DISTINCT "+user+", "+host+fmt.Sprintf(f.pair, user, host),
		"{exactfrom}", from, "{fullowner}", fmt.Sprintf(f.both, user, anyHost))
	for i := 1; i < 8; i++ {
		hostIs := fmt.Sprintf("%s = $%d", host, i+1) + exactly(f.exact, host, i+1)
		if anyHost != host {
			hostIs = fmt.Sprintf("(%s OR $%d = '' AND %s IS NULL)", hostIs, i+1, host)
		}
		pairs = append(pairs, fmt.Sprintf("{owner:%d}", i),
			fmt.Sprintf("%s = $%d", user, i)+exactly(f.exact, user, i)+" AND "+hostIs)
	}
	return strings.NewReplacer(pairs...)
}

// lenient returns the replacements for comparisons with columns that may hold NULL or text in place
// of a number. A row without a time does not expire and is no reminder, a row without a domain is
// of the main domain, and the rows of side tables find their message by the time that scan reads.
// Other comparisons keep their form, so that an index serves them: they may miss such a row.
func (l *layout) lenient() (pairs []string) {
	n, columns := l.messages.names, l.messages.columns
	for _, c := range []struct{ name, column, compare string }{
		{"{exp}", n.Exp, " <= 0"}, {"{snd}", n.Snd, " = 0"}, {"{snd}", n.Snd, " + 0 = 0"},
	} {
		if columns[c.column].nullable {
			pairs = append(pairs, "s."+c.name+c.compare, "COALESCE(s."+c.column+", 0)"+c.compare)
		}
	}
	inc := fmt.Sprintf(l.fragments.number, "s."+n.Inc)
	if columns[n.Inc].nullable {
		inc = "COALESCE(" + inc + ", 0)"
	}
	pairs = append(pairs, "= s.{inc}", "= "+inc, "s.{inc} =", inc+" =", "SELECT s.{inc}", "SELECT "+inc)
	if columns[n.Host].nullable {
		pairs = append(pairs, "s.{host}", "COALESCE(s."+n.Host+", '')")
	}
	if l.nullDomains {
		pairs = append(pairs, "s.domain", "COALESCE(s.domain, '')")
	}
	return pairs
}

// exactly returns fragments.exact for a column that is compared with parameter n.
func exactly(format, column string, n int) string {
	return strings.ReplaceAll(fmt.Sprintf(format, column), "#", strconv.Itoa(n))
}

// bind returns a statement with its {names} filled in and its parameters in the form of
// the engine.
func (l *layout) bind(text string) query { return l.dialect.bind(l.fill.Replace(text)) }

// setMessageColumns records the columns of the table silo.
func (l *layout) setMessageColumns(info map[string]columnInfo) {
	m := &l.messages
	m.columns = info
	_, m.headers = info[m.names.Headers]
	_, m.callID = info[m.names.CallID]
	l.fill = l.replacer()
	m.insert = m.insertTable()
}

// insertTable returns the columns that silod writes, in the order of messageRow.values.
func (m *messageLayout) insertTable() table {
	n := m.names
	t := table{name: m.table, serial: m.id, fields: []field{
		{name: n.From},
		{name: n.To},
		{name: n.User},
		{name: n.Host},
		{name: n.Inc, kind: kindInt},
		{name: n.Exp, kind: kindInt},
		{name: n.Snd, kind: kindInt},
		{name: n.CType},
		{name: n.Body, kind: kindBytes},
	}}
	if m.headers {
		t.fields = append(t.fields, field{name: n.Headers, kind: kindHeaders})
	}
	if m.callID {
		t.fields = append(t.fields, field{name: n.CallID})
	}
	return t
}
