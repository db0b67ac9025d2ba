package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Each engine has a folder: kamailio.sql makes Kamailio's tables, one by one and
// only where they are missing; 001.sql and so on make ours, each once;
// indexes.sql adds the indexes that our reads need to Kamailio's tables, every
// time. All statements can be repeated.
//
//go:embed schema
var schemas embed.FS

// replacer fills in {names} in a statement.
type replacer = *strings.Replacer

// known versions of Kamailio's tables (OpenSIPS's, where it has the columns).
var tableVersions = map[string][]int64{
	"silo": {5, 6, 7, 8}, "imc_rooms": {1, 2}, "imc_members": {1, 2}, "location": {5, 6, 8, 9},
}

// migrate makes what is missing. Several daemons may do so at once: the engine's
// lock lets one after the other in.
func (db *DB) migrate(ctx context.Context, pool *sql.DB) (err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return db.d.explain(err)
	}
	defer conn.Close()
	for _, text := range db.schemaBegin {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return db.d.explain(err)
		}
	}
	defer func() {
		end := db.schemaEnd
		if err != nil {
			end = db.schemaUndo
		}
		for _, text := range end {
			if _, eerr := conn.ExecContext(context.WithoutCancel(ctx), text); eerr != nil && err == nil {
				err = fmt.Errorf("unlock schema: %w", eerr)
			}
		}
	}()
	if err := db.nameColumns(ctx, conn); err != nil {
		return err
	}
	if err := db.makeKamailio(ctx, conn); err != nil {
		return err
	}
	if err := db.makeOwn(ctx, conn); err != nil {
		return err
	}
	return db.makeIndexes(ctx, conn)
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

// statements splits a schema file. No statement of ours has a semicolon inside.
func (db *DB) statements(file string) []string {
	text, err := schemas.ReadFile(path.Join("schema", db.d.schema(), file))
	if err != nil {
		panic(err) // embedded
	}
	var out []string
	for st := range strings.SplitSeq(db.fill.Replace(string(text)), ";\n") {
		if st = strings.TrimSpace(st); st != "" {
			out = append(out, st)
		}
	}
	return out
}

// makeKamailio creates those of Kamailio's tables that are missing, with the
// version rows without which Kamailio does not start.
func (db *DB) makeKamailio(ctx context.Context, q querier) error {
	missing := false
	for _, st := range db.statements("kamailio.sql") {
		if rest, ok := strings.CutPrefix(st, "-- table "); ok {
			line, create, _ := strings.Cut(rest, "\n")
			name, version, _ := strings.Cut(line, " ")
			info, err := db.d.columns(ctx, q, name)
			if err != nil {
				return fmt.Errorf("look at table %s: %w", name, err)
			}
			if missing = info == nil; !missing {
				continue
			}
			if version != "" {
				create += versionRow(name, version)
			}
			st = create
		}
		if !missing {
			continue
		}
		for part := range strings.SplitSeq(st, ";\n") {
			if _, err := q.ExecContext(ctx, part); err != nil {
				return db.d.explain(fmt.Errorf("%s: %w", firstLine(part), err))
			}
		}
	}
	return nil
}

func versionRow(name, version string) string {
	return ";\nDELETE FROM version WHERE table_name = '" + name + "'" +
		";\nINSERT INTO version (table_name, table_version) VALUES ('" + name + "', " + version + ")"
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSuffix(line, " (")
}

// makeOwn brings our own tables to the newest version. A version that is not known
// is left alone: a newer silod may keep something there that we would lose.
func (db *DB) makeOwn(ctx context.Context, conn querier) error {
	done, err := scanInts(conn.QueryContext(ctx, "SELECT version FROM silod_schema"))
	if err != nil {
		return db.d.explain(fmt.Errorf("read silod_schema: %w", err))
	}
	files, err := schemas.ReadDir(path.Join("schema", db.d.schema()))
	if err != nil {
		panic(err) // embedded
	}
	newest := int64(0)
	for _, f := range files {
		v, err := strconv.ParseInt(strings.TrimSuffix(f.Name(), ".sql"), 10, 64)
		if err != nil {
			continue
		}
		newest = max(newest, v)
		if slices.Contains(done, v) {
			continue
		}
		for _, st := range db.statements(f.Name()) {
			if _, err := conn.ExecContext(ctx, st); err != nil {
				return db.d.explain(fmt.Errorf("migrate schema to %d: %s: %w", v, firstLine(st), err))
			}
		}
		q := db.d.bind("INSERT INTO silod_schema (version, at) VALUES ($1, $2)")
		if _, err := conn.ExecContext(ctx, q.text, v, db.now().Unix()); err != nil {
			return db.d.explain(fmt.Errorf("migrate schema to %d: %w", v, err))
		}
	}
	for _, v := range done {
		if v > newest {
			return fmt.Errorf("schema version %d of this database is newer than this silod knows (%d): use the silod that made it, or another db.url", v, newest)
		}
	}
	return nil
}

