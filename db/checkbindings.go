package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A bindingCount counts the rows of location that are read in a way that may surprise.
type bindingCount struct {
	noDomain, dot, permanent, expired, future, unreadable int64

	example error // of an unreadable row
	lines   int64 // rows of silod_binding without a row of location
}

// bindings adds findings about contacts that other programs have written, and about those that no
// program needs any more.
func (c *check) bindings(ctx context.Context) error {
	if c.missing["location"] {
		return nil
	}
	n, err := c.countBindings(ctx)
	if err != nil {
		return nil //nolint:nilerr // the table has a problem of its own, which is found elsewhere
	}
	domain := "no domain"
	if a := c.db.layout.aor(rowName{user: "x"}); a.Domain != "" {
		domain = "users of " + a.Domain
	}
	note := func(table string, rows int64, text string) {
		if rows > 0 {
			c.found = append(c.found, Finding{Table: table, Rows: rows, Note: text})
		}
	}
	note("location: no domain", n.noDomain, "used as contacts of "+domain+" (Kamailio's use_domain=0)")
	note("location: path '.'", n.dot, "used without a Path (kamctl ul add)")
	note("location: permanent", n.permanent, "used until they are removed")
	note("location: expired", n.expired, "not used, silod deletes them")
	note("location: future", n.future, "written later than now: run silod with the time zone of the program that wrote them (TZ), or contacts end too late")
	if n.unreadable > 0 {
		note("location: unreadable", n.unreadable, "not used, such as "+oneLine(n.example))
	}
	note("silod_binding: no contact", n.lines, "not used, silod deletes them when it starts")
	return nil
}

// countBindings reads all rows of location.
func (c *check) countBindings(ctx context.Context) (*bindingCount, error) {
	st, d, now := &c.db.bindings, c.db.layout.dialect, c.db.now()
	columns := st.columns()
	index := func(name string) int { return slices.Index(columns, "l."+name) }
	domain, path, expires := index("domain"), index("path"), index("expires")
	n, ruids := &bindingCount{}, map[string]bool{}
	err := st.scan(ctx, len(columns), func(values []any) {
		ruids[asText(values[0])] = true
		_, b, err := st.binding(append(values, nil))
		if err != nil {
			if n.unreadable++; n.example == nil {
				n.example = fmt.Errorf("row %q: %w", b.RUID, err)
			}
			return
		}
		if domain < 0 || asText(values[domain]) == "" {
			n.noDomain++
		}
		if path >= 0 && strings.TrimSpace(asText(values[path])) == "." {
			n.dot++
		}
		if at, err := d.time(values[expires]); err == nil && isPermanent(at) {
			n.permanent++
		}
		if b.Expires.Before(now) {
			n.expired++
		}
		if b.Modified.After(now.Add(clockSkew)) {
			n.future++
		}
	}, "SELECT "+strings.Join(columns, ", ")+" FROM {location} l")
	if err != nil {
		return nil, err
	}
	if c.versions == 0 {
		err = st.orphans(ctx, ruids, func(string) { n.lines++ })
	}
	return n, err
}

// clockSkew is the difference of two clocks that is no difference of time zones.
const clockSkew = 10 * time.Minute
