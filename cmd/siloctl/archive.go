package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"silod/mi"
)

// The first line of an export names its format, which docs/management.md describes.
const (
	archiveFormat  = "silod messages"
	archiveVersion = 1
)

// An archiveHeader is the first line.
type archiveHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// exportCommand returns the command that writes stored messages into a file, one a line.
func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write stored messages and reminders into a file",
		Long: "Writes the messages that the flags select, or all, as lines of JSON, from which\n" +
			"`siloctl messages import` restores them completely. Without FILE, or with -, it writes to standard\n" +
			"output. The file can be read by its owner only, and has its name when it is complete.\n" +
			"The reasons why messages were set aside, the answers of devices and reminders are part of it; users,\n" +
			"registrations, rooms and the sources of messages from strangers are not.",
		Example: "  siloctl messages export backup.jsonl\n  siloctl messages export --user bob@example.org | gzip > bob.jsonl.gz",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			which, err := a.found(cmd.Flags(), nil)
			if err != nil {
				return err
			}
			which = append(which, named(mi.Arg{Name: "reminders", Value: flagText(cmd.Flags(), "reminders")})...)
			if len(args) == 0 || args[0] == "-" {
				_, err := a.export(cmd.Context(), a.out, which)
				return err
			}
			return a.exportTo(cmd.Context(), args[0], which)
		},
	}
	selection(cmd.Flags())
	a.completeNames(cmd)
	cmd.Flags().Bool("reminders", false, "only reminders")
	return cmd
}

// exportTo writes a temporary file and renames it to path when it is complete.
func (a *app) exportTo(ctx context.Context, path string, which []mi.Arg) error {
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: remove it unless another export is running", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after the rename there is no such file
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<16)
	n, err := a.export(ctx, w, which)
	for _, finish := range []func() error{w.Flush, f.Sync, f.Close, func() error { return os.Rename(f.Name(), path) }} {
		if err == nil {
			err = finish()
		}
	}
	if err != nil {
		return err
	}
	return a.reportCount("exported", n, "exported %d messages\n")
}

// export writes messages as the daemon sends them, and returns their number.
func (a *app) export(ctx context.Context, w *bufio.Writer, which []mi.Arg) (int64, error) {
	client, err := a.daemon(ctx)
	if err != nil {
		return 0, err
	}
	var total int64
	if a.interactive() { // only a progress bar needs the count, which costs the daemon time
		if total, err = a.sum(ctx, "count", "silo_count", which); err != nil {
			return 0, err
		}
	}
	bar := a.progress("exported", total)
	defer bar.end()
	// The header is written with the first message, or at the end, so that a refused export is empty.
	header := sync.OnceValue(func() error { return writeLine(w, archiveHeader{archiveFormat, archiveVersion}) })
	var n int64
	for c, err := range client.Stream(ctx, "silo_export", which...) {
		if err == nil {
			err = header()
		}
		if err != nil {
			return n, err
		}
		if _, err := fmt.Fprintln(w, c.Value); err != nil {
			return n, err
		}
		n++
		bar.at(n)
	}
	bar.end()
	if err := header(); err != nil {
		return n, err
	}
	a.note("not exported: users, registrations, rooms, and the sources of messages from strangers")
	return n, nil
}

// importCommand returns the command that has the daemon store the messages of an export.
func (a *app) importCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import [FILE]", Short: "Store the messages of an export",
		Long: "Has the daemon store the messages of an export. It skips messages that are stored already, so that\n" +
			"an interrupted import can be repeated, and expired ones. Users who are online get their messages\n" +
			"at once. Without FILE, or with -, it reads standard input.",
		Example: "  siloctl messages import backup.jsonl\n  zcat bob.jsonl.gz | siloctl messages import",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "-" {
				return a.importFrom(cmd.Context(), a.stdin, 0)
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return a.importFrom(cmd.Context(), bufio.NewReaderSize(f, 1<<16), info.Size())
		},
	}
}

