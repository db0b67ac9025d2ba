package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"silod/address"
	"silod/registrar"
)

// locations implements registrar.Store on Kamailio's table location. What its
// columns cannot say is kept as lines in silod_binding.
type locations struct{ db *DB }

// Locations is the store of bindings.
func (db *DB) Locations() registrar.Store { return locations{db} }

// locationColumns are the columns that this version of the table has, of those
// that we write.
type locationColumns struct {
	info  map[string]columnInfo
	table table
}

// locationFields are what we write, the key first.
var locationFields = []field{
	{name: "ruid"},
	{name: "username"},
	{name: "domain"},
	{name: "contact"},
	{name: "received"},
	{name: "socket"},
	{name: "path"},
	{name: "expires", kind: kindTime},
	{name: "q", kind: kindReal},
	{name: "callid"},
	{name: "cseq", kind: kindInt},
	{name: "last_modified", kind: kindTime},
	{name: "flags", kind: kindInt},
	{name: "cflags", kind: kindInt},
	{name: "user_agent"},
	{name: "methods", kind: kindInt},
	{name: "instance"},
	{name: "reg_id", kind: kindInt},
}

var bindingTable = table{name: "silod_binding", keys: 1, fields: []field{{name: "ruid"}, {name: "extra", kind: kindBytes}}}

func (l *locations) save(changes []registrar.Change) *op {
	return &op{
		join: func(p *plan) { p.bindings = append(p.bindings, changes...) },
		rows: len(changes), bytes: 400 * len(changes),
	}
}

func (l locations) Save(ctx context.Context, changes []registrar.Change) error {
	if len(changes) == 0 {
		return nil
	}
	for i := range changes {
		if err := l.db.location.check(&changes[i]); err != nil {
			return fmt.Errorf("save binding: %w", err)
		}
	}
	if err := l.db.w.do(ctx, l.save(changes)); err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	return nil
}

// check refuses a binding that the table cannot hold.
func (c *locationColumns) check(ch *registrar.Change) error {
	b := &ch.Binding
	if b.RUID == "" || !fits(c.info["ruid"], b.RUID) {
		return fmt.Errorf("%w: no RUID", errInvalid)
	}
	if ch.Removed {
		return nil
	}
	if !fits(c.info["username"], ch.AoR.User) || !fits(c.info["domain"], ch.AoR.Domain) {
		return fmt.Errorf("%w: %s is too long for the table location", errInvalid, ch.AoR)
	}
	if b.Contact == "" || !fits(c.info["contact"], b.Contact) {
		return fmt.Errorf("%w: a contact of %d characters does not fit the table location", errInvalid, utf8.RuneCountInString(b.Contact))
	}
	_, _, err := c.row(ch)
	return err
}

