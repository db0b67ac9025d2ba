package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"silod/silo"
)

// Progress is the number of rows of one kind that Copy has copied.
type Progress struct {
	What        string // "messages", "device copies", "messages of strangers", "users", "contacts", "rooms", "room messages"
	Done, Total int
}

// CopyOptions are the settings of Copy. The functions may be nil.
type CopyOptions struct {
	// Domain completes rows of users without a domain. "" leaves them as they are; silod reads
	// them as rows of its main domain.
	Domain string

	Report   func(Progress)
	Passed   func(Passed)                 // called for rows that are not copied
	NoDomain func(table string, rows int) // called for rows without a domain that stay so
}

// Passed is a row that Copy has passed over.
type Passed struct {
	Table  string
	Row    string // what it is about, in words
	Reason string
	Rows   int  // 1, or more where it stands for several rows
	Lost   bool // it has data that silod would use, which the target cannot hold
}

// Copy copies everything from one database to another, also of another engine, and after
// each kind of rows compares the counts. A row that cannot be copied is passed over. The IDs of
// messages and of room messages stay the same, so the target must be empty, or be the result of
// an interrupted Copy from the same database, which Copy then continues. Open refuses an
// incomplete copy, unless Options.Unfinished is set. No other program may write to either
// database meanwhile. The source is one that OpenSource, or Open, has opened.
func Copy(ctx context.Context, from, to *DB, o CopyOptions) error {
	c := &copier{from: from, to: to, o: o, passed: map[string]int{}, columns: map[string]map[string]columnInfo{}}
	if err := c.inspect(ctx); err != nil {
		return err
	}
	if err := c.claim(ctx); err != nil {
		return err
	}
	t, text := to.layout.dialect.(*textDB)
	if text {
		t.deferred = true // otherwise every commit would write the whole files
		defer func() { t.deferred = false }()
	}
	if err := c.run(ctx); err != nil {
		if changed := from.unchanged(ctx); errors.Is(changed, errChanged) { // the cause of whatever failed
			return changed
		}
		return err
	}
	if err := from.unchanged(ctx); err != nil {
		return err
	}
	if text {
		t.deferred = false
	}
	return withCause(to.writer.step(ctx, 1, func(s *session) error {
		if err := s.exec("DELETE FROM silod_copy"); err != nil {
			return err
		}
		return to.layout.dialect.renumber(s)
	}))
}

// A copier is a Copy in progress.
type copier struct {
	from, to *DB
	o        CopyOptions
	columns  map[string]map[string]columnInfo // of the tables of the source, by their names in the target; nil: no such table
	resumed  bool                             // an interrupted copy is continued
	p        Progress                         // of the current kind
	passed   map[string]int                   // rows that were passed over, by table of the target
}

// A copiedTable is a table under its names in the source and in the target.
type copiedTable struct{ from, to string }

// tables returns the tables, by kind of rows, in which rows are counted on both sides.
func (c *copier) tables() map[string]copiedTable {
	from, to := &c.from.layout, &c.to.layout
	same := func(name string) copiedTable { return copiedTable{name, name} }
	return map[string]copiedTable{
		"messages":              {from.messages.table, to.messages.table},
		"device copies":         same(deviceTable.name),
		"messages of strangers": same(strangerTable.name),
		"users":                 same(subscriberTable.name),
		"contacts":              {from.bindings.table.name, to.bindings.table.name},
		"rooms":                 {from.rooms.members.name, to.rooms.members.name},
		"room messages":         same(logTable.name),
	}
}

