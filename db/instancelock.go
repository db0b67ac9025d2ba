package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errInUse is the error of AcquireLock and Run where another silod holds the lock.
var errInUse = errors.New("the database is in use by another silod: stop it, or set another db.url")

// Times of an instanceLock.
const (
	acquireTimeout = 5 * time.Second // for the server to end a session of which the client is gone
	lockInterval   = 5 * time.Second // between checks of the session
)

// An instanceLock is a session on a server that holds a lock. The lock keeps other silods
// from the database: two would deliver every message twice. It ends with the session, and
// so with the process, however that ends. Engines with files lock a file instead, see
// fileLock.
type instanceLock struct {
	layout   *layout
	pool     *sql.DB
	conn     *sql.Conn     // nil without the lock
	interval time.Duration // between checks
}

// AcquireLock makes this silod the only one on the database. It waits a moment for a
// predecessor that was killed. Its error is errInUse where another silod holds the lock.
// Close releases the lock.
func (db *DB) AcquireLock(ctx context.Context) error {
	if db.layout.fragments.lock == "" {
		return nil
	}
	if db.lock == nil {
		pool, err := db.layout.dialect.connect(ctx, forLocking)
		if err != nil {
			return err
		}
		db.lock = &instanceLock{layout: &db.layout, pool: pool, interval: lockInterval}
	}
	return db.lock.acquirePatiently(ctx)
}

// Run keeps the lock and watches the numbers of rows until ctx ends. Where the server has ended the session, Run acquires
// the lock again; it returns an error where another silod was faster and keeps the lock.
func (db *DB) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { db.watchNumbers(ctx) })
	if db.lock == nil {
		<-ctx.Done()
		return nil
	}
	return db.lock.run(ctx)
}

// acquirePatiently acquires the lock. While another session holds it, it tries for
// acquireTimeout: a server ends the session of a client that is gone only when it gets to know
// of that, and after a time without an answer this may be our own former session.
func (l *instanceLock) acquirePatiently(ctx context.Context) error {
	for end := time.Now().Add(acquireTimeout); ; {
		err := l.acquire(ctx)
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

// acquire takes the lock in a new session. It returns errInUse where another session
// holds the lock.
func (l *instanceLock) acquire(ctx context.Context) error {
	conn, err := l.pool.Conn(ctx)
	if err != nil {
		return l.layout.dialect.explain(err)
	}
	var taken int
	err = scan(conn.QueryRowContext(ctx, l.layout.fragments.lock), &taken)
	switch {
	case err != nil:
		err = l.layout.dialect.explain(err)
	case taken != 1:
		err = errInUse
	default:
		l.conn = conn
		return nil
	}
	_ = conn.Close()
	return err
}

// run checks the session until ctx ends, see DB.Run. An error other than errInUse means that
// the server is not available now, and run tries again.
func (l *instanceLock) run(ctx context.Context) error {
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if l.conn != nil && l.conn.PingContext(ctx) == nil {
			continue
		}
		l.release()
		if err := l.acquirePatiently(ctx); errors.Is(err, errInUse) && ctx.Err() == nil {
			return fmt.Errorf("lost the connection to the database server: %w", err)
		}
	}
}

// release ends the session. A session with the lock must not go back to the pool.
func (l *instanceLock) release() {
	if l.conn != nil {
		_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = l.conn.Close()
		l.conn = nil
	}
}

// close releases the lock. l is nil where AcquireLock was not called.
func (l *instanceLock) close() error {
	if l == nil {
		return nil
	}
	l.release()
	return l.pool.Close()
}
