package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Each engine has a folder. kamailio.sql has Kamailio's tables, each after a comment with its
// name and the version for Kamailio's table version. 001.sql and so on have the versions of
// silod's own tables. indexes.sql has the indexes on tables that may be large already, those of
// Kamailio, which are created while other programs write the tables. A migration runs the
// statements of the parts that are missing. The statements of versions and indexes can be
// repeated.
//
//go:embed schema
var schemas embed.FS

// A missingPart is a part of the schema that a database does not have, with the statements
// that create it.
type missingPart struct {
	kind   missingKind
	name   string
	table  string // of an index
	create []string
}

// A missingKind is the kind of a missing part.
type missingKind int

const (
	missingTable   missingKind = iota // one of Kamailio's tables
	missingVersion                    // a version of silod's own tables
	missingIndex                      // of silod, on one of Kamailio's tables
)

// String returns the kind and the name, for reports to administrators.
func (m *missingPart) String() string {
	return [...]string{"table ", "version of silod's own tables ", "index "}[m.kind] + m.name
}

// A migration creates the missing parts of a schema.
type migration struct {
	layout  *layout
	log     *slog.Logger
	now     func() time.Time
	ownOnly bool // create none of Kamailio's tables

	patience time.Duration  // see createIndexes
	progress func(Indexing) // may be nil
	created  []string       // the created parts
}

// run creates the missing parts of the schema. It needs the right to create only if a part
// is missing.
func (m *migration) run(ctx context.Context, pool *sql.DB) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return m.layout.dialect.explain(err)
	}
	defer conn.Close()
	if err := m.layout.nameTables(ctx, conn); err != nil {
		return err
	}
	if err := m.createTables(ctx, conn); err != nil {
		return err
	}
	return m.createIndexes(ctx, conn)
}

// createTables creates the missing tables. Several daemons may do so at the same time: a lock
// of the engine lets one of them work. A Galera cluster has no lock for all its servers. There
// it may fail because another daemon has created a part, and continues with those that are
// still missing, as long as they become fewer.
func (m *migration) createTables(ctx context.Context, conn querier) error {
	parts, err := m.layout.missingParts(ctx, conn)
	for err == nil && len(parts) > 0 {
		if i := slices.IndexFunc(parts, func(p missingPart) bool { return p.kind == missingTable }); i >= 0 && m.ownOnly {
			return fmt.Errorf("table %s is missing: `siloctl db init` creates it", parts[i].name)
		}
		failed := m.createAll(ctx, conn)
		var left []missingPart
		if left, err = m.layout.missingParts(ctx, conn); err == nil && len(left) >= len(parts) {
			return failed
		}
		parts = left
	}
	return err
}

// createAll creates all missing tables under the lock of the engine.
func (m *migration) createAll(ctx context.Context, conn querier) (err error) {
	f := &m.layout.fragments
	defer func() {
		end := f.schemaEnd
		if err != nil {
			end = f.schemaUndo
		}
		for _, text := range end {
			if _, eerr := conn.ExecContext(context.WithoutCancel(ctx), text); eerr != nil && err == nil {
				err = fmt.Errorf("unlock schema: %w", eerr)
			}
		}
	}()
	for _, text := range f.schemaBegin {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return m.layout.dialect.explain(err)
		}
	}
	parts, err := m.layout.missingParts(ctx, conn)
	if err != nil {
		return err
	}
	var created []string
	for i := range parts {
		if err := m.create(ctx, conn, &parts[i]); err != nil {
			return err
		}
		created = append(created, parts[i].String())
	}
	m.created = append(m.created, created...)
	return nil
}

// create creates one part.
func (m *migration) create(ctx context.Context, conn querier, p *missingPart) error {
	for _, st := range p.create {
		exists, err := m.layout.hasColumnOf(ctx, conn, st)
		if err == nil && !exists {
			if _, err = conn.ExecContext(ctx, st); err != nil {
				// Without a lock another daemon may have added the column since.
				if added, again := m.layout.hasColumnOf(ctx, conn, st); again == nil && added {
					err = nil
				}
			}
		}
		if err != nil {
			return m.layout.dialect.explain(fmt.Errorf("create %s: %s: %w", p, firstLine(st), err))
		}
	}
	if p.kind != missingVersion {
		return nil
	}
	q := m.layout.dialect.bind("INSERT INTO silod_schema (version, at) VALUES ($1, $2)")
	if _, err := conn.ExecContext(ctx, q.text, p.name, m.now().Unix()); err != nil {
		return m.layout.dialect.explain(fmt.Errorf("create %s: %w", p, err))
	}
	return nil
}

