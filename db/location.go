package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"silod/registrar"
	"silod/sip"
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

// Save checks everything before anything is queued: a call is written whole, or
// refused whole.
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

// saveBindings writes changes, the last of each RUID. Rows that exist are
// updated in place, not written anew: that would use up the table's ids.
func (db *DB) saveBindings(s *session, changes []registrar.Change) error {
	if len(changes) == 0 {
		return nil
	}
	// What PostgreSQL prepares while the table is empty, it plans as a scan of all of it,
	// and does so until the table is analyzed, however many rows have come meanwhile. Where
	// a scan is all there is, as in tables of Kamailio 3, it is not to be compiled for it.
	if db.indexed != "" {
		if _, err := s.raw(db.indexed); err != nil {
			return fmt.Errorf("save bindings: %w", err)
		}
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

func (l locations) Load(ctx context.Context, now time.Time, f func(sip.AoR, registrar.Binding), skip func(error)) error {
	return l.load(ctx, func(a sip.AoR, b registrar.Binding) {
		if b.Expires.After(now) {
			f(a, b)
		}
	}, skip)
}

// load reads all bindings, expired ones too.
func (l locations) load(ctx context.Context, f func(sip.AoR, registrar.Binding), skip func(error)) error {
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