// makeIndexes adds our indexes to Kamailio's tables. Where that is not allowed
// silod works without them, slower.
func (db *DB) makeIndexes(ctx context.Context, conn querier) error {
	for _, st := range db.statements("indexes.sql") {
		if err := db.d.index(ctx, conn, st); err != nil {
			db.log.Warn("cannot make an index, large mailboxes will be slow", "statement", st, "error", err)
		}
	}
	return nil
}

// inspect checks the tables that may be Kamailio's and settles what they can hold:
// columns are known by their names, and those that a version does not have are done
// without.
func (db *DB) inspect(ctx context.Context) error {
	versions, err := db.versions(ctx)
	if err != nil {
		return err
	}
	look := func(kind, table string, need ...string) (map[string]columnInfo, error) {
		if v, ok := versions[table]; ok && !slices.Contains(tableVersions[kind], v) {
			return nil, fmt.Errorf("table %s has version %d, silod knows %v: bring it to a known version with Kamailio's kamdbctl, or let `siloctl db init` make the tables in a database of their own", table, v, tableVersions[kind])
		}
		info, err := db.d.columns(ctx, db.read, table)
		if err != nil {
			return nil, fmt.Errorf("look at table %s: %w", table, err)
		}
		if info == nil {
			return nil, fmt.Errorf("no table %s: `siloctl db init` makes it", table)
		}
		for _, c := range need {
			if _, ok := info[c]; !ok {
				return nil, fmt.Errorf("table %s has no column %s: name the column in the configuration, or let `siloctl db init` make the tables in a database of their own", table, c)
			}
		}
		return info, nil
	}
	c, n := &db.silo, db.silo.names
	if c.info, err = look("silo", c.table, n.ID, n.From, n.To, n.User, n.Host, n.Body, n.CType, n.Exp, n.Inc, n.Snd); err != nil {
		return err
	}
	_, c.headers = c.info[n.Headers]
	_, c.callID = c.info[n.CallID]
	db.fill = db.names()
	db.siloTable = c.bulk()
	if db.roomInfo, err = look("imc_rooms", db.roomsTable(), "name", "domain", "flag"); err != nil {
		return err
	}
	if db.memberInfo, err = look("imc_members", db.membersTable(), "username", "domain", "room", "flag"); err != nil {
		return err
	}
	l := &db.location
	l.info, err = look("location", l.table.name, "ruid", "username", "contact", "expires", "q", "callid", "cseq",
		"last_modified", "flags", "cflags", "user_agent")
	if err != nil {
		return err
	}
	l.table.keys = 1
	l.table.fields = slices.DeleteFunc(slices.Clone(locationFields), func(f field) bool {
		_, ok := l.info[f.name]
		return !ok
	})
	if err := db.tryRights(ctx); err != nil {
		return err
	}
	return db.d.ready(ctx, db)
}

// tryRights finds out whether the tables can be written, before a message depends
// on it. None of the statements changes a row.
func (db *DB) tryRights(ctx context.Context) error {
	for table, columns := range map[string]string{
		db.silo.table: strings.Join(db.siloTable.names(), ", "), db.location.table.name: "contact",
		db.roomsTable(): "flag, name, domain", db.membersTable(): "flag, username, domain, room",
	} {
		first, _, _ := strings.Cut(columns, ",")
		for _, st := range []string{
			"INSERT INTO " + table + " (" + columns + ") SELECT " + columns + " FROM " + table + " WHERE 1 = 0",
			"UPDATE " + table + " SET " + first + " = " + first + " WHERE 1 = 0",
			"DELETE FROM " + table + " WHERE 1 = 0",
		} {
			if _, err := db.write.ExecContext(ctx, st); err != nil {
				return db.d.explain(fmt.Errorf("cannot write table %s: %w", table, err))
			}
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
