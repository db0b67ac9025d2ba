package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// Progress is the number of rows of one kind that Copy has copied.
type Progress struct {
	What        string // "messages", "device copies", "messages of strangers", "users", "contacts", "rooms", "room messages"
	Done, Total int
}

// Copy copies everything from one database to another, also of another engine, and after
// each kind of rows compares the counts. The IDs of messages and of room messages stay the
// same, so the target must be empty, or be the result of an interrupted Copy from the same
// database, which Copy then continues. Open refuses an incomplete copy, unless
// Options.Unfinished is set. No other program may write to either database meanwhile. report
// may be nil.
func Copy(ctx context.Context, from, to *DB, report func(Progress)) error {
	if report == nil {
		report = func(Progress) {}
	}
	c := &copier{from: from, to: to, report: report}
	if err := c.claim(ctx); err != nil {
		return err
	}
	if t, ok := to.layout.dialect.(*textDB); ok {
		t.deferred = true // otherwise every commit would write the whole files
		defer func() { t.deferred = false }()
	}
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
		if err := c.begin(ctx, part.what); err != nil {
			return err
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("copy %s: %w", part.what, err)
		}
		if err := c.compare(ctx); err != nil {
			return err
		}
	}
	if t, ok := to.layout.dialect.(*textDB); ok {
		t.deferred = false
	}
	return to.writer.step(ctx, 1, func(s *session) error {
		if _, err := s.exec("DELETE FROM silod_copy"); err != nil {
			return err
		}
		return to.layout.dialect.renumber(s)
	})
}

// A copier is a Copy in progress.
type copier struct {
	from, to *DB
	report   func(Progress)
	p        Progress // of the current kind
}

// counted are the tables, by kind of rows, in which rows are counted on both sides.
var counted = map[string]string{
	"messages":              "{silo}",
	"device copies":         "silod_device",
	"messages of strangers": "silod_stranger",
	"users":                 "subscriber",
	"contacts":              "{location}",
	"rooms":                 "{members}",
	"room messages":         "silod_room_log",
}

