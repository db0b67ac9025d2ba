// Package db keeps messages, rooms and bindings in a database. It owns every SQL
// statement of the project, the schemas, and Kamailio's spelling of things in
// Kamailio's tables; it implements silo.Store, imc.Store and registrar.Store. It
// knows nothing of SIP transactions or of why something is written.
//
// Everything that is written goes through one writer, which puts all waiting
// writes into one transaction (see writer). Reads have connections of their own.
//
// Locks: writer.mu guards the queue and is never held while the database works.
// The writing connection belongs to the writer's goroutine alone.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what the configuration says of the tables. The zero value is
// Kamailio's own naming.
type Options struct {
	Log    *slog.Logger
	Now    func() time.Time
	Node   string // this daemon's name among those that share the database
	Domain string // completes a row of location that names no domain

	SiloTable    string // default "silo"
	Silo         SiloNames
	RoomsTable   string // default "imc_rooms"
	MembersTable string // default "imc_members"

	// Unfinished opens also a database that an interrupted Copy has left.
	Unfinished bool

	ownOnly bool // make no table that may be Kamailio's
}

// SiloNames are the names of the columns of the table silo, as msilo's
// parameters sc_* set them. "" is Kamailio's own name; ID is by default
// whichever of id and mid the table has.
type SiloNames struct {
	ID, From, To, User, Host, Body, CType, Exp, Inc, Snd, Headers, CallID string
}

// DB is one open database.
type DB struct {
	d       dialect
	url     string
	log     *slog.Logger
	now     func() time.Time
	opts    Options
	write   *sql.DB
	read    *sql.DB
	closers []io.Closer

	begin   string // opens a transaction
	prepare bool   // the writer prepares its statements
	keyed   bool   // a commit's answer can get lost, so batches have keys

	reads sync.Map // *reading by text; the texts are few

	w      writer
	sess   *session    // the writer's; nil where there is none
	health health      // the writer's
	alone  alone       // Run's
	copied atomic.Bool // silod_device has rows
	forgot int64       // when the writer last deleted old batch keys, unix seconds

	aliases atomic.Bool // the table dbaliases is there

	looking bool     // nothing may be changed, see Check
	made    []string // what opening had to make

	watch func(text string, args []any) // tests look at the plans of what is run

	words
	silo      siloColumns
	siloTable table
	fill      replacer // puts names into statements
	location  locationColumns

	roomInfo, memberInfo map[string]columnInfo
}

// Open opens the database that the URL names, makes or completes its schema,
// and checks the tables that are Kamailio's. Its errors are one line that says
// what to do. See ParseURL for the spellings.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	db, err := choose(url, o, false)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// choose makes a database that is not open yet.
func choose(url string, o Options, looking bool) (*DB, error) {
	db := &DB{url: url, log: o.Log, now: o.Now, opts: o, looking: looking}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.now == nil {
		db.now = time.Now
	}
	db.w.commit, db.w.now = db.commit, db.now
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := db.choose(url); err != nil {
		return nil, err
	}
	db.words = db.d.words()
	return db, nil
}

// open connects and prepares the schema.
func (db *DB) open(ctx context.Context) error {
	pool, err := db.d.connect(ctx, forSchema)
	if err != nil {
		return err
	}
	err = db.migrate(ctx, pool)
	if err := errors.Join(err, pool.Close()); err != nil {
		return err
	}
	if db.read, err = db.d.connect(ctx, forReading); err != nil {
		return err
	}
	if db.write, err = db.d.connect(ctx, forWriting); err != nil {
		return err
	}
	if err := db.inspect(ctx); err != nil {
		return err
	}
	if err := db.findCopies(ctx); err != nil {
		return err
	}
	if !db.opts.Unfinished {
		return db.refuseUnfinished(ctx)
	}
	return nil
}

// check refuses names that cannot be written into a statement.
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

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

// Close waits for what is being written and closes the database.
func (db *DB) Close() error {
	db.w.close()
	var errs []error
	if db.sess != nil {
		db.sess.close()
		db.sess = nil
	}
	for _, pool := range []*sql.DB{db.read, db.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	for _, c := range db.closers {
		errs = append(errs, c.Close())
	}
	db.closers = nil
	return errors.Join(errs...)
}

// step runs f in a transaction, together with whatever else waits.
func (db *DB) step(ctx context.Context, rows int, f func(*session) error) error {
	return db.w.do(ctx, &op{
		join: func(p *plan) { p.steps = append(p.steps, f) },
		rows: max(rows, 1), bytes: 200,
	})
}

// reading is a SELECT made ready: names filled in, parameters bound, and prepared
// where the engine does that.
type reading struct {
	query
	stmt *sql.Stmt
}

// query reads. The text may hold {names}; see names. A statement that was prepared
// before somebody changed its table is prepared anew.
func (db *DB) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	for again := true; ; again = false {
		r, err := db.reading(ctx, text)
		if err != nil {
			return nil, err
		}
		if db.watch != nil {
			db.watch(r.text, r.args(args))
		}
		if r.stmt == nil {
			return db.read.QueryContext(ctx, r.text, r.args(args)...)
		}
		rows, err := r.stmt.QueryContext(ctx, r.args(args)...)
		if err == nil || !again || db.d.fault(err) != faultStale {
			return rows, err
		}
		if db.reads.CompareAndDelete(text, r) {
			r.stmt.Close()
		}
	}
}

func (db *DB) reading(ctx context.Context, text string) (*reading, error) {
	if r, ok := db.reads.Load(text); ok {
		return r.(*reading), nil
	}
	r := &reading{query: db.d.bind(db.fill.Replace(text))}
	if db.prepare {
		var err error
		if r.stmt, err = db.read.PrepareContext(ctx, r.text); err != nil {
			return nil, err
		}
	}
	if first, there := db.reads.LoadOrStore(text, r); there {
		if r.stmt != nil {
			r.stmt.Close()
		}
		return first.(*reading), nil
	}
	return r, nil
}

// ints reads rows of numbers, one after the other.
func (db *DB) ints(ctx context.Context, text string, args ...any) ([]int64, error) {
	n, err := scanInts(db.query(ctx, text, args...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	return n, nil
}

func (s *session) ints(text string, args ...any) ([]int64, error) {
	return scanInts(s.query(text, args...))
}

func scanInts(rows *sql.Rows, err error) ([]int64, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := []int64{}
	for rows.Next() {
		row := make([]int64, len(names))
		ptrs := make([]any, len(names))
		for i := range row {
			ptrs[i] = &row[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		out = append(out, row...)
	}
	return out, rows.Err()
}
