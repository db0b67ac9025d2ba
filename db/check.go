package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Init creates everything that is missing in the database that the URL names, including
// its file or directory, and returns the created parts, in words. Open does the same, if the
// user of the daemon has the right to; with Init an administrator does it for the daemon.
func Init(ctx context.Context, url string, o Options) (created []string, err error) {
	o.Unfinished = true
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
	Table   string // or "index NAME"
	Version int64  // as in Kamailio's table version; of silod_schema the version of the schema; 0 for none
	Rows    int64  // 0 if the table cannot be read
	Problem string // the problem and the command that solves it; "" where there is none
	Note    string // about the users that its rows name; "" where there is nothing to tell
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
	if err := c.tables(ctx); err != nil {
		return nil, err
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
	indexes    []string        // missing indexes
	found      []Finding
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
			c.indexes = append(c.indexes, m.name)
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

// tables inspects Kamailio's tables one by one, then silod's own.
func (c *check) tables(ctx context.Context) error {
	versions := map[string]int64{}
	if c.missing["version"] {
		c.found = append(c.found, Finding{Table: "version", Problem: "table version is missing: `siloctl db init` creates it"})
	} else {
		var err error
		if versions, err = c.inspection.versions(ctx); err != nil {
			return err
		}
	}
	fine := true
	for _, t := range c.db.layout.sharedTables() {
		f := Finding{Table: t.name, Version: versions[t.name]}
		if err := c.inspection.table(ctx, &t, versions); err != nil {
			f.Problem, fine = oneLine(err), false
		}
		c.add(ctx, f)
	}
	c.add(ctx, Finding{Table: "subscriber", Version: versions["subscriber"]})
	if fine && c.versions == 0 {
		if err := c.db.layout.dialect.ready(ctx, &c.db.layout, c.pool); err != nil {
			c.found[0].Problem = oneLine(err)
		}
	}
	c.own(ctx)
	return nil
}

// add counts the rows of a table and adds the finding, with the first problem of the table.
func (c *check) add(ctx context.Context, f Finding) {
	if c.missing[f.Table] {
		f.Version, f.Problem = 0, fmt.Sprintf("table %s is missing: `siloctl db init` creates it", f.Table)
	} else if n, err := c.db.reader.ints(ctx, "SELECT COUNT(*) FROM "+f.Table); err == nil {
		f.Rows = n[0]
		f.Note = joinNotes(c.names(ctx, f.Table), c.values(ctx, f.Table))
		if f.Problem == "" {
			f.Problem = c.inspection.durabilityWarning(ctx, f.Table)
		}
	} else if f.Problem == "" {
		f.Problem = oneLine(c.db.layout.dialect.explain(fmt.Errorf("cannot read table %s: %w", f.Table, err)))
	}
	c.found = append(c.found, f)
}

// own adds the findings for silod's own tables, and for its indexes on Kamailio's tables.
func (c *check) own(ctx context.Context) {
	newest := c.db.layout.newestVersion()
	f := Finding{Table: "silod_schema", Version: newest - c.versions}
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
	c.found = append(c.found, f)
	for _, name := range c.indexes {
		if len(c.missing) == 0 {
			problem := "missing, " + withoutIndex(name) + ": `siloctl db migrate` creates it"
			c.found = append(c.found, Finding{Table: "index " + name, Problem: problem})
		}
	}
}
