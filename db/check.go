package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Init makes everything that is missing in the database that the URL names, the
// database's file or directory too, and tells what it made. Open does the same for a
// daemon whose user has the right to.
func Init(ctx context.Context, url string, o Options) (made []string, err error) {
	o.Unfinished = true
	db, err := Open(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return db.made, db.Close()
}

// Migrate is Init for our own tables and indexes: of Kamailio's tables it makes none,
// and it refuses a database where one is missing.
func Migrate(ctx context.Context, url string, o Options) (made []string, err error) {
	o.ownOnly = true
	return Init(ctx, url, o)
}

// Finding is what Check tells of a table.
type Finding struct {
	Table   string // or "index NAME"
	Version int64  // as Kamailio's table version has it; of silod_schema the schema's; 0 for none
	Rows    int64
	Problem string // what is wrong, and the command that mends it; "" where all is well
}

// Check looks at the database that the URL names, also while a daemon uses it, and
// changes nothing. An error says that it could not look at all.
func Check(ctx context.Context, url string, o Options) (found []Finding, err error) {
	db, err := choose(url, o, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if db.write, err = db.d.connect(ctx, forLooking); err != nil {
		return nil, err
	}
	db.read = db.write
	if err := db.nameColumns(ctx, db.read); err != nil {
		return nil, err
	}
	c := &checking{db: db, lacks: map[string]bool{}}
	if err := c.lookForLacks(ctx); err != nil {
		return nil, err
	}
	if err := c.tables(ctx); err != nil {
		return nil, err
	}
	return c.found, nil
}

// checking is a check on its way.
type checking struct {
	db       *DB
	lacks    map[string]bool // Kamailio's tables that are missing
	versions int64           // of our own tables that are missing
	indexes  []string
	found    []Finding
}

func (c *checking) lookForLacks(ctx context.Context) error {
	all, err := c.db.missing(ctx, c.db.read)
	if err != nil {
		return err
	}
	_, text := c.db.d.(*textDB) // has files for rows only: what is ours is always made, in memory
	for _, l := range all {
		switch {
		case l.kind == lackTable:
			c.lacks[l.name] = true
		case l.kind == lackVersion && !text:
			c.versions++
		case l.kind == lackIndex && !text:
			c.indexes = append(c.indexes, l.name)
		}
	}
	if !text {
		return nil
	}
	conn, err := c.db.write.Conn(ctx)
	if err != nil {
		return c.db.d.explain(err)
	}
	defer conn.Close()
	return c.db.complete(ctx, conn)
}

// tables looks at Kamailio's tables one by one, then at what is ours.
func (c *checking) tables(ctx context.Context) error {
	versions := map[string]int64{}
	if c.lacks["version"] {
		c.found = append(c.found, Finding{Table: "version", Problem: "no table version: `siloctl db init` makes it"})
	} else {
		var err error
		if versions, err = c.db.versions(ctx); err != nil {
			return err
		}
	}
	fine := true
	for _, t := range c.db.shared() {
		f := Finding{Table: t.name, Version: versions[t.name]}
		if err := c.db.inspectTable(ctx, &t, versions); err != nil {
			f.Problem, fine = oneLine(err), false
		}
		c.add(ctx, f)
	}
	c.add(ctx, Finding{Table: "subscriber", Version: versions["subscriber"]})
	if fine && c.versions == 0 {
		if err := c.db.d.ready(ctx, c.db); err != nil {
			c.found[0].Problem = oneLine(err)
		}
	}
	c.own(ctx)
	return nil
}

// add counts a table's rows, where it can be read.
func (c *checking) add(ctx context.Context, f Finding) {
	if c.lacks[f.Table] {
		f.Version, f.Problem = 0, fmt.Sprintf("no table %s: `siloctl db init` makes it", f.Table)
	} else if n, err := c.db.ints(ctx, "SELECT COUNT(*) FROM "+f.Table); err == nil {
		f.Rows = n[0]
		if f.Problem == "" {
			f.Problem = c.db.weak(ctx, f.Table)
		}
	} else if f.Problem == "" {
		f.Problem = oneLine(c.db.d.explain(fmt.Errorf("cannot read table %s: %w", f.Table, err)))
	}
	c.found = append(c.found, f)
}

// own tells of our own tables, and of our indexes on Kamailio's where a table is there.
func (c *checking) own(ctx context.Context) {
	newest := c.db.newest()
	f := Finding{Table: "silod_schema", Version: newest - c.versions}
	switch {
	case f.Version == 0:
		f.Problem = "silod's own tables are not there: `siloctl db init` makes them"
	case c.versions > 0:
		f.Problem = fmt.Sprintf("silod's own tables are of version %d, this silod's of %d: `siloctl db migrate` brings them up", f.Version, newest)
	default:
		f.Rows = newest
		err := c.db.tryOwn(ctx)
		if err == nil {
			err = c.db.refuseUnfinished(ctx)
		}
		if err != nil {
			f.Problem = oneLine(err)
		}
	}
	c.found = append(c.found, f)
	for _, name := range c.indexes {
		if len(c.lacks) == 0 {
			c.found = append(c.found, Finding{Table: "index " + name, Problem: "missing, large mailboxes are slow: `siloctl db migrate` makes it"})
		}
	}
}

// name is the database's URL without user, password and parameters, for messages
// and for the note that a copy leaves.
func (db *DB) name() string {
	scheme, rest, _ := strings.Cut(db.url, ":")
	switch d := db.d.(type) {
	case *sqliteDB:
		return "sqlite:" + d.path
	case *textDB:
		return "text:" + d.dir
	}
	rest, _, _ = strings.Cut(strings.TrimPrefix(rest, "//"), "?")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	return scheme + "://" + rest
}
