package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Indexing is the progress of the creation of an index.
type Indexing struct {
	Index, Table string
	Rows         int64 // of the table, roughly
	Percent      int   // -1 where the engine does not tell
	Waits        string
	For          time.Duration // since the beginning
}

// String returns the progress in words.
func (p Indexing) String() string {
	text := fmt.Sprintf("creating index %s of table %s, %d rows", p.Index, p.Table, p.Rows)
	if p.Percent >= 0 {
		text += fmt.Sprintf(", %d %%", p.Percent)
	}
	if p.Waits != "" {
		text += ", " + p.Waits
	}
	return text + fmt.Sprintf(", for %v", p.For.Round(time.Second))
}

// Times of createIndexes.
const (
	indexPatience = 30 * time.Second // a start waits no longer for other programs
	indexPause    = time.Second      // between attempts, and between reports to Options.Progress
	indexLogEvery = 10 * time.Second
)

// createIndexes creates the missing indexes, one by one, while other programs write the tables.
// It does not do so in a transaction, and stops within a second when ctx ends; the next call
// continues. Where an index cannot be created, or other programs keep locks for longer than
// the patience, silod works without it, slower: createIndexes logs that and returns nil.
func (m *migration) createIndexes(ctx context.Context, conn *sql.Conn) error {
	parts, err := m.layout.missingIndexes(ctx, conn)
	if err != nil || len(parts) == 0 {
		return err
	}
	unlock, err := m.lockIndexes(ctx, conn)
	if err != nil {
		return err
	}
	defer unlock()
	for i := range parts {
		p := &parts[i]
		if found, err := m.layout.hasIndex(ctx, conn, p.table, p.name); err != nil {
			return err
		} else if found {
			continue // another daemon was faster
		}
		err := m.createIndex(ctx, conn, p)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("create index %s: %w", p.name, context.Cause(ctx))
		case err != nil:
			m.log.Warn("index missing; `siloctl db migrate` creates it", "index", p.name, "so", withoutIndex(p.name), "error", m.layout.dialect.explain(err))
		default:
			m.created = append(m.created, p.String())
		}
	}
	_, err = m.layout.missingIndexes(ctx, conn) // records those that exist now
	return err
}

// lockIndexes waits until no other process creates indexes, and returns the function that
// unlocks them. It asks again and again: a statement that waits in the server would keep a
// snapshot, and PostgreSQL's creation of an index waits for the end of all snapshots.
func (m *migration) lockIndexes(ctx context.Context, conn querier) (unlock func(), err error) {
	f := &m.layout.fragments
	if f.lockIndexes == "" {
		return func() {}, nil
	}
	for start := time.Now(); ; {
		got, err := scanInts(conn.QueryContext(ctx, f.lockIndexes))
		if err != nil {
			return nil, m.layout.dialect.explain(fmt.Errorf("lock indexes: %w", err))
		}
		if got[0] == 1 {
			return func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), f.unlockIndexes) }, nil
		}
		if err := pause(ctx, indexPause/4); err != nil {
			return nil, fmt.Errorf("lock indexes: %w", err)
		}
		m.report(Indexing{Percent: -1, Waits: "another process creates indexes", For: time.Since(start)})
	}
}

// createIndex creates an index and reports the progress. It tries again while other programs
// keep locks, until the patience is at its end.
func (m *migration) createIndex(ctx context.Context, conn *sql.Conn, p *missingPart) error {
	start := time.Now()
	now := Indexing{Index: p.name, Table: p.table, Percent: -1}
	now.Rows, _, _ = m.layout.countRows(ctx, conn, p.table)
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.follow(watching, now, start)
	}()
	defer func() { stop(); <-done }()
	for wait := indexPause; ; {
		err := m.layout.dialect.createIndex(ctx, conn, p, m.patience)
		if err == nil {
			if took := time.Since(start); took > indexPause {
				m.log.Info("index created", "index", p.name, "table", p.table, "rows", now.Rows, "took", took.Round(time.Millisecond))
			}
			return nil
		}
		f := m.layout.dialect.fault(err)
		if f != faultLocked && f != faultRetry || m.patience > 0 && time.Since(start) >= m.patience {
			return err
		}
		if perr := pause(ctx, wait); perr != nil {
			return errors.Join(err, perr)
		}
		wait = min(2*wait, 8*indexPause) // some engines make others wait during an attempt
	}
}

// follow reports the progress of an index until ctx ends, and logs it now and then.
func (m *migration) follow(ctx context.Context, now Indexing, start time.Time) {
	m.report(now)
	if pause(ctx, indexPause) != nil {
		return
	}
	pool, err := m.layout.dialect.connect(ctx, forCheck)
	if err != nil {
		return
	}
	defer pool.Close()
	for logged := (time.Time{}); ; {
		now.For = time.Since(start)
		now.Percent, now.Waits = m.layout.dialect.indexProgress(ctx, pool, now.Table)
		m.report(now)
		if ctx.Err() == nil && time.Since(logged) >= indexLogEvery {
			logged = time.Now()
			m.log.Info("creating index", "index", now.Index, "table", now.Table, "rows", now.Rows, "percent", now.Percent,
				"waits", now.Waits, "for", now.For.Round(time.Second))
		}
		if pause(ctx, indexPause) != nil {
			return
		}
	}
}

func (m *migration) report(p Indexing) {
	if m.progress != nil {
		m.progress(p)
	}
}

// pause waits. It returns the error of ctx if that ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// hasIndex reports whether a table has an index that can be used.
func (l *layout) hasIndex(ctx context.Context, q querier, table, name string) (bool, error) {
	find := l.dialect.bind(l.fragments.findIndex)
	existing, err := scanInts(q.QueryContext(ctx, find.text, find.args([]any{table, name})...))
	if err != nil {
		return false, fmt.Errorf("inspect index %s: %w", name, err)
	}
	return len(existing) > 0, nil
}

// missingIndexes returns silod's missing indexes on Kamailio's tables.
func (l *layout) missingIndexes(ctx context.Context, q querier) ([]missingPart, error) {
	var parts []missingPart
	for _, st := range l.statements("indexes.sql") {
		words := strings.Fields(st)
		on := slices.Index(words, "ON")
		name, table := words[on-1], words[on+1]
		if table == "dbaliases" { // silod does not create it
			info, err := l.dialect.columns(ctx, q, table)
			if err != nil {
				return nil, fmt.Errorf("inspect table %s: %w", table, err)
			}
			if info == nil {
				continue
			}
		}
		found, err := l.hasIndex(ctx, q, table, name)
		if err != nil {
			return nil, err
		}
		if !found {
			parts = append(parts, missingPart{missingIndex, name, table, []string{st}})
		} else if name == lowerUsersIndex || name == lowerAliasesIndex {
			l.lowerIndexes[name] = true
		}
	}
	return parts, nil
}

// withoutIndex returns what silod cannot do without an index.
func withoutIndex(name string) string {
	if name == lowerUsersIndex || name == lowerAliasesIndex {
		return "users are found only in the case in which the table has them"
	}
	if strings.HasSuffix(name, "_room_idx") {
		return "large rooms are slow"
	}
	return "large mailboxes are slow"
}