// inspect finds the tables that the source has. It also counts rows without a domain.
func (c *copier) inspect(ctx context.Context) error {
	l := &c.from.layout
	names := map[string]string{}
	for _, t := range c.tables() {
		names[t.to] = t.from
	}
	for _, t := range []*table{&secretTable, &roomTable, &memberTable, &cursorTable, &blockTable, &aliasTable} {
		names[t.name] = t.name
	}
	names[c.to.layout.rooms.rooms.name] = l.rooms.rooms.name
	for to, from := range names {
		info, err := l.dialect.columns(ctx, c.from.reader.pool, from)
		if err != nil {
			return fmt.Errorf("inspect table %s: %w", from, err)
		}
		c.columns[to] = info
	}
	if c.o.Domain != "" || c.o.NoDomain == nil {
		return nil
	}
	n := l.messages.names
	for _, t := range []struct{ to, from, user, domain string }{
		{c.to.layout.messages.table, l.messages.table, n.User, n.Host},
		{"subscriber", "subscriber", "username", "domain"},
		{c.to.layout.bindings.table.name, l.bindings.table.name, "username", "domain"},
	} {
		if c.columns[t.to] == nil {
			continue
		}
		count, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM "+t.from+" WHERE COALESCE("+t.domain+", '') = '' AND "+t.user+" <> ''")
		if err != nil {
			return fmt.Errorf("count rows of %s: %w", t.from, err)
		}
		if count[0] > 0 {
			c.o.NoDomain(t.from, int(count[0]))
		}
	}
	return nil
}

// claim records in the target of which database it becomes a copy. It returns an error if
// the target has other rows, or is an incomplete copy of another database.
func (c *copier) claim(ctx context.Context) error {
	source, err := c.to.copyOf(ctx)
	switch {
	case err != nil:
		return err
	case source == c.from.name():
		c.resumed = true
		return nil
	case source != "":
		return fmt.Errorf("%s holds an incomplete copy of %s: continue that copy, or create the database again", c.to.name(), source)
	case c.from.name() == c.to.name():
		return fmt.Errorf("%s cannot be copied to itself", c.to.name())
	}
	for _, t := range c.tables() {
		n, err := c.to.reader.ints(ctx, "SELECT COUNT(*) FROM "+t.to)
		if err != nil {
			return err
		}
		if n[0] > 0 {
			return fmt.Errorf("%s must be empty, and its table %s has %d rows: copy to a separate database, `siloctl db init` creates the tables",
				c.to.name(), t.to, n[0])
		}
	}
	if err := c.numbersFit(ctx); err != nil {
		return err
	}
	return c.to.writer.step(ctx, 1, func(s *session) error {
		return s.exec("INSERT INTO silod_copy (source, at) VALUES ($1, $2)", c.from.name(), s.now)
	})
}

// numbersFit returns an error if the target cannot hold the highest number of a message. It tries
// to insert a row with that number, in a transaction that is rolled back.
func (c *copier) numbersFit(ctx context.Context) error {
	if c.columns[c.to.layout.messages.table] == nil {
		return nil
	}
	highest, err := c.from.reader.ints(ctx, "SELECT COALESCE(MAX({id}), 0) FROM {silo}")
	if err != nil || highest[0] == 0 {
		return err
	}
	pool, err := c.to.layout.dialect.connect(ctx, forSchema)
	if err != nil {
		return err
	}
	defer pool.Close()
	try := func(id int64) error {
		tx, err := pool.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		q := c.to.layout.bind("INSERT INTO {silo} ({id}) VALUES ($1)")
		_, err = tx.ExecContext(ctx, q.text, q.args([]any{id})...)
		return err
	}
	failed := try(highest[0])
	if failed == nil || !c.to.layout.dialect.fault(failed).ofRow() || try(1) != nil { // the other columns have no defaults
		return nil
	}
	return fmt.Errorf("the messages of %s have numbers up to %d, which column %s of table %s of %s cannot hold: give that column a type of 64 bits, or copy to an empty database, in which silod creates the table",
		c.from.name(), highest[0], c.to.layout.messages.id, c.to.layout.messages.table, c.to.name())
}

// copyOf returns the name of the database of which this one is an incomplete copy, ""
// where it is not.
func (db *DB) copyOf(ctx context.Context) (source string, err error) {
	err = scan(db.reader.pool.QueryRowContext(ctx, "SELECT source FROM silod_copy"), &source)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read table silod_copy: %w", busy(err))
	}
	return source, nil
}

// refuseUnfinished returns an error for an incomplete copy, so that no daemon serves it.
func (db *DB) refuseUnfinished(ctx context.Context) error {
	source, err := db.copyOf(ctx)
	if err == nil && source != "" {
		err = fmt.Errorf("%s holds an incomplete copy of %s: run the same `siloctl db copy` again to complete it", db.name(), source)
	}
	return err
}

