package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"silod/registrar"
	"silod/sip"
)

// bindings implements registrar.Store on Kamailio's table location. silod_binding has, as
// lines, the parts of a binding that location has no columns for.
type bindings struct {
	layout *layout
	writer *writer
	reader *reader
}

// bindingFields are the columns that silod writes, the key first.
var bindingFields = []field{
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

// bindingTable has the lines of bindings that location cannot hold completely.
var bindingTable = table{name: "silod_binding", keys: 1, fields: []field{{name: "ruid"}, {name: "extra", kind: kindBytes}}}

// Save implements registrar.Store. It builds all rows before it queues the write, so that a
// call is written completely or refused completely. Errors are errInvalid and errBusy.
func (st *bindings) Save(ctx context.Context, changes []registrar.Change) error {
	if len(changes) == 0 {
		return nil
	}
	rows, size := make([]*bindingRow, len(changes)), 0
	for i := range changes {
		var err error
		if rows[i], err = st.layout.bindings.row(&changes[i], st.layout.kamailioName(changes[i].AoR)); err != nil {
			return fmt.Errorf("save binding: %w", err)
		}
		size += rows[i].size()
	}
	o := &op{
		join: func(p *plan) { p.bindings = append(p.bindings, rows...) },
		rows: len(rows), bytes: size,
	}
	if err := st.writer.do(ctx, o); err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	return nil
}

// saveBindings writes rows, the last one of each RUID. It updates existing rows in place:
// new rows would use up the IDs of the table.
func saveBindings(s *session, rows []*bindingRow) error {
	if len(rows) == 0 {
		return nil
	}
	// PostgreSQL plans a statement that it prepares while the table is empty as a scan, and
	// keeps the plan until the table is analyzed, however many rows are added. In tables of
	// Kamailio 3, which have no index of RUIDs, it has to scan, and must not compile the scan.
	if hint := s.layout.fragments.useIndex; hint != "" {
		if _, err := s.raw(hint); err != nil {
			return fmt.Errorf("save bindings: %w", err)
		}
	}
	last := make(map[string]*bindingRow, len(rows))
	for _, r := range rows {
		last[r.ruid] = r
	}
	ruids := slices.Sorted(maps.Keys(last))
	existing, err := existingBindings(s, ruids)
	if err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	var removed, plain []any
	var added, updated, extra [][]any
	for _, ruid := range ruids {
		r := last[ruid]
		if r.values == nil {
			removed = append(removed, ruid)
			continue
		}
		if existing[ruid] {
			updated = append(updated, r.values)
		} else {
			added = append(added, r.values)
		}
		if r.extra != nil {
			extra = append(extra, []any{ruid, r.extra})
		} else {
			plain = append(plain, ruid)
		}
	}
	t := &s.layout.bindings.table
	err = s.deleteAll(t.name, "ruid", removed)
	if err == nil && len(updated) > 0 {
		err = s.update(t, updated)
	}
	if err == nil && len(added) > 0 {
		_, err = s.insert(t, added)
	}
	if err == nil && len(extra) > 0 {
		err = s.upsert(&bindingTable, extra)
	}
	if err == nil {
		err = s.deleteAll("silod_binding", "ruid", append(removed, plain...))
	}
	if err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	return nil
}

// existingBindings returns those of the RUIDs that have a row.
func existingBindings(s *session, ruids []string) (map[string]bool, error) {
	cond, args := s.layout.dialect.list("ruid", 1, anys(ruids))
	rows, err := s.query("SELECT ruid FROM {location} WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	existing := map[string]bool{}
	for rows.Next() {
		var ruid string
		if err := scan(rows, &ruid); err != nil {
			return nil, err
		}
		existing[ruid] = true
	}
	return existing, rows.Err()
}

// Load implements registrar.Store.
func (st *bindings) Load(
	ctx context.Context, now time.Time, f func(sip.AoR, registrar.Binding), stale func(ruid string), skip func(error),
) error {
	owned, err := st.load(ctx, func(a sip.AoR, b registrar.Binding) {
		switch {
		case b.Expires.After(now):
			f(a, b)
		case strings.HasPrefix(b.RUID, registrar.RUIDPrefix):
			stale(b.RUID)
		}
	}, skip)
	if err != nil {
		return err
	}
	return st.orphans(ctx, owned, stale)
}

// orphans calls f for the rows of silod_binding that are not owned: another program has deleted
// their row of location, as Kamailio does with expired contacts. The database is not asked for
// them, because it could not use the index of a location in another character set.
func (st *bindings) orphans(ctx context.Context, owned map[string]bool, f func(ruid string)) error {
	rows, err := st.reader.query(ctx, "SELECT ruid FROM silod_binding")
	if err != nil {
		return fmt.Errorf("load bindings: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var ruid string
		if err := scan(rows, &ruid); err != nil {
			return fmt.Errorf("load bindings: %w", err)
		}
		if !owned[ruid] {
			f(ruid)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load bindings: %w", busy(err))
	}
	return nil
}

// load calls f for all bindings, and skip for the rows that it cannot read. It returns the
// RUIDs in silod_binding that have a row of location.
func (st *bindings) load(
	ctx context.Context, f func(sip.AoR, registrar.Binding), skip func(error),
) (owned map[string]bool, err error) {
	columns := st.columns()
	rows, err := st.reader.query(ctx, "SELECT "+strings.Join(columns, ", ")+
		", b.ruid, b.extra FROM {location} l LEFT JOIN silod_binding b ON b.ruid = l.ruid ORDER BY l.id")
	if err != nil {
		return nil, fmt.Errorf("load bindings: %w", busy(err))
	}
	defer rows.Close()
	owned = map[string]bool{}
	values := make([]any, len(columns)+2)
	ptrs := make([]any, len(values))
	for i := range values {
		ptrs[i] = &values[i]
	}
	for rows.Next() {
		if err := scan(rows, ptrs...); err != nil {
			skip(fmt.Errorf("row of location: %w", err))
			continue
		}
		if ruid := asText(values[len(columns)]); ruid != "" {
			owned[ruid] = true
		}
		st.read(values, f, skip)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load bindings: %w", busy(err))
	}
	return owned, nil
}

// columns returns the columns of location that silod reads, of the alias l.
func (st *bindings) columns() []string {
	var columns []string
	for _, fd := range st.layout.bindings.table.fields {
		columns = append(columns, "l."+fd.name)
	}
	return columns
}

// read calls f for the binding in a row, or skip if it cannot be read.
func (st *bindings) read(values []any, f func(sip.AoR, registrar.Binding), skip func(error)) {
	a, b, err := st.binding(values)
	if err != nil {
		skip(fmt.Errorf("row %q of location: %w", b.RUID, err))
		return
	}
	f(a, b)
}
