package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Init creates everything that is missing in the database that the URL names, including
// its file or directory, and returns the created parts, in words. Open does the same, if the
// user of the daemon has the right to; with Init an administrator does it for the daemon.
func Init(ctx context.Context, url string, o Options) (created []string, err error) {
	o.Unfinished, o.patience = true, -1
	db, err := Open(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return db.layout.createdTables, db.Close()
}

// Migrate is Init for silod's own tables and indexes. It creates none of Kamailio's tables
// and refuses a database where one of them is missing.
func Migrate(ctx context.Context, url string, o Options) (created []string, err error) {
	o.ownOnly = true
	return Init(ctx, url, o)
}

// A Finding is the result of Check for one table.
type Finding struct {
	Table   string // or "index NAME", or "NAME: ROWS" about some of its rows
	Version int64  // as in Kamailio's table version; of silod_schema the version of the schema; 0 for none
	Rows    int64  // 0 if the table cannot be read
	About   bool   // Rows is an estimate
	Problem string // the problems and the commands that solve them; "" where there is none
	Note    string // about its rows; "" where there is nothing to tell
}

// checks are the parts of Check, in the order of their findings. A part returns an error where
// nothing more can be inspected.
var checks = []struct {
	name string
	run  func(*check, context.Context) error
}{
	{"tables", (*check).tables},
	{"names", (*check).names},
	{"values", (*check).values},
	{"own tables", (*check).own},
	{"indexes", (*check).indexes},
	{"numbers", (*check).numbers},
	{"contacts", (*check).bindings},
	{"rooms", (*check).rooms},
}

// Check inspects the database that the URL names, also while a daemon uses it, and changes
// nothing. It returns an error where it could not inspect the database at all.
func Check(ctx context.Context, url string, o Options) (found []Finding, err error) {
	db, err := newDB(url, o, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pool, err := db.layout.dialect.connect(ctx, forCheck)
	if err != nil {
		return nil, err
	}
	db.writer.pool, db.reader.pool = pool, pool
	if err := db.layout.nameTables(ctx, pool); err != nil {
		return nil, err
	}
	c := &check{db: db, pool: pool, inspection: inspection{layout: &db.layout, pool: pool, log: db.log}, missing: map[string]bool{}}
	if err := c.findMissing(ctx); err != nil {
		return nil, err
	}
	for _, part := range checks {
		if err := part.run(c, ctx); err != nil {
			return nil, fmt.Errorf("check %s: %w", part.name, err)
		}
	}
	return c.found, nil
}

// A check is a Check in progress.
type check struct {
	db         *DB
	pool       *sql.DB
	inspection inspection
	missing    map[string]bool // Kamailio's missing tables
	versions   int64           // number of missing versions of silod's own tables
	noIndexes  []missingPart
	found      []Finding
}

// at returns the finding of a table, which it adds where there is none.
func (c *check) at(table string) *Finding {
	i := slices.IndexFunc(c.found, func(f Finding) bool { return f.Table == table })
	if i < 0 {
		i = len(c.found)
		c.found = append(c.found, Finding{Table: table})
	}
	return &c.found[i]
}

// problem adds a problem to the finding of a table.
func (c *check) problem(table, text string) { join(&c.at(table).Problem, text) }

// note adds a note to the finding of a table.
func (c *check) note(table, text string) { join(&c.at(table).Note, text) }

// join appends a text to others.
func join(all *string, text string) {
	if *all != "" && text != "" {
		*all += "; "
	}
	*all += text
}

// findMissing finds the missing parts of the schema.
func (c *check) findMissing(ctx context.Context) error {
	all, err := c.db.layout.missing(ctx, c.pool)
	if err != nil {
		return err
	}
	_, text := c.db.layout.dialect.(*textDB)
	for _, m := range all {
		switch {
		case m.kind == missingTable:
			c.missing[m.name] = true
		case m.kind == missingVersion && !text:
			c.versions++
		case m.kind == missingIndex && !text:
			c.noIndexes = append(c.noIndexes, m)
		}
	}
	if !text {
		return nil
	}
	// Tables without a file are not missing: they are created in memory, also for the check.
	conn, err := c.pool.Conn(ctx)
	if err != nil {
		return c.db.layout.dialect.explain(err)
	}
	defer conn.Close()
	m := migration{layout: &c.db.layout, log: c.db.log, now: c.db.now}
	return m.createAll(ctx, conn)
}

// tables inspects Kamailio's tables one by one.
func (c *check) tables(ctx context.Context) error {
	versions := map[string]int64{}
	if !c.missing["version"] {
		var err error
		if versions, err = c.inspection.versions(ctx); err != nil {
			return err
		}
	}
	fine := true
	for _, t := range c.db.layout.sharedTables() {
		f := c.at(t.name)
		f.Version = versions[t.name]
		if c.missing[t.name] {
			f.Version = 0
			continue
		}
		if err := c.inspection.table(ctx, &t, versions); err != nil {
			f.Problem, fine = oneLine(err), false
		}
	}
	c.at("subscriber").Version = versions["subscriber"]
	for i := range c.found {
		c.rows(ctx, &c.found[i])
	}
	for _, name := range slices.Sorted(maps.Keys(c.missing)) {
		c.problem(name, fmt.Sprintf("table %s is missing: `siloctl db init` creates it", name))
	}
	if fine && c.versions == 0 {
		if err := c.db.layout.dialect.ready(ctx, &c.db.layout, c.pool); err != nil {
			c.found[0].Problem = oneLine(err)
		}
	}
	return nil
}

// rows adds the number of rows of a table, and the warnings of the start about it.
func (c *check) rows(ctx context.Context, f *Finding) {
	if c.missing[f.Table] {
		return
	}
	n, about, err := c.db.layout.countRows(ctx, c.pool, f.Table)
	switch {
	case err == nil:
		f.Rows, f.About = n, about
		join(&f.Problem, c.inspection.durabilityWarning(ctx, f.Table))
	case f.Problem == "":
		f.Problem = oneLine(c.db.layout.dialect.explain(fmt.Errorf("cannot read table %s: %w", f.Table, err)))
	}
}

// own inspects silod's own tables.
func (c *check) own(ctx context.Context) error {
	newest := c.db.layout.newestVersion()
	f := c.at("silod_schema")
	f.Version = newest - c.versions
	switch {
	case f.Version == 0:
		f.Problem = "silod's own tables are missing: `siloctl db init` creates them"
	case c.versions > 0:
		f.Problem = fmt.Sprintf("silod's own tables have version %d, this silod needs %d: `siloctl db migrate` upgrades them", f.Version, newest)
	default:
		f.Rows = newest
		err := c.inspection.ownTables(ctx)
		if err == nil {
			err = c.db.refuseUnfinished(ctx)
		}
		if err != nil {
			f.Problem = oneLine(err)
		}
	}
	return nil
}

// indexes reports silod's missing indexes on Kamailio's tables, and how long it takes to
// create them.
func (c *check) indexes(ctx context.Context) error {
	for i := range c.noIndexes {
		p := &c.noIndexes[i]
		if c.missing[p.table] {
			continue // is created together with the table
		}
		text := "missing, " + withoutIndex(p.name) + ": `siloctl db migrate` creates it"
		if n, _, err := c.db.layout.countRows(ctx, c.pool, p.table); err == nil && n > exactRows {
			text += ", " + indexCost(n) + ", while other programs write"
		}
		c.problem("index "+p.name, text)
	}
	return nil
}
