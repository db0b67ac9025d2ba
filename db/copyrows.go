package db

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// messages copies messages with the rows of their side tables, a page in a transaction.
func (c *copier) messages(ctx context.Context) error {
	t := &c.to.layout.messages
	if c.columns[t.table] == nil {
		return nil
	}
	after, err := c.last(ctx, "{id}", "{silo}")
	if err != nil {
		return err
	}
	n, err := c.from.reader.ints(ctx, `SELECT COUNT(CASE WHEN {id} <= $1 THEN 1 END), COUNT(CASE WHEN {id} > 0 THEN 1 END), COUNT(*)
		FROM {silo}`, after)
	if err != nil {
		return err
	}
	if none := int(n[2] - n[1]); none > 0 {
		c.pass(Passed{Table: t.table, Row: "messages", Reason: "they have no number above 0", Rows: none, Lost: true})
	}
	if after > 0 {
		c.done(int(n[0]))
	}
	numbered := t.insert // but with the ID as its first column
	numbered.serial = ""
	numbered.fields = append([]field{{name: t.id, kind: kindInt}}, numbered.fields...)
	for {
		page, err := c.from.messages.read(ctx, selectMessage+`WHERE s.{id} > $1 ORDER BY s.{id} LIMIT $2`, after, pageRows)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].ID
		write := func(ms []silo.Message) error { return c.putMessages(ctx, &numbered, ms) }
		err = divide(page, write, c.done, func(m silo.Message, err error) {
			c.pass(Passed{Table: t.table, Row: messageName(&m), Reason: oneLine(err), Lost: true})
		})
		if err != nil {
			return err
		}
	}
}

// putMessages writes messages with their IDs. It builds the rows again: the target may have
// other columns, or of other widths.
func (c *copier) putMessages(ctx context.Context, numbered *table, ms []silo.Message) error {
	var rows, meta, stuck [][]any
	for i := range ms {
		m := &ms[i]
		if m.Owner.Domain == "" && m.Owner.User != "" {
			m.Owner.Domain = c.o.Domain
		}
		r, err := c.to.layout.messageRow(m, c.to.now())
		if err != nil {
			return err
		}
		rows = append(rows, append([]any{m.ID}, r.values...))
		if r.meta != nil {
			meta = append(meta, []any{m.ID, r.stored, r.meta})
		}
		if m.Stuck != "" {
			stuck = append(stuck, []any{m.ID, r.stored, m.Stuck, c.to.now().Unix()})
		}
	}
	if err := c.fitText(rows); err != nil {
		return err
	}
	return c.to.writer.step(ctx, len(rows), func(s *session) error {
		if _, err := s.insert(numbered, rows); err != nil {
			return fmt.Errorf("table %s: %w", numbered.name, err)
		}
		return s.upsertParts(part{&metaTable, meta}, part{&stuckTable, stuck})
	})
}

// devices copies the marks of devices.
func (c *copier) devices(ctx context.Context) error {
	return c.copyTable(ctx, tableCopy{from: deviceTable.name, to: deviceTable, order: "silo_id, device", counted: true})
}

// strangers copies the charges of messages.
func (c *copier) strangers(ctx context.Context) error {
	c.to.layout.strangers.Store(true)
	return c.copyTable(ctx, tableCopy{from: strangerTable.name, to: strangerTable, order: "silo_id", counted: true})
}

// aliasTable is Kamailio's table of aliases, which silod reads where it exists.
var aliasTable = table{name: "dbaliases", fields: []field{
	{name: "alias_username"}, {name: "alias_domain"}, {name: "username"}, {name: "domain"},
}}

// users copies passwords as they are stored: hashes stay hashes. A row without a domain is
// copied after those with one, which count more.
func (c *copier) users(ctx context.Context) error {
	account := subscriberTable
	account.serial = ""
	err := c.copyTable(ctx, tableCopy{
		from: account.name, to: account, order: "CASE WHEN COALESCE(domain, '') = '' THEN 1 ELSE 0 END, id", counted: true, complete: "domain",
	})
	if err == nil {
		err = c.copyTable(ctx, tableCopy{from: secretTable.name, to: secretTable, order: "username, domain, alg", complete: "domain"})
	}
	if err != nil || c.columns[aliasTable.name] == nil {
		return err
	}
	return c.aliases(ctx)
}