// row makes the table's row and the lines of what it does not say.
func (c *locationColumns) row(ch *registrar.Change) (row []any, lines string, err error) {
	b := &ch.Binding
	var w blockWriter
	// text is the value for a column, and a line where the column does not take it.
	text := func(column, line, value string) string {
		if _, ok := c.info[column]; ok && fits(c.info[column], value) {
			return value
		}
		w.line(line, value)
		return ""
	}
	whole := func(line string, value uint32) int64 {
		if value > math.MaxInt32 {
			w.line(line, strconv.FormatUint(uint64(value), 10))
			return math.MaxInt32
		}
		return int64(value)
	}
	values := map[string]any{
		"ruid": b.RUID, "username": ch.AoR.User, "domain": ch.AoR.Domain, "contact": b.Contact,
		"path": nullable(text("path", "Path", strings.Join(b.Path, ","))), "expires": b.Expires.Unix(),
		"q": float64(b.Q), "callid": text("callid", "Call-ID", b.CallID), "cseq": whole("CSeq", b.CSeq),
		"last_modified": b.Modified.Unix(), "flags": int64(0), "cflags": int64(0),
		"user_agent": text("user_agent", "User-Agent", b.UserAgent), "methods": methodMask(b.Methods),
		"instance": nullable(text("instance", "Instance", b.Instance)), "reg_id": whole("Reg-ID", b.RegID),
	}
	received, socket := flowColumns(b.Flow)
	values["received"], values["socket"] = nullable(received), nullable(socket)
	if flowOf(received, socket) != b.Flow {
		w.line("Flow", b.Flow)
	}
	if values["callid"] == "" {
		values["callid"] = b.RUID // Kamailio refuses a row without
		w.line("Call-ID", b.CallID)
	}
	if q := strconv.FormatFloat(float64(b.Q), 'g', -1, 32); len(q) > len("0.25") {
		w.line("Q", q)
	}
	if b.Methods != methodList(methodMask(b.Methods)) {
		w.line("Methods", b.Methods)
	}
	if b.Params != "" {
		w.line("Params", b.Params)
	}
	if len(b.Path) > 1 {
		for _, p := range b.Path {
			w.line("Path-Value", p)
		}
	}
	for _, f := range c.table.fields {
		row = append(row, values[f.name])
	}
	if w.err != nil {
		return nil, "", fmt.Errorf("%w: %w", errInvalid, w.err)
	}
	return row, w.b.String(), nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// saveBindings writes changes, the last of each RUID. Rows that exist are
// updated in place, not written anew: that would use up the table's ids.
func (db *DB) saveBindings(s *session, changes []registrar.Change) error {
	if len(changes) == 0 {
		return nil
	}
	last := map[string]*registrar.Change{}
	for i := range changes {
		last[changes[i].Binding.RUID] = &changes[i]
	}
	ruids := slices.Sorted(maps.Keys(last))
	there, err := db.existing(s, ruids)
	if err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	var removed, plain []any
	var added, updated, lined [][]any
	for _, ruid := range ruids {
		ch := last[ruid]
		if ch.Removed {
			removed = append(removed, ruid)
			continue
		}
		row, lines, err := db.location.row(ch)
		if err != nil {
			return err
		}
		if there[ruid] {
			updated = append(updated, row)
		} else {
			added = append(added, row)
		}
		if lines != "" {
			lined = append(lined, []any{ruid, []byte(lines)})
		} else {
			plain = append(plain, ruid)
		}
	}
	t := &db.location.table
	_, err = s.deleteAll(t.name, "ruid", removed)
	if err == nil && len(updated) > 0 {
		err = db.d.update(s, t, updated)
	}
	if err == nil && len(added) > 0 {
		_, err = db.d.insert(s, t, added)
	}
	if err == nil && len(lined) > 0 {
		err = db.d.upsert(s, &bindingTable, lined)
	}
	if err == nil {
		_, err = s.deleteAll("silod_binding", "ruid", append(removed, plain...))
	}
	if err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	return nil
}

// existing tells which RUIDs have a row.
func (db *DB) existing(s *session, ruids []string) (map[string]bool, error) {
	cond, args := db.d.list("ruid", 1, anys(ruids))
	rows, err := s.query("SELECT ruid FROM {location} WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var ruid string
		if err := rows.Scan(&ruid); err != nil {
			return nil, err
		}
		there[ruid] = true
	}
	return there, rows.Err()
}

func (l locations) Load(ctx context.Context, now time.Time, f func(address.AoR, registrar.Binding), skip func(error)) error {
	return l.load(ctx, func(a address.AoR, b registrar.Binding) {
		if b.Expires.After(now) {
			f(a, b)
		}
	}, skip)
}

// load reads all bindings, expired ones too.
func (l locations) load(ctx context.Context, f func(address.AoR, registrar.Binding), skip func(error)) error {
	var cols []string
	for _, fd := range l.db.location.table.fields {
		cols = append(cols, "l."+fd.name)
	}
	rows, err := l.db.query(ctx, "SELECT "+strings.Join(cols, ", ")+
		", b.extra FROM {location} l LEFT JOIN silod_binding b ON b.ruid = l.ruid ORDER BY l.id")
	if err != nil {
		return fmt.Errorf("load bindings: %w", busy(err))
	}
	defer rows.Close()
	values := make([]any, len(cols)+1)
	ptrs := make([]any, len(values))
	for i := range values {
		ptrs[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			skip(fmt.Errorf("row of location: %w", err))
			continue
		}
		a, b, err := l.db.binding(values)
		if err != nil {
			skip(fmt.Errorf("row %q of location: %w", b.RUID, err))
			continue
		}
		f(a, b)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load bindings: %w", busy(err))
	}
	return nil
}

// binding reads a row: the columns of the table in order, then our lines.
func (db *DB) binding(values []any) (address.AoR, registrar.Binding, error) {
	v := map[string]any{}
	for i, f := range db.location.table.fields {
		v[f.name] = values[i]
	}
	var b registrar.Binding
	b.RUID, b.Contact, b.CallID = asText(v["ruid"]), asText(v["contact"]), asText(v["callid"])
	b.UserAgent, b.Instance = asText(v["user_agent"]), asText(v["instance"])
	a := owner(asText(v["username"]), strings.ToLower(asText(v["domain"])))
	if a.Domain == "" {
		a.Domain = db.opts.Domain
	}
	if a.User == "" || b.Contact == "" || b.RUID == "" {
		return a, b, errors.New("no user name, contact or ruid")
	}
	if a.Domain == "" {
		return a, b, errors.New("no domain")
	}
	expires, err := db.d.time(v["expires"])
	if err != nil {
		return a, b, fmt.Errorf("expires: %w", err)
	}
	if expires == 0 {
		expires = never // Kamailio's permanent contact
	}
	modified, err := db.d.time(v["last_modified"])
	if err != nil {
		return a, b, fmt.Errorf("last_modified: %w", err)
	}
	b.Expires, b.Modified = time.Unix(expires, 0), time.Unix(modified, 0)
	if b.Q = float32(asFloat(v["q"])); b.Q < 0 || b.Q > 1 {
		b.Q = 1
	}
	b.CSeq, b.RegID = uint32(asInt(v["cseq"])), uint32(asInt(v["reg_id"]))
	if m, ok := v["methods"]; ok && m != nil {
		b.Methods = methodList(asInt(m))
	}
	b.Flow = flowOf(asText(v["received"]), asText(v["socket"]))
	if p := asText(v["path"]); p != "" {
		b.Path = splitPath(p)
	}
	readLines(asText(values[len(values)-1]), &b)
	return a, b, nil
}

// readLines adds what silod_binding has.
func readLines(lines string, b *registrar.Binding) {
	var path []string
	for line := range blockLines(lines) {
		name, value, ok := cutLine(line)
		if !ok {
			continue
		}
		n, _ := strconv.ParseUint(value, 10, 32)
		switch name {
		case "Params":
			b.Params = value
		case "Flow":
			b.Flow = value
		case "Methods":
			b.Methods = value
		case "Call-ID":
			b.CallID = value
		case "User-Agent":
			b.UserAgent = value
		case "Instance":
			b.Instance = value
		case "Path":
			b.Path = []string{value}
		case "Path-Value":
			path = append(path, value)
		case "CSeq":
			b.CSeq = uint32(n)
		case "Reg-ID":
			b.RegID = uint32(n)
		case "Q":
			if q, err := strconv.ParseFloat(value, 32); err == nil {
				b.Q = float32(q)
			}
		}
	}
	if path != nil {
		b.Path = path
	}
}

// splitPath takes Path values apart as Kamailio stores them.
func splitPath(s string) []string {
	list, err := address.ParseList(s)
	if err != nil {
		return []string{s}
	}
	if len(list) == 1 {
		return []string{s}
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}