// claim records in the target of which database it becomes a copy. It returns an error if
// the target has other rows, or is an incomplete copy of another database.
func (c *copier) claim(ctx context.Context) error {
	source, err := c.to.copyOf(ctx)
	switch {
	case err != nil:
		return err
	case source == c.from.name():
		return nil // continue
	case source != "":
		return fmt.Errorf("%s holds an incomplete copy of %s: continue that copy, or create the database again", c.to.name(), source)
	case c.from.name() == c.to.name():
		return fmt.Errorf("%s cannot be copied to itself", c.to.name())
	}
	for _, table := range counted {
		n, err := c.to.reader.ints(ctx, "SELECT COUNT(*) FROM "+table)
		if err != nil {
			return err
		}
		if n[0] > 0 {
			return fmt.Errorf("%s must be empty, and its table %s has %d rows: copy to a separate database, `siloctl db init` creates the tables",
				c.to.name(), c.to.layout.fill.Replace(table), n[0])
		}
	}
	return c.to.writer.step(ctx, 1, func(s *session) error {
		_, err := s.exec("INSERT INTO silod_copy (source, at) VALUES ($1, $2)", c.from.name(), s.now)
		return err
	})
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

// begin counts the rows of the next kind in the source.
func (c *copier) begin(ctx context.Context, what string) error {
	n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM "+counted[what])
	if err != nil {
		return fmt.Errorf("count %s: %w", what, err)
	}
	c.p = Progress{What: what, Total: int(n[0])}
	c.report(c.p)
	return nil
}

// done reports that n more rows were copied.
func (c *copier) done(n int) {
	c.p.Done += n
	c.report(c.p)
}

// compare returns an error unless the target has as many rows as the source.
func (c *copier) compare(ctx context.Context) error {
	n, err := c.to.reader.ints(ctx, "SELECT COUNT(*) FROM "+counted[c.p.What])
	if err != nil {
		return fmt.Errorf("count %s: %w", c.p.What, err)
	}
	if int(n[0]) != c.p.Total {
		return fmt.Errorf("copy %s: %d rows in the source, %d in the target: stop all programs that write to either, create the target again and repeat the copy",
			c.p.What, c.p.Total, n[0])
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

// messages copies messages with the rows of their side tables, a page in a transaction.
func (c *copier) messages(ctx context.Context) error {
	after, err := c.last(ctx, "{id}", "{silo}")
	if err != nil {
		return err
	}
	if after > 0 {
		n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM {silo} WHERE {id} <= $1", after)
		if err != nil {
			return err
		}
		c.done(int(n[0]))
	}
	numbered := c.to.layout.messages.insert // but with the ID as its key
	numbered.keys, numbered.serial = 1, ""
	numbered.fields = append([]field{{name: c.to.layout.messages.id, kind: kindInt}}, numbered.fields...)
	for {
		page, err := c.from.messages.read(ctx, selectMessage+`WHERE s.{id} > $1 ORDER BY s.{id} LIMIT $2`, after, pageRows)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.putMessages(ctx, &numbered, page); err != nil {
			return err
		}
		after = page[len(page)-1].ID
		c.done(len(page))
	}
}

// putMessages writes a page with its IDs. It builds the rows again: the target may have
// other columns, or of other widths.
func (c *copier) putMessages(ctx context.Context, numbered *table, page []silo.Message) error {
	var rows, meta, stuck [][]any
	for i := range page {
		m := &page[i]
		r, err := c.to.layout.messageRow(m, c.to.now())
		if err != nil {
			return fmt.Errorf("message %d: %w", m.ID, err)
		}
		rows = append(rows, append([]any{m.ID}, r.values...))
		if r.meta != nil {
			meta = append(meta, []any{m.ID, r.stored, r.meta})
		}
		if m.Stuck != "" {
			stuck = append(stuck, []any{m.ID, r.stored, m.Stuck, c.to.now().Unix()})
		}
	}
	return c.to.writer.step(ctx, len(rows), func(s *session) error {
		return c.put(s, part{numbered, rows}, part{&metaTable, meta}, part{&stuckTable, stuck})
	})
}

// A part is a set of rows for a table.
type part struct {
	t    *table
	rows [][]any
}

// put writes rows. Rows that an interrupted copy has written are overwritten.
func (c *copier) put(s *session, parts ...part) error {
	for _, p := range parts {
		if len(p.rows) == 0 {
			continue
		}
		if err := s.upsert(p.t, p.rows); err != nil {
			return fmt.Errorf("table %s: %w", p.t.name, err)
		}
	}
	return nil
}

// users copies passwords as they are stored: hashes stay hashes.
func (c *copier) users(ctx context.Context) error {
	last := rowName{}
	account := subscriberTable
	account.keys = 2
	for {
		page, err := c.from.users.page(ctx, last)
		if err != nil || len(page) == 0 {
			return busy(err)
		}
		for _, u := range page {
			row := secretRow(u.name, &u.secret)
			err := c.to.writer.step(ctx, 1, func(s *session) error {
				if err := c.put(s, part{&account, [][]any{row}}); err != nil {
					return err
				}
				return putSecrets(s, u.name, &u.secret)
			})
			if err != nil {
				return fmt.Errorf("user %s@%s: %w", u.name.user, u.name.domain, err)
			}
			last = u.name
		}
		c.done(len(page))
	}
}

// contacts copies bindings, including expired ones, so that the counts match.
func (c *copier) contacts(ctx context.Context) error {
	var batch []registrar.Change
	var errs []error
	flush := func() {
		if err := c.to.bindings.Save(ctx, batch); err != nil {
			errs = append(errs, err)
		}
		c.done(len(batch))
		batch = nil
	}
	_, err := c.from.bindings.load(ctx, func(a sip.AoR, b registrar.Binding) {
		if batch = append(batch, registrar.Change{AoR: a, Binding: b}); len(batch) == pageRows {
			flush()
		}
	}, func(err error) { errs = append(errs, err) })
	flush()
	return errors.Join(append(errs, err)...)
}
