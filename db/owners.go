package db

import (
	"context"
	"fmt"
	"slices"
)

// An ownerPages reads the owners of messages in the order of the mailbox index.
type ownerPages struct {
	join  string
	where string // a condition, after AND
	args  []any
	turn  turn // nil: pages are read without pauses
	rows  int  // in a page
}

// waitingRows is the number of rows in a page of owners. After a page with many rows of each,
// skippedOwners of them are found by one look into the index each.
const (
	waitingRows   = 1000
	skippedOwners = 250
)

// each calls f for the names of the owners of messages, each once. It leaves out the other rows
// of the last owner of a page: a mailbox may have a million.
func (p *ownerPages) each(ctx context.Context, r *reader, f func(rowName)) error {
	last, skip := rowName{}, false
	for n := len(p.args) + 1; ; {
		var page []rowName
		more, err := p.turn.part(ctx, func() (more bool, err error) {
			if skip {
				page, last, err = p.skip(ctx, r, last)
				skip = false
				return true, err
			}
			read := func(text string, args ...any) (int, error) {
				add := func(n rowName) { page = append(page, n) }
				return eachOwner(ctx, r, add, text, append(slices.Clip(p.args), args...)...)
			}
			from := `FROM {silo} s ` + p.join
			rows, err := read(fmt.Sprintf(`SELECT s.{user}, s.{host} %sWHERE s.{user} = $%d AND s.{host} > $%d%s
				ORDER BY s.{host} LIMIT $%d`, from, n, n+1, p.where, n+2), last.user, last.domain, p.rows)
			if err == nil && rows < p.rows {
				rows, err = read(fmt.Sprintf(`SELECT s.{user}, s.{host} %sWHERE s.{user} > $%d%s
					ORDER BY s.{user}, s.{host} LIMIT $%d`, from, n, p.where, n+1), last.user, p.rows)
			}
			if err != nil || rows < p.rows {
				return false, err
			}
			last = page[len(page)-1]
			if r.layout.fragments.foldsNames() { // rows of names that are equal to the last may follow
				_, err = read(fmt.Sprintf(`SELECT {distinct} %sWHERE s.{user} = $%d AND s.{host} = $%d%s`,
					from, n, n+1, p.where), last.user, last.domain)
			}
			return true, err
		})
		if err != nil {
			return err
		}
		seen := map[rowName]bool{}
		for _, name := range page {
			if !seen[name] {
				seen[name] = true
				f(name)
			}
		}
		if !more {
			return nil
		}
		skip = len(seen) > 0 && 8*len(seen) < p.rows && p.canSkip(r.layout)
	}
}

// canSkip reports whether the engine compares two columns by the index as one value, and none of
// them may hold NULL.
func (p *ownerPages) canSkip(l *layout) bool {
	n, columns := l.messages.names, l.messages.columns
	return !l.fragments.foldsNames() && !columns[n.User].nullable && !columns[n.Host].nullable
}

// skip returns those of the next owners after one that have a row with the condition, and the last
// owner that it has looked at.
func (p *ownerPages) skip(ctx context.Context, r *reader, after rowName) (page []rowName, last rowName, err error) {
	const next = ` FROM {silo} s WHERE (s.{user}, s.{host}) > (o.u, o.h) ORDER BY s.{user}, s.{host} LIMIT 1)`
	n := len(p.args) + 1
	rows, err := r.query(ctx, fmt.Sprintf(`WITH RECURSIVE o (u, h, k) AS (
		SELECT * FROM (SELECT s.{user}, s.{host}, 1 FROM {silo} s WHERE (s.{user}, s.{host}) > ($%d, $%d)
			ORDER BY s.{user}, s.{host} LIMIT 1) f
		UNION ALL SELECT (SELECT s.{user}`+next+`, (SELECT s.{host}`+next+`, o.k + 1 FROM o WHERE o.k < $%d AND o.u IS NOT NULL)
		SELECT o.u, o.h, EXISTS (SELECT 1 FROM {silo} s %sWHERE s.{user} = o.u AND s.{host} = o.h%s) FROM o WHERE o.u IS NOT NULL`,
		n, n+1, n+2, p.join, p.where), append(slices.Clip(p.args), after.user, after.domain, skippedOwners)...)
	if err != nil {
		return nil, after, err
	}
	defer rows.Close()
	for last = after; rows.Next(); {
		var has bool
		if err := scan(rows, &last.user, &last.domain, &has); err != nil {
			return nil, after, err
		}
		if has {
			page = append(page, last)
		}
	}
	return page, last, rows.Err()
}

// foldsNames reports whether the engine may take different names as equal.
func (f *fragments) foldsNames() bool { return fmt.Sprintf(f.pair, "", "") != "" }

// eachOwner calls f for the owners that a SELECT finds, and returns the number of rows. A SELECT
// of {distinct} has also the bytes of the names on an engine that may sort different names as
// equal, which keep DISTINCT from merging them.
func eachOwner(ctx context.Context, r *reader, f func(rowName), text string, args ...any) (count int, err error) {
	rows, err := r.query(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	var n, last rowName
	var bytes [2]any
	into := []any{&n.user, &n.domain, &bytes[0], &bytes[1]}[:len(columns)]
	for rows.Next() {
		if err := scan(rows, into...); err != nil {
			return count, err
		}
		if n != last || count == 0 {
			f(n)
		}
		last = n
		count++
	}
	return count, rows.Err()
}
