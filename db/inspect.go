package db

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// tableVersions are the versions of Kamailio's tables that silod can use, and those of
// OpenSIPS that have the same columns.
var tableVersions = map[string][]int64{
	"silo": {5, 6, 7, 8}, "imc_rooms": {1, 2}, "imc_members": {1, 2}, "location": {5, 6, 8, 9},
}

// A sharedTable is a table that silod shares with Kamailio.
type sharedTable struct {
	kind, name string                                           // Kamailio's name, and the configured name
	required   []string                                         // columns that every version has and silod needs
	accept     func(map[string]columnInfo) (writtenTo []string) // records the columns in the layout; returns those to try
}

// sharedTables returns the tables that silod shares with Kamailio. silod knows columns by
// their names, and does without those that a version of the table does not have.
func (l *layout) sharedTables() []sharedTable {
	n := l.messages.names
	return []sharedTable{
		{
			"silo", l.messages.table,
			[]string{n.ID, n.From, n.To, n.User, n.Host, n.Body, n.CType, n.Exp, n.Inc, n.Snd},
			func(info map[string]columnInfo) []string {
				l.setMessageColumns(info)
				return l.messages.insert.names()
			},
		},
		{"imc_rooms", l.rooms.rooms.name, []string{"name", "domain", "flag"}, func(info map[string]columnInfo) []string {
			l.rooms.roomColumns = info
			return []string{"flag", "name", "domain"}
		}},
		{"imc_members", l.rooms.members.name, []string{"username", "domain", "room", "flag"}, func(info map[string]columnInfo) []string {
			l.rooms.memberColumns = info
			return []string{"flag", "username", "domain", "room"}
		}},
		{
			"location", l.bindings.table.name,
			[]string{"ruid", "username", "contact", "expires", "q", "callid", "cseq", "last_modified", "flags", "cflags", "user_agent"},
			func(info map[string]columnInfo) []string {
				b := &l.bindings
				b.columns, b.table.keys = info, 1
				b.table.fields = slices.DeleteFunc(slices.Clone(bindingFields), func(f field) bool {
					_, ok := info[f.name]
					return !ok
				})
				return []string{"contact"}
			},
		},
	}
}

// An inspection checks that silod can use the tables of a database, and adds their columns
// to the layout.
type inspection struct {
	layout *layout
	pool   *sql.DB
	log    *slog.Logger
}

// run checks all tables and prepares the engine for them.
func (i *inspection) run(ctx context.Context) error {
	versions, err := i.versions(ctx)
	if err != nil {
		return err
	}
	for _, t := range i.layout.sharedTables() {
		if err := i.table(ctx, &t, versions); err != nil {
			return err
		}
		if text := i.durabilityWarning(ctx, t.name); text != "" {
			i.log.Warn("table not durable", "problem", text)
		}
	}
	if err := i.layout.readUserColumns(ctx, i.pool); err != nil {
		return err
	}
	if err := i.ownTables(ctx); err != nil {
		return err
	}
	return i.layout.dialect.ready(ctx, i.layout, i.pool)
}

// table checks the version and the columns of a table, and the right to write it.
func (i *inspection) table(ctx context.Context, t *sharedTable, versions map[string]int64) error {
	if v, ok := versions[t.name]; ok && !slices.Contains(tableVersions[t.kind], v) {
		return fmt.Errorf("table %s has version %d, silod knows %v: bring it to a known version with Kamailio's kamdbctl, or let `siloctl db init` create the tables in a separate database", t.name, v, tableVersions[t.kind])
	}
	info, err := i.layout.dialect.columns(ctx, i.pool, t.name)
	if err != nil {
		return fmt.Errorf("inspect table %s: %w", t.name, err)
	}
	if info == nil {
		return fmt.Errorf("table %s is missing: `siloctl db init` creates it", t.name)
	}
	if err := t.complete(info); err != nil {
		return err
	}
	return i.tryRights(ctx, t.name, t.accept(info))
}

// complete returns an error if a table lacks a column that silod needs.
func (t *sharedTable) complete(info map[string]columnInfo) error {
	for _, c := range t.required {
		if _, ok := info[c]; !ok {
			return fmt.Errorf("table %s has no column %s: name the column in the configuration, or let `siloctl db init` create the tables in a separate database", t.name, c)
		}
	}
	return nil
}

// ownTables checks the right to write silod's own tables, which an administrator may have
// created.
func (i *inspection) ownTables(ctx context.Context) error {
	own := []*table{
		&metaTable, &stuckTable, &deviceTable, &strangerTable, &bindingTable, &roomTable, &memberTable,
		&cursorTable, &blockTable, &logTable,
		&secretTable,
		{name: "silod_copy", fields: []field{{name: "source"}, {name: "at"}}},
	}
	if i.layout.traits.keyed {
		own = append(own, &table{name: "silod_batch", fields: []field{{name: "batch_key"}, {name: "at"}}})
	}
	for _, t := range own {
		if err := i.tryRights(ctx, t.name, t.names()); err != nil {
			return err
		}
	}
	return nil
}

// durabilityWarning returns why a commit to the table promises less than it should, "" if it
// does not.
func (i *inspection) durabilityWarning(ctx context.Context, table string) (text string) {
	if i.layout.fragments.durabilityWarning == "" {
		return ""
	}
	q := i.layout.dialect.bind(i.layout.fragments.durabilityWarning)
	if err := scan(i.pool.QueryRowContext(ctx, q.text, q.args([]any{table})...), &text); err != nil {
		return "" // no row: the table is durable
	}
	return "table " + table + " " + text
}

// tryRights tries the right to write a table: to find out at the start is better than to
// refuse messages later. None of the statements changes a row.
func (i *inspection) tryRights(ctx context.Context, table string, columns []string) error {
	all, first := strings.Join(columns, ", "), columns[0]
	for _, st := range []string{
		"INSERT INTO " + table + " (" + all + ") SELECT " + all + " FROM " + table + " WHERE 1 = 0",
		"UPDATE " + table + " SET " + first + " = " + first + " WHERE 1 = 0",
		"DELETE FROM " + table + " WHERE 1 = 0",
	} {
		if _, err := i.pool.ExecContext(ctx, st); err != nil {
			return i.layout.dialect.explain(fmt.Errorf("cannot write table %s: %w", table, err))
		}
	}
	return nil
}

// versions returns the versions in Kamailio's table version, by the name of the table.
func (i *inspection) versions(ctx context.Context) (map[string]int64, error) {
	rows, err := i.pool.QueryContext(ctx, "SELECT table_name, table_version FROM version")
	if err != nil {
		return nil, i.layout.dialect.explain(fmt.Errorf("read table version: %w", err))
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var name string
		var v int64
		if err := scan(rows, &name, &v); err != nil {
			return nil, fmt.Errorf("read table version: %w", err)
		}
		out[name] = v
	}
	return out, rows.Err()
}
