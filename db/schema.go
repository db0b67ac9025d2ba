package db

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// replacer fills in {names} in a statement.
type replacer = *strings.Replacer

// known versions of Kamailio's tables (OpenSIPS's, where it has the columns).
var tableVersions = map[string][]int64{
	"silo": {5, 6, 7, 8}, "imc_rooms": {1, 2}, "imc_members": {1, 2}, "location": {5, 6, 8, 9},
}

// nameColumns settles the names of the table silo and its columns.
func (db *DB) nameColumns(ctx context.Context, q querier) error {
	n := db.opts.Silo
	def := func(s *string, name string) {
		if *s = strings.ToLower(*s); *s == "" {
			*s = name
		}
	}
	c := &db.silo
	c.table = db.opts.SiloTable
	def(&c.table, "silo")
	info, err := db.d.columns(ctx, q, c.table)
	if err != nil {
		return fmt.Errorf("look at table %s: %w", c.table, err)
	}
	_, hasMID := info["mid"]
	_, hasID := info["id"]
	if n.ID == "" && hasMID && !hasID {
		n.ID = "mid"
	}
	def(&n.ID, "id")
	def(&n.From, "src_addr")
	def(&n.To, "dst_addr")
	def(&n.User, "username")
	def(&n.Host, "domain")
	def(&n.Body, "body")
	def(&n.CType, "ctype")
	def(&n.Exp, "exp_time")
	def(&n.Inc, "inc_time")
	def(&n.Snd, "snd_time")
	def(&n.Headers, "extra_hdrs")
	def(&n.CallID, "callid")
	c.names, c.id = n, n.ID
	return db.chooseLocation(ctx, q)
}

// chooseLocation is for Kamailio before 3.3, whose table location has no key that
// we could use: then ours has another name.
func (db *DB) chooseLocation(ctx context.Context, q querier) error {
	db.location.table.name = "location"
	info, err := db.d.columns(ctx, q, "location")
	if err != nil {
		return fmt.Errorf("look at table location: %w", err)
	}
	if _, ok := info["ruid"]; info != nil && !ok {
		db.location.table.name = "silod_location"
	}
	db.fill = db.names()
	return nil
}

// names fills in what statements on Kamailio's tables leave open.
func (db *DB) names() replacer {
	n := db.silo.names
	headers, callID := "NULL", "''"
	if db.silo.headers {
		headers = fmt.Sprintf(db.raw, "s."+n.Headers)
	}
	if db.silo.callID {
		callID = "s." + n.CallID
	}
	pairs := []string{
		"{silo}", db.silo.table, "{location}", db.location.table.name, "{rooms}", db.roomsTable(), "{members}", db.membersTable(),
		"{id}", n.ID, "{from}", n.From, "{to}", n.To, "{user}", n.User, "{host}", n.Host, "{body}", n.Body,
		"{ctype}", n.CType, "{exp}", n.Exp, "{inc}", n.Inc, "{snd}", n.Snd, "{hdrs}", n.Headers, "{cid}", n.CallID,
		"{headers}", headers, "{callid}", callID, "{lock}", db.forUpdate,
	}
	user, host := "s."+n.User, "s."+n.Host
	pairs = append(pairs,
		"{distinct}", "DISTINCT "+user+", "+host+fmt.Sprintf(db.pair, user, host), "{grouped}", "ORDER BY "+user+", "+host,
		"{fullowner}", fmt.Sprintf(db.both, user, host),
		"{account:1}", "s.username = $1 AND s.domain = $2"+exactly(db.exact, "s.username", 1))
	for i := 1; i < 8; i++ {
		pairs = append(pairs, fmt.Sprintf("{owner:%d}", i),
			fmt.Sprintf("%s = $%d AND %s = $%d", user, i, host, i+1)+exactly(db.exact, user, i))
	}
	return strings.NewReplacer(pairs...)
}

// exactly fills in words.exact.
func exactly(format, column string, n int) string {
	return strings.ReplaceAll(fmt.Sprintf(format, column), "#", strconv.Itoa(n))
}

// sharedTable is a table that may be Kamailio's, with what silod needs of it.
type sharedTable struct {
	kind, name string // Kamailio's name for it, and its name here
	need       []string
	take       func(map[string]columnInfo) (writes []string) // settles what the table can hold
}

// shared are the tables that silod has in common with Kamailio. Columns are known by
// their names, and those that a version does not have are done without.
func (db *DB) shared() []sharedTable {
	n := db.silo.names
	return []sharedTable{
		{
			"silo", db.silo.table,
			[]string{n.ID, n.From, n.To, n.User, n.Host, n.Body, n.CType, n.Exp, n.Inc, n.Snd},
			func(info map[string]columnInfo) []string {
				c := &db.silo
				c.info = info
				_, c.headers = c.info[n.Headers]
				_, c.callID = c.info[n.CallID]
				db.fill = db.names()
				db.siloTable = c.bulk()
				return db.siloTable.names()
			},
		},
		{"imc_rooms", db.roomsTable(), []string{"name", "domain", "flag"}, func(info map[string]columnInfo) []string {
			db.roomInfo = info
			return []string{"flag", "name", "domain"}
		}},
		{"imc_members", db.membersTable(), []string{"username", "domain", "room", "flag"}, func(info map[string]columnInfo) []string {
			db.memberInfo = info
			return []string{"flag", "username", "domain", "room"}
		}},
		{
			"location", db.location.table.name,
			[]string{"ruid", "username", "contact", "expires", "q", "callid", "cseq", "last_modified", "flags", "cflags", "user_agent"},
			func(info map[string]columnInfo) []string {
				l := &db.location
				l.info, l.table.keys = info, 1
				l.table.fields = slices.DeleteFunc(slices.Clone(locationFields), func(f field) bool {
					_, ok := l.info[f.name]
					return !ok
				})
				return []string{"contact"}
			},
		},
	}
}

