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

// lack is something that the schema does not have, with the statements that make it.
type lack struct {
	kind lackKind
	name string
	make []string
}

type lackKind int

const (
	lackTable   lackKind = iota // one of Kamailio's tables
	lackVersion                 // a version of our own tables
	lackIndex                   // of ours, on one of Kamailio's tables
)

func (l *lack) String() string {
	return [...]string{"table ", "version of silod's own tables ", "index "}[l.kind] + l.name
}

// migrate makes what is missing; where nothing is, it needs no right to make
// anything. Several daemons may come here at once: the engine's lock lets one
// after the other in, and where there is no such lock (a Galera cluster has none
// for all its servers) the one that comes second goes on with what is still missing.
func (db *DB) migrate(ctx context.Context, pool *sql.DB) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return db.d.explain(err)
	}
	defer conn.Close()
	if err := db.nameColumns(ctx, conn); err != nil {
		return err
	}
	lacks, err := db.missing(ctx, conn)
	for err == nil && len(lacks) > 0 {
		if i := slices.IndexFunc(lacks, func(l lack) bool { return l.kind == lackTable }); i >= 0 && db.opts.ownOnly {
			return fmt.Errorf("no table %s: `siloctl db init` makes it", lacks[i].name)
		}
		failed := db.complete(ctx, conn)
		var left []lack
		if left, err = db.missing(ctx, conn); err != nil || len(left) == 0 {
			break
		}
		if !slices.ContainsFunc(left, func(l lack) bool { return l.kind != lackIndex }) {
			db.log.Warn("an index is missing, large mailboxes will be slow; `siloctl db migrate` makes it",
				"index", left[0].name, "error", failed)
			break
		}
		if len(left) >= len(lacks) {
			return failed
		}
		lacks = left
	}
	return err
}

// complete makes everything that is missing while nobody else does. An index that
// cannot be made stops nothing: silod works without, slower.
func (db *DB) complete(ctx context.Context, conn querier) (err error) {
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
	for _, text := range db.schemaBegin {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return db.d.explain(err)
		}
	}
	lacks, err := db.missing(ctx, conn)
	if err != nil {
		return err
	}
	var made []string
	var noIndex error
	for i := range lacks {
		l := &lacks[i]
		switch err := db.supply(ctx, conn, l); {
		case err == nil:
			made = append(made, l.String())
		case l.kind != lackIndex:
			return err
		default:
			noIndex = err
		}
	}
	db.made = append(db.made, made...)
	if noIndex != nil {
		db.log.Debug("cannot make an index", "error", noIndex)
	}
	return nil
}

// supply makes one thing. A failure must not end the transaction, where there is one.
func (db *DB) supply(ctx context.Context, conn querier, l *lack) error {
	if l.kind == lackIndex {
		_, _ = conn.ExecContext(ctx, "SAVEPOINT make_index")
	}
	for _, st := range l.make {
		if _, err := conn.ExecContext(ctx, st); err != nil {
			if l.kind == lackIndex {
				_, _ = conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT make_index")
			}
			return db.d.explain(fmt.Errorf("make %s: %s: %w", l, firstLine(st), err))
		}
	}
	if l.kind != lackVersion {
		return nil
	}
	q := db.d.bind("INSERT INTO silod_schema (version, at) VALUES ($1, $2)")
	if _, err := conn.ExecContext(ctx, q.text, l.name, db.now().Unix()); err != nil {
		return db.d.explain(fmt.Errorf("make %s: %w", l, err))
	}
	return nil
}

// missing looks for everything that the schema files name, and changes nothing.
func (db *DB) missing(ctx context.Context, q querier) ([]lack, error) {
	var all []lack
	for _, look := range []func(context.Context, querier) ([]lack, error){db.missingTables, db.missingVersions, db.missingIndexes} {
		lacks, err := look(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, lacks...)
	}
	return all, nil
}

// missingTables are those of Kamailio's. With a table come its indexes and its
// version row, without which Kamailio does not start.
func (db *DB) missingTables(ctx context.Context, q querier) ([]lack, error) {
	var lacks []lack
	missing := false
	for _, st := range db.statements("kamailio.sql") {
		if rest, ok := strings.CutPrefix(st, "-- table "); ok {
			line, create, _ := strings.Cut(rest, "\n")
			name, version, _ := strings.Cut(line, " ")
			info, err := db.d.columns(ctx, q, name)
			if err != nil {
				return nil, fmt.Errorf("look at table %s: %w", name, err)
			}
			if missing = info == nil; missing {
				l := lack{kind: lackTable, name: name, make: []string{create}}
				if version != "" {
					l.make = append(l.make, "DELETE FROM version WHERE table_name = '"+name+"'",
						"INSERT INTO version (table_name, table_version) VALUES ('"+name+"', "+version+")")
				}
				lacks = append(lacks, l)
			}
		} else if missing {
			last := &lacks[len(lacks)-1]
			last.make = append(last.make, st)
		}
	}
	return lacks, nil
}

// missingVersions are those of our own tables. A version that is not known stays as
// it is: a newer silod may keep something there that we would lose.
func (db *DB) missingVersions(ctx context.Context, q querier) ([]lack, error) {
	info, err := db.d.columns(ctx, q, "silod_schema")
	var done []int64
	if err == nil && info != nil {
		done, err = scanInts(q.QueryContext(ctx, "SELECT version FROM silod_schema"))
	}
	if err != nil {
		return nil, db.d.explain(fmt.Errorf("read silod_schema: %w", err))
	}
	var lacks []lack
	newest := db.newest()
	for v := range newest {
		if !slices.Contains(done, v+1) {
			lacks = append(lacks, lack{lackVersion, strconv.FormatInt(v+1, 10), db.statements(fmt.Sprintf("%03d.sql", v+1))})
		}
	}
	for _, v := range done {
		if v > newest {
			return nil, fmt.Errorf("schema version %d of this database is newer than this silod knows (%d): use the silod that made it, or another db.url", v, newest)
		}
	}
	return lacks, nil
}

// newest is the version of our own tables that this silod makes.
func (db *DB) newest() int64 {
	files, err := schemas.ReadDir(path.Join("schema", db.d.schema()))
	if err != nil {
		panic(err) // embedded
	}
	newest := int64(0)
	for _, f := range files {
		if v, err := strconv.ParseInt(strings.TrimSuffix(f.Name(), ".sql"), 10, 64); err == nil {
			newest = max(newest, v)
		}
	}
	return newest
}

// missingIndexes are those of ours on Kamailio's tables.
func (db *DB) missingIndexes(ctx context.Context, q querier) ([]lack, error) {
	var lacks []lack
	for _, st := range db.statements("indexes.sql") {
		words := strings.Fields(st)
		on := slices.Index(words, "ON")
		name, table := words[on-1], words[on+1]
		has := db.d.bind(db.hasIndex)
		there, err := scanInts(q.QueryContext(ctx, has.text, has.args([]any{table, name})...))
		if err != nil {
			return nil, fmt.Errorf("look for index %s: %w", name, err)
		}
		if len(there) == 0 {
			lacks = append(lacks, lack{lackIndex, name, []string{st}})
		}
	}
	return lacks, nil
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

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSuffix(line, " (")
}
