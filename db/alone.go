package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// errInUse is told of a database on a server. Files are locked when they are opened.
var errInUse = errors.New("the database is in use by another silod: stop that, or set another db.url")

// aloneAtMost is how long the end of a predecessor may take that was killed.
const aloneAtMost = 5 * time.Second

// alone is the session whose lock says that no other silod works on the database: two
// would both deliver what is stored, to everybody twice. The lock ends with the session,
// and so with the process, however that ends.
type alone struct {
	pool  *sql.DB
	conn  *sql.Conn
	every time.Duration // is the session looked at
}

// Close ends the session. Its lock must not go back to the pool with it.
func (a *alone) Close() error {
	if a.conn != nil {
		_ = a.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = a.conn.Close()
		a.conn = nil
	}
	return nil
}

// Occupy makes this the only silod on the database, as long as Run runs. It waits a
// moment for one that was killed.
func (db *DB) Occupy(ctx context.Context) error {
	if db.words.alone == "" {
		return nil
	}
	pool, err := db.d.connect(ctx, forWriting)
	if err != nil {
		return err
	}
	db.alone = alone{pool: pool, every: 5 * time.Second}
	db.closers = append(db.closers, &db.alone, pool)
	for end := time.Now().Add(aloneAtMost); ; {
		err := db.occupy(ctx)
		if !errors.Is(err, errInUse) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// occupy takes the lock in a session of its own.
func (db *DB) occupy(ctx context.Context) error {
	conn, err := db.alone.pool.Conn(ctx)
	if err != nil {
		return db.d.explain(err)
	}
	var taken int
	err = conn.QueryRowContext(ctx, db.words.alone).Scan(&taken)
	switch {
	case err != nil:
		err = db.d.explain(err)
	case taken != 1:
		err = errInUse
	default:
		db.alone.conn = conn
		return nil
	}
	_ = conn.Close()
	return err
}

// Run keeps what Occupy took until ctx ends; it is given up by Close. Where the server
// has ended the session, it is taken anew; an error means that another silod was faster.
func (db *DB) Run(ctx context.Context) error {
	if db.alone.conn == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(db.alone.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if db.alone.conn != nil && db.alone.conn.PingContext(ctx) == nil {
			continue
		}
		_ = db.alone.Close()
		if err := db.occupy(ctx); errors.Is(err, errInUse) {
			return fmt.Errorf("lost the database server for a while: %w", err)
		}
	}
}