// run copies one kind of rows after the other.
func (c *copier) run(ctx context.Context) error {
	tables := c.tables()
	for _, part := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"messages", c.messages},
		{"device copies", c.devices},
		{"messages of strangers", c.strangers},
		{"users", c.users},
		{"contacts", c.contacts},
		{"rooms", c.rooms},
		{"room messages", c.roomLog},
	} {
		c.p = Progress{What: part.what}
		t := tables[part.what]
		if c.columns[t.to] != nil {
			n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM "+t.from)
			if err != nil {
				return fmt.Errorf("count %s: %w", part.what, err)
			}
			c.p.Total = int(n[0])
		}
		c.done(0)
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("copy %s: %w", part.what, withCause(err))
		}
		if err := c.compare(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// done reports that n more rows were copied.
func (c *copier) done(n int) {
	c.p.Done += n
	if c.o.Report != nil {
		c.o.Report(c.p)
	}
}

// pass reports a row that is not copied.
func (c *copier) pass(p Passed) {
	p.Rows = max(p.Rows, 1)
	c.passed[p.Table] += p.Rows
	if c.o.Passed != nil {
		c.o.Passed(p)
	}
}

// compare returns an error unless the target has all rows of a table of the source but those that
// were passed over.
func (c *copier) compare(ctx context.Context, t copiedTable) error {
	if c.columns[t.to] == nil {
		return nil
	}
	source, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM "+t.from)
	if err != nil {
		return fmt.Errorf("count rows of %s: %w", t.from, err)
	}
	target, err := c.to.reader.ints(ctx, "SELECT COUNT(*) FROM "+t.to)
	if err != nil {
		return fmt.Errorf("count rows of %s: %w", t.to, err)
	}
	if passed := int64(c.passed[t.to]); target[0] != source[0]-passed {
		return fmt.Errorf("copy table %s: %d rows in the source, of which %d were passed over, but %d in the target: stop all programs that write to either, create the target again and repeat the copy",
			t.from, source[0], passed, target[0])
	}
	return nil
}

// last returns the highest number in a table of the target: an interrupted copy continues
// behind that.
func (c *copier) last(ctx context.Context, column, table string) (int64, error) {
	n, err := c.to.reader.ints(ctx, "SELECT COALESCE(MAX("+column+"), 0) FROM "+table)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// refusal returns the reason why the target cannot hold a row, nil for an error of another kind.
func refusal(err error) error {
	switch {
	case errors.Is(err, errInvalid):
		return withCause(err)
	case errors.Is(err, errNumbersUsed):
		return fmt.Errorf("%w: a number is too large for its column", errInvalid)
	case errors.Is(err, errDuplicate):
		return fmt.Errorf("%w: another row has the same key", errInvalid)
	}
	return nil
}

// divide writes items. Where the target refuses them, it divides them, so that only those are
// passed over that the target cannot hold. It calls done with the number of those that were written,
// and pass for one that was not.
func divide[T any](items []T, write func([]T) error, done func(int), pass func(T, error)) error {
	if len(items) == 0 {
		return nil
	}
	err := write(items)
	switch {
	case err == nil:
		done(len(items))
		return nil
	case refusal(err) == nil:
		return err
	case len(items) == 1:
		pass(items[0], refusal(err))
		return nil
	}
	half := len(items) / 2
	if err := divide(items[:half], write, done, pass); err != nil {
		return err
	}
	return divide(items[half:], write, done, pass)
}

// fitText returns errTextField if rows do not fit a table of db_text. Its files are written when
// all rows are there, which is too late to pass over one.
func (c *copier) fitText(rows [][]any) error {
	if _, text := c.to.layout.dialect.(*textDB); !text {
		return nil
	}
	for _, row := range rows {
		for _, v := range row {
			if len(asText(v)) > textFieldMax {
				return fmt.Errorf("%w: %w", errInvalid, errTextField)
			}
		}
	}
	return nil
}

// messageName returns the identification of a message.
func messageName(m *silo.Message) string { return fmt.Sprintf("message %d of %s", m.ID, m.Owner) }
