// Package db keeps messages, rooms, bindings and users in a database. It holds every SQL
// statement of the project, the schemas, and the form in which Kamailio writes its
// tables. Its stores implement silo.Store, imc.Store, registrar.Store, and the stores of
// auth. It knows nothing of SIP transactions and makes no decisions about messages.
//
// A DB consists of a layout (the engine, the names of tables and columns), a writer, a
// reader, and four stores: messages, bindings, rooms, users. All writes go through the
// writer, which puts the waiting writes into one transaction. Reads have connections of
// their own.
//
// The tables silo, location, imc_rooms, imc_members and subscriber are Kamailio's: silod
// uses them as they are, in any of their versions, and may share them with a Kamailio. The
// tables silod_* are silod's own. They have, among others, the values for which Kamailio's
// tables have no column. An engine is a kind of database: SQLite, PostgreSQL, MySQL or
// MariaDB, and Kamailio's text files.
//
// Locks: queue.mu guards the queue of writes and is not held while the database works.
// The writer's session belongs to the writer's goroutine alone.
package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// Options are the settings of a database. The zero value has Kamailio's names.
type Options struct {
	Log  *slog.Logger
	Now  func() time.Time
	Node string // name of this daemon among those that share the database

	// Domains determine which users the rows of tables mean, in whatever spelling another
	// program has written them. The zero value takes them as they are, for Copy.
	Domains sip.Domains

	SiloTable    string // default "silo"
	Silo         SiloNames
	RoomsTable   string // default "imc_rooms"
	MembersTable string // default "imc_members"

	// Unfinished allows to open a database that an interrupted Copy has left.
	Unfinished bool

	// Progress, if not nil, is called every second while Open creates an index.
	Progress func(Indexing)

	ownOnly bool // create none of Kamailio's tables
	// patience is the time for which an index waits for other programs; 0 is indexPatience, and
	// less has no limit.
	patience time.Duration
}

// SiloNames are the names of the columns of the table silo, as msilo's parameters sc_*
// set them. The default is Kamailio's name; of ID it is the one of id and mid that the
// table has.
type SiloNames struct {
	ID, From, To, User, Host, Body, CType, Exp, Inc, Snd, Headers, CallID string
}

// A DB is an open database.
type DB struct {
	layout layout
	writer writer
	reader reader

	messages messages
	bindings bindings
	rooms    rooms
	users    users
	notes    notes

	snapshot sourceState // of a database that OpenSource has opened

	lock *instanceLock // nil before AcquireLock, and where a file is locked instead
	url  string
	log  *slog.Logger
	now  func() time.Time
}

// Open opens the database that the URL names (see newDialect for the forms), creates or
// completes its schema, and checks Kamailio's tables. The text of an error is one line that
// says how to solve the problem.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	db, err := newDB(url, o, false)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx, &o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// newDB returns a database that is not open yet. It locks the files of an engine that has
// files, unless readOnly is set.
func newDB(url string, o Options, readOnly bool) (*DB, error) {
	db := &DB{url: url, log: o.Log, now: o.Now}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.now == nil {
		db.now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	dialect, err := newDialect(url, &o)
	if err != nil {
		return nil, err
	}
	db.layout = newLayout(dialect, &o)
	l, w, r := &db.layout, &db.writer, &db.reader
	r.layout = l
	w.init(l, r, db.log, db.now)
	db.messages = messages{layout: l, writer: w, reader: r, now: db.now, turn: make(turn, 1), slice: sliceRows}
	db.messages.spellings.init(l, r, db.now)
	w.committed = db.messages.spellings.committed
	db.bindings = bindings{layout: l, writer: w, reader: r}
	db.rooms = rooms{layout: l, writer: w, reader: r, notes: &db.notes, log: db.log, slots: make(chan struct{}, roomReads)}
	db.notes = notes{layout: l, writer: w, reader: r}
	db.users = users{layout: l, writer: w, reader: r, now: db.now}
	if err := dialect.lockFiles(readOnly, o.ownOnly); err != nil {
		return nil, err
	}
	return db, nil
}

// open connects and prepares the schema.
func (db *DB) open(ctx context.Context, o *Options) error {
	d := db.layout.dialect
	pool, err := d.connect(ctx, forSchema)
	if err != nil {
		return err
	}
	m := migration{
		layout: &db.layout, log: db.log, now: db.now, ownOnly: o.ownOnly,
		progress: o.Progress, patience: max(cmp.Or(o.patience, indexPatience), 0),
	}
	err = m.run(ctx, pool)
	db.layout.createdTables = m.created
	if err := errors.Join(err, pool.Close()); err != nil {
		return err
	}
	if db.reader.pool, err = d.connect(ctx, forReading); err != nil {
		return err
	}
	if db.writer.pool, err = d.connect(ctx, forWriting); err != nil {
		return err
	}
	i := inspection{layout: &db.layout, pool: db.writer.pool, log: db.log}
	if err := i.run(ctx); err != nil {
		return err
	}
	if err := db.messages.findCopies(ctx); err != nil {
		return err
	}
	if err := db.messages.findStrangers(ctx); err != nil {
		return err
	}
	db.layout.numbering.look(ctx, &db.layout, db.reader.pool, db.log)
	if !o.Unfinished {
		return db.refuseUnfinished(ctx)
	}
	return nil
}

// check returns an error for names that would have to be quoted in a statement.
func (o *Options) check() error {
	for _, name := range []string{
		o.SiloTable, o.RoomsTable, o.MembersTable, o.Silo.ID, o.Silo.From, o.Silo.To, o.Silo.User, o.Silo.Host,
		o.Silo.Body, o.Silo.CType, o.Silo.Exp, o.Silo.Inc, o.Silo.Snd, o.Silo.Headers, o.Silo.CallID,
	} {
		if name != "" && !identifier.MatchString(name) {
			return fmt.Errorf("%q cannot be the name of a table or column: letters, digits and '_' only", name)
		}
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Messages returns the store of messages and reminders.
func (db *DB) Messages() silo.Store { return &db.messages }

// Bindings returns the store of bindings.
func (db *DB) Bindings() registrar.Store { return &db.bindings }

// SharedBindings returns the part of the store of bindings that other programs write as well.
func (db *DB) SharedBindings() registrar.Shared { return &db.bindings }

// Rooms returns the store of chat rooms.
func (db *DB) Rooms() imc.Store { return &db.rooms }

// Users returns the store of users.
func (db *DB) Users() UserStore { return &db.users }

// Ping returns an error, silo.ErrBusy, unless the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := scan(db.reader.pool.QueryRowContext(ctx, "SELECT 1"), &one); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

// Close waits for the writes in the queue and closes the database.
func (db *DB) Close() error {
	db.writer.close()
	var errs []error
	for _, pool := range []*sql.DB{db.reader.pool, db.writer.pool} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	errs = append(errs, db.lock.close(), db.layout.dialect.close())
	return errors.Join(errs...)
}