// The size of a batch, which the daemon stores in one transaction.
const (
	importLines = 200
	importBytes = 256 << 10
)

// An importer makes the daemon store the lines of an export, a batch at a time.
type importer struct {
	app   *app
	bar   *progress
	batch bytes.Buffer
	lines []int // the numbers in the file of the lines in batch
	read  int64 // bytes of the file

	stored, known, expired, refused int64 // messages; known: already stored
}

// importFrom imports the lines of in. size is the length of the input in bytes, for the progress bar;
// 0 if it is not known.
func (a *app) importFrom(ctx context.Context, in *bufio.Reader, size int64) error {
	im := &importer{app: a, bar: a.progress("bytes imported", size)}
	defer im.bar.end()
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if ierr := im.line(ctx, n, line); ierr != nil {
			return ierr
		}
		if err != nil {
			break
		}
	}
	if err := im.flush(ctx); err != nil {
		return err
	}
	im.bar.end()
	return im.report()
}

// line adds line n of the file to the batch. If the batch is full, it is stored first.
func (im *importer) line(ctx context.Context, n int, line []byte) error {
	im.read += int64(len(line))
	line = bytes.TrimSpace(line)
	var h archiveHeader
	switch {
	case len(line) == 0:
		return nil
	case bytes.HasPrefix(line, []byte(`{"format"`)):
		if err := json.Unmarshal(line, &h); err != nil || h.Format != archiveFormat || h.Version != archiveVersion {
			return fmt.Errorf("line %d: not an export that this siloctl can read: expected format %q, version %d",
				n, archiveFormat, archiveVersion)
		}
		return nil
	}
	if len(im.lines) >= importLines || len(im.lines) > 0 && im.batch.Len()+len(line) > importBytes {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	im.lines = append(im.lines, n)
	im.batch.Write(line)
	im.batch.WriteByte('\n')
	return nil
}

// flush makes the daemon store the batch, and adds up its counts.
func (im *importer) flush(ctx context.Context) error {
	if len(im.lines) == 0 {
		return nil
	}
	n, err := im.app.ask(ctx, "silo_import", mi.Arg{Value: im.batch.String()})
	if err != nil {
		return fmt.Errorf("from line %d on: %w", im.lines[0], err)
	}
	for _, c := range n.Nodes {
		v, _ := number(c.Value)
		switch c.Name {
		case "stored":
			im.stored += v
		case "known":
			im.known += v
		case "expired":
			im.expired += v
		case "refused":
			im.refuse(c)
		}
	}
	im.batch.Reset()
	im.lines = im.lines[:0]
	im.bar.at(im.read)
	return nil
}

// refuse prints the lines of the batch that the daemon did not store, with its reasons.
func (im *importer) refuse(list *mi.Node) {
	for _, r := range list.Nodes {
		var at int64
		var reason any
		for _, a := range r.Attrs {
			switch a.Name {
			case "line":
				at, _ = number(a.Value)
			case "reason":
				reason = a.Value
			}
		}
		im.refused++
		if at > 0 && at <= int64(len(im.lines)) {
			im.app.say("line %d not imported: %v", im.lines[at-1], reason)
		}
	}
}

// report prints the counts. It returns an error if lines were refused.
func (im *importer) report() error {
	if im.app.output == "json" {
		err := writeLine(im.app.out, map[string]int64{
			"stored": im.stored, "known": im.known, "expired": im.expired, "refused": im.refused,
		})
		if err != nil {
			return err
		}
	} else {
		fmt.Fprintf(im.app.out, "stored %d messages", im.stored)
		if im.known > 0 {
			fmt.Fprintf(im.app.out, ", %d already stored", im.known)
		}
		if im.expired > 0 {
			fmt.Fprintf(im.app.out, ", %d expired", im.expired)
		}
		fmt.Fprintln(im.app.out)
	}
	if im.refused > 0 {
		return fmt.Errorf("%s not imported", plural(im.refused, "message"))
	}
	return nil
}