// aliases copies Kamailio's table of aliases, for which it creates the table if that has rows.
func (c *copier) aliases(ctx context.Context) error {
	n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM "+aliasTable.name)
	if err != nil {
		return err
	}
	l := &c.to.layout
	info, err := l.dialect.columns(ctx, c.to.reader.pool, aliasTable.name)
	if err != nil {
		return fmt.Errorf("inspect table %s: %w", aliasTable.name, err)
	}
	if info == nil {
		if n[0] == 0 {
			return nil
		}
		err := l.createAliases(ctx)
		if t, text := l.dialect.(*textDB); err == nil && text {
			err = t.addTable(ctx, aliasTable.name)
		}
		if err != nil {
			return l.dialect.explain(fmt.Errorf("create table %s: %w", aliasTable.name, err))
		}
	}
	return c.copyTable(ctx, tableCopy{from: aliasTable.name, to: aliasTable, order: "alias_username, alias_domain", complete: "domain"})
}

// createAliases creates Kamailio's table of aliases, with silod's index.
func (l *layout) createAliases(ctx context.Context) error {
	pool, err := l.dialect.connect(ctx, forSchema)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, st := range l.statements("aliases.sql") {
		if _, err := pool.ExecContext(ctx, st); err != nil {
			return err
		}
	}
	indexes, err := l.missingIndexes(ctx, pool)
	for _, p := range indexes {
		for _, st := range p.create {
			if _, err := pool.ExecContext(ctx, st); err != nil {
				return err
			}
		}
	}
	return err
}

// contacts copies bindings, including expired ones, so that the counts match.
func (c *copier) contacts(ctx context.Context) error {
	t := c.to.layout.bindings.table
	if c.columns[t.name] == nil {
		return nil
	}
	if err := c.clear(ctx, &t); err != nil {
		return err
	}
	var batch []registrar.Change
	var errs []error
	pass := func(ch registrar.Change, err error) {
		c.pass(Passed{Table: t.name, Row: fmt.Sprintf("contact %q of %s", ch.Binding.RUID, ch.AoR), Reason: oneLine(err), Lost: true})
	}
	flush := func() {
		if errs == nil {
			if err := divide(batch, func(part []registrar.Change) error { return c.putContacts(ctx, part) }, c.done, pass); err != nil {
				errs = append(errs, err)
			}
		}
		batch = nil
	}
	_, err := c.from.bindings.load(ctx, func(a sip.AoR, b registrar.Binding) {
		if a.Domain == "" {
			a.Domain = c.o.Domain
		}
		if batch = append(batch, registrar.Change{AoR: a, Binding: b}); len(batch) == pageRows {
			flush()
		}
	}, func(err error) { c.pass(Passed{Table: t.name, Row: "contact", Reason: oneLine(err)}) })
	flush()
	return errors.Join(append(errs, err)...)
}

// putContacts writes new bindings.
func (c *copier) putContacts(ctx context.Context, batch []registrar.Change) error {
	ruids := make([]any, len(batch))
	for i, ch := range batch {
		if ruids[i] = ch.Binding.RUID; slices.Contains(ruids[:i], ruids[i]) {
			return fmt.Errorf("%w: another row has the same ruid", errInvalid)
		}
	}
	cond, args := c.to.layout.dialect.list("ruid", 1, ruids)
	n, err := c.to.reader.ints(ctx, "SELECT COUNT(*) FROM {location} WHERE "+cond, args...)
	if err != nil {
		return err
	}
	if n[0] > 0 {
		return fmt.Errorf("%w: another row has the same ruid", errInvalid)
	}
	return c.to.bindings.Save(ctx, batch)
}

// rooms copies the rows of rooms as they are, also those that Load skips. The members are
// copied in the order of their rows: of several owners the first is the owner.
func (c *copier) rooms(ctx context.Context) error {
	from, to := &c.from.layout.rooms, &c.to.layout.rooms
	for _, t := range []tableCopy{
		{from: from.members.name, to: to.members, order: "id", counted: true},
		{from: from.rooms.name, to: to.rooms, order: "id"},
		{from: roomTable.name, to: roomTable, order: "room"},
		{from: memberTable.name, to: memberTable, order: "room, username, domain"},
		{from: cursorTable.name, to: cursorTable, order: "room, username, domain"},
		{from: blockTable.name, to: blockTable, order: "username, domain"},
	} {
		if err := c.copyTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// roomLog copies the logs of rooms. Seq stays the same, because the cursors refer to it.
func (c *copier) roomLog(ctx context.Context) error {
	if c.columns[logTable.name] == nil {
		return nil
	}
	after, err := c.last(ctx, "seq", "silod_room_log")
	if err != nil {
		return err
	}
	if after > 0 {
		n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM silod_room_log WHERE seq <= $1", after)
		if err != nil {
			return err
		}
		c.done(int(n[0]))
	}
	numbered := logTable // but with Seq as its first column
	numbered.serial = ""
	numbered.fields = append([]field{{name: "seq", kind: kindInt}}, logTable.fields...)
	return c.copyRows(ctx, &tableCopy{from: logTable.name, to: numbered, order: "seq", counted: true, after: after})
}
