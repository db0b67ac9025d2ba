package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"silod/db"
	"silod/sip"
)

// copyCommand returns the command that copies a database. file is its flag --config.
func (a *app) copyCommand(file *string) *cobra.Command {
	var domain string
	c := &cobra.Command{
		Use: "copy FROM TO", Short: "Copy a database to an empty one of any engine", Args: arguments(2, 2),
		Long: "Copies messages, rooms, users and contacts, and compares the counts at the end. First stop all programs\n" +
			"that use either database. FROM is only read, with the right to read, and may lack tables. After an\n" +
			"interruption, the same command continues the copy.\n\n" +
			"Rows of users without a domain, as Kamailio writes them by default, get the main domain of the\n" +
			"configuration, or --domain. A row that cannot be copied is passed over and shown at the end, with the\n" +
			"reason. The exit status is 1 if one of them has data that silod would use, such as a message that is\n" +
			"too long for TO, and 0 if they have none, such as a contact without an address.",
		Example: "  siloctl db copy sqlite:/var/lib/silod/silod.db postgres://silod@db1,db2/silod\n" +
			"  siloctl db copy text:/usr/local/etc/kamailio/dbtext /etc/silod/silod.toml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if domain != "" {
				if _, _, err := sip.ParseHostPort(domain); err != nil {
					return usagef("--domain: %s", err)
				}
			}
			return a.dbCopy(cmd.Context(), *file, args[0], args[1], domain)
		},
	}
	c.Flags().StringVar(&domain, "domain", "", "the domain of rows that name a user without one")
	return c
}

// oneDatabase returns the database that arg names.
func oneDatabase(file, arg string) (database, error) {
	list, err := databases(file, []string{arg})
	if err != nil {
		return database{}, err
	}
	if len(list) > 1 {
		return database{}, usagef("%s names %d databases: copy each by its URL", arg, len(list))
	}
	return list[0], nil
}

// dbCopy copies one database to another.
func (a *app) dbCopy(ctx context.Context, file, from, to, domain string) error {
	source, err := oneDatabase(file, from)
	if err != nil {
		return err
	}
	target, err := oneDatabase(file, to)
	if err != nil {
		return err
	}
	s, err := db.OpenSource(ctx, source.url.URL(), source.opts)
	if err != nil {
		return err
	}
	t, err := openTarget(ctx, &target)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	domain = cmp.Or(domain, target.main, source.main)
	return errors.Join(a.copyTo(ctx, s, t, domain), s.Close(), t.Close())
}

// openTarget opens the target of a copy, also of one that was interrupted, and locks it.
func openTarget(ctx context.Context, target *database) (*db.DB, error) {
	target.opts.Unfinished = true
	d, err := db.Open(ctx, target.url.URL(), target.opts)
	if err != nil {
		return nil, err
	}
	if err := d.AcquireLock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", target.url, err), d.Close())
	}
	return d, nil
}

// copyTo copies, with a progress bar for each kind of row.
func (a *app) copyTo(ctx context.Context, from, to *db.DB, domain string) error {
	c := &copyReport{a: a, passed: map[string]int{}}
	err := db.Copy(ctx, from, to, db.CopyOptions{Domain: domain, Report: c.at, Passed: c.pass, NoDomain: c.noDomain})
	c.end()
	c.showPassed()
	if err != nil {
		if ctx.Err() != nil {
			a.note("run the same command again to continue")
			return ctx.Err()
		}
		return err
	}
	if a.output == "json" {
		err = writeLine(a.out, c.done)
	} else {
		for _, p := range c.done {
			fmt.Fprintf(a.out, "%9d %s\n", p.Rows, p.What)
		}
		fmt.Fprintln(a.out, "copied and counted")
	}
	if err == nil && c.lost > 0 {
		return fmt.Errorf("%d rows with data were not copied", c.lost)
	}
	return err
}

// A copyReport shows the progress of a copy, and collects its counts and the rows that it passes
// over.
type copyReport struct {
	a      *app
	bar    *progress
	done   []copied
	listed []db.Passed
	passed map[string]int // rows, by table
	lost   int            // those with data
}

// A copied is the number of rows of one kind.
type copied struct {
	What string `json:"what"`
	Rows int    `json:"rows"`
}

// maxPassed is the number of rows that a copyReport lists.
const maxPassed = 1000

// at shows the progress of the kind of row that is being copied.
func (c *copyReport) at(p db.Progress) {
	if n := len(c.done); n == 0 || c.done[n-1].What != p.What {
		c.end()
		c.bar = c.a.progress(p.What, int64(p.Total))
		c.done = append(c.done, copied{What: p.What})
	}
	c.done[len(c.done)-1].Rows = p.Done
	c.bar.at(int64(p.Done))
}

// pass collects a row that is not copied.
func (c *copyReport) pass(p db.Passed) {
	if c.passed[p.Table] += p.Rows; len(c.listed) < maxPassed {
		c.listed = append(c.listed, p)
	}
	if p.Lost {
		c.lost += p.Rows
	}
}

// noDomain reports rows without a domain.
func (c *copyReport) noDomain(table string, rows int) {
	c.end()
	c.a.note(fmt.Sprintf("table %s: %d rows without a domain stay as they are, silod takes them for users of its main domain; --domain completes them", table, rows))
}

// showPassed lists the rows that were not copied, and their number in each table.
func (c *copyReport) showPassed() {
	for _, p := range c.listed {
		c.a.note(fmt.Sprintf("table %s: %s: %s", p.Table, p.Row, p.Reason))
	}
	tables := make([]string, 0, len(c.passed))
	for t := range c.passed {
		tables = append(tables, t)
	}
	slices.Sort(tables)
	for _, t := range tables {
		c.a.note(fmt.Sprintf("table %s: rows passed over: %d", t, c.passed[t]))
	}
}

// end removes the progress bar.
func (c *copyReport) end() {
	if c.bar != nil {
		c.bar.end()
		c.bar = nil
	}
}
