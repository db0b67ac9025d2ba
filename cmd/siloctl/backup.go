package main

import (
	"context"
	"fmt"
	"os"

	"silod/config"
	"silod/db"
)

// dbBackup writes the database that args names, or else that of the configuration, to a file.
func (a *app) dbBackup(ctx context.Context, configFile, file string, args []string) error {
	list, err := databases(configFile, args)
	if err != nil {
		return err
	}
	if len(list) > 1 {
		return usagef("the configuration names %d databases: back up each by its URL", len(list))
	}
	d := list[0]
	var bar *progress
	err = db.Backup(ctx, d.url.URL(), d.opts, file, func(p db.Progress) {
		if bar == nil {
			bar = a.progress(p.What, int64(p.Total))
		}
		bar.at(int64(p.Done))
	})
	if bar != nil {
		bar.end()
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return writeLine(a.out, struct {
			Database config.DBURL `json:"database"`
			File     string       `json:"file"`
			Bytes    int64        `json:"bytes"`
		}{d.url, file, info.Size()})
	}
	fmt.Fprintf(a.out, "%s: backed up to %s, %d bytes\n", clean(d.url.String()), clean(file), info.Size())
	return nil
}