// inspect checks the tables that may be Kamailio's.
func (db *DB) inspect(ctx context.Context) error {
	versions, err := db.versions(ctx)
	if err != nil {
		return err
	}
	for _, t := range db.shared() {
		if err := db.inspectTable(ctx, &t, versions); err != nil {
			return err
		}
		if weak := db.weak(ctx, t.name); weak != "" {
			db.log.Warn("a table is not safe", "problem", weak)
		}
	}
	if err := db.tryOwn(ctx); err != nil {
		return err
	}
	return db.d.ready(ctx, db)
}

// tryOwn tries our rights to the tables that are ours alone: somebody else may have
// made them.
func (db *DB) tryOwn(ctx context.Context) error {
	own := []*table{
		&metaTable, &stuckTable, &deviceTable, &bindingTable, &roomTable, &memberTable, &cursorTable, &logTable, &secretTable,
		{name: "silod_copy", fields: []field{{name: "source"}, {name: "at"}}},
	}
	if db.keyed {
		own = append(own, &table{name: "silod_batch", fields: []field{{name: "batch_key"}, {name: "at"}}})
	}
	for _, t := range own {
		if err := db.tryRights(ctx, t.name, t.names()); err != nil {
			return err
		}
	}
	return nil
}

// weak tells of a table that keeps less than a commit promises.
func (db *DB) weak(ctx context.Context, table string) (text string) {
	if db.weakness == "" {
		return ""
	}
	q := db.d.bind(db.weakness)
	if err := db.read.QueryRowContext(ctx, q.text, q.args([]any{table})...).Scan(&text); err != nil {
		return "" // there is nothing to tell
	}
	return "table " + table + " " + text
}

// inspectTable checks one table: its version, its columns, and our rights.
func (db *DB) inspectTable(ctx context.Context, t *sharedTable, versions map[string]int64) error {
	if v, ok := versions[t.name]; ok && !slices.Contains(tableVersions[t.kind], v) {
		return fmt.Errorf("table %s has version %d, silod knows %v: bring it to a known version with Kamailio's kamdbctl, or let `siloctl db init` make the tables in a database of their own", t.name, v, tableVersions[t.kind])
	}
	info, err := db.d.columns(ctx, db.read, t.name)
	if err != nil {
		return fmt.Errorf("look at table %s: %w", t.name, err)
	}
	if info == nil {
		return fmt.Errorf("no table %s: `siloctl db init` makes it", t.name)
	}
	for _, c := range t.need {
		if _, ok := info[c]; !ok {
			return fmt.Errorf("table %s has no column %s: name the column in the configuration, or let `siloctl db init` make the tables in a database of their own", t.name, c)
		}
	}
	return db.tryRights(ctx, t.name, t.take(info))
}

// tryRights finds out whether a table can be written, before a message depends on
// it. None of the statements changes a row.
func (db *DB) tryRights(ctx context.Context, table string, columns []string) error {
	all, first := strings.Join(columns, ", "), columns[0]
	for _, st := range []string{
		"INSERT INTO " + table + " (" + all + ") SELECT " + all + " FROM " + table + " WHERE 1 = 0",
		"UPDATE " + table + " SET " + first + " = " + first + " WHERE 1 = 0",
		"DELETE FROM " + table + " WHERE 1 = 0",
	} {
		if _, err := db.write.ExecContext(ctx, st); err != nil {
			return db.d.explain(fmt.Errorf("cannot write table %s: %w", table, err))
		}
	}
	return nil
}

// versions reads Kamailio's table of table versions.
func (db *DB) versions(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	rows, err := db.read.QueryContext(ctx, "SELECT table_name, table_version FROM version")
	if err != nil {
		return nil, db.d.explain(fmt.Errorf("read table version: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var v int64
		if err := rows.Scan(&name, &v); err != nil {
			return nil, fmt.Errorf("read table version: %w", err)
		}
		out[name] = v
	}
	return out, rows.Err()
}

// bulk describes the writes to the table, in the order of siloRow.values.
func (c *siloColumns) bulk() table {
	n := c.names
	t := table{name: c.table, serial: c.id, fields: []field{
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
	if c.headers {
		t.fields = append(t.fields, field{name: n.Headers, kind: kindHeaders})
	}
	if c.callID {
		t.fields = append(t.fields, field{name: n.CallID})
	}
	return t
}
