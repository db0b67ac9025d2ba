package main

import (
	"fmt"
	"sync"
	"time"

	"silod/db"
)

// An indexReport shows the progress of the creation of indexes: as one line on a terminal, else
// as a line now and then.
type indexReport struct {
	a *app

	mu    sync.Mutex // at may be called while end is
	shown time.Time
	drawn bool
}

// indexReportEvery is the time between two lines without a terminal.
const indexReportEvery = 10 * time.Second

// at shows a progress.
func (r *indexReport) at(p db.Indexing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.For < time.Second: // most indexes are created at once
	case r.a.interactive():
		fmt.Fprintf(r.a.stderr, "\r\x1b[K%s", clean(p.String()))
		r.drawn = true
	case time.Since(r.shown) >= indexReportEvery:
		r.shown = time.Now()
		r.a.note(p.String())
	}
}

// end removes the line.
func (r *indexReport) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drawn {
		fmt.Fprint(r.a.stderr, "\r\x1b[K")
		r.drawn = false
	}
}