var addColumn = regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (\w+) `)

// hasColumnOf reports whether the column that a statement adds exists: after a downgrade, or after
// an upgrade that ended early in an engine without transactions for tables.
func (l *layout) hasColumnOf(ctx context.Context, q querier, st string) (bool, error) {
	names := addColumn.FindStringSubmatch(st)
	if names == nil {
		return false, nil
	}
	info, err := l.dialect.columns(ctx, q, names[1])
	_, exists := info[names[2]]
	return exists, err
}

// missing returns the parts of the schema files that the database does not have.
func (l *layout) missing(ctx context.Context, q querier) ([]missingPart, error) {
	parts, err := l.missingParts(ctx, q)
	if err != nil {
		return nil, err
	}
	indexes, err := l.missingIndexes(ctx, q)
	return append(parts, indexes...), err
}

// missingParts returns the parts that createTables creates: all but the indexes.
func (l *layout) missingParts(ctx context.Context, q querier) ([]missingPart, error) {
	tables, err := l.missingTables(ctx, q)
	if err != nil {
		return nil, err
	}
	versions, err := l.missingVersions(ctx, q)
	return append(tables, versions...), err
}

// missingTables returns the missing tables of Kamailio, each with its indexes and its row
// of version. Without that row Kamailio does not start.
func (l *layout) missingTables(ctx context.Context, q querier) ([]missingPart, error) {
	var parts []missingPart
	absent := false
	for _, st := range l.statements("kamailio.sql") {
		if rest, ok := strings.CutPrefix(st, "-- table "); ok {
			line, create, _ := strings.Cut(rest, "\n")
			name, version, _ := strings.Cut(line, " ")
			info, err := l.dialect.columns(ctx, q, name)
			if err != nil {
				return nil, fmt.Errorf("inspect table %s: %w", name, err)
			}
			if absent = info == nil; absent {
				p := missingPart{kind: missingTable, name: name, create: []string{create}}
				if version != "" {
					p.create = append(p.create, "DELETE FROM version WHERE table_name = '"+name+"'",
						"INSERT INTO version (table_name, table_version) VALUES ('"+name+"', "+version+")")
				}
				parts = append(parts, p)
			}
		} else if absent {
			last := &parts[len(parts)-1]
			last.create = append(last.create, st)
		}
	}
	return parts, nil
}

// missingVersions returns the missing versions of silod's own tables. It refuses a
// database with a later version: a newer silod may keep data there that this one would
// lose.
func (l *layout) missingVersions(ctx context.Context, q querier) ([]missingPart, error) {
	info, err := l.dialect.columns(ctx, q, "silod_schema")
	var existing []int64
	if err == nil && info != nil {
		existing, err = scanInts(q.QueryContext(ctx, "SELECT version FROM silod_schema"))
	}
	if err != nil {
		return nil, l.dialect.explain(fmt.Errorf("read silod_schema: %w", err))
	}
	var parts []missingPart
	newest := l.newestVersion()
	for v := range newest {
		if !slices.Contains(existing, v+1) {
			create := l.statements(fmt.Sprintf("%03d.sql", v+1))
			parts = append(parts, missingPart{kind: missingVersion, name: strconv.FormatInt(v+1, 10), create: create})
		}
	}
	for _, v := range existing {
		if v > newest {
			return nil, fmt.Errorf("schema version %d of this database is newer than this silod knows (%d): use the silod that created it, or set another db.url", v, newest)
		}
	}
	return parts, nil
}

// newestVersion returns the version of silod's own tables that this silod creates.
func (l *layout) newestVersion() int64 {
	files, err := schemas.ReadDir(path.Join("schema", l.dialect.schema()))
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

// statements returns the statements of a schema file. None of them contains a semicolon.
func (l *layout) statements(file string) []string {
	text, err := schemas.ReadFile(path.Join("schema", l.dialect.schema(), file))
	if err != nil {
		panic(err) // embedded
	}
	var out []string
	for st := range strings.SplitSeq(l.fill.Replace(string(text)), ";\n") {
		if st = strings.TrimSpace(st); st != "" {
			out = append(out, st)
		}
	}
	return out
}

// firstLine returns the first line of a statement, for an error.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSuffix(line, " (")
}
