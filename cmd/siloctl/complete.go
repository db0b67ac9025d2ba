package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"silod/mi"
)

// noFiles is for what is no file's name.
const noFiles = cobra.ShellCompDirectiveNoFileComp

// Nobody waits long for a completion, nor reads many values.
const (
	completionTime = time.Second // what somebody who pressed TAB waits for
	completionMost = 500         // values that are worth showing
)

// values asks the daemon for what an argument may be.
func (a *app) values(ctx context.Context, command string) []string {
	return a.entries(ctx, command, func(n *mi.Node) string {
		var first string
		add := func(row []mi.Attr) error {
			for _, c := range row {
				if isName(c.Name) && first == "" {
					first = clean(fmt.Sprint(c.Value))
				}
			}
			return nil
		}
		if err := rowsOf(n, false, nil, add); err != nil {
			return ""
		}
		return first
	})
}

// isName tells the column that says which one an entry is.
func isName(column string) bool {
	switch strings.ToLower(column) {
	case "uri", "room", "user", "aor", "id", "address":
		return true
	}
	return false
}

// entries lists what name makes of a reply's entries. A daemon that is not there
// has none.
func (a *app) entries(ctx context.Context, command string, name func(*mi.Node) string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	a.target.Timeout = completionTime
	client, err := a.daemon(ctx)
	if err != nil {
		return nil
	}
	var list []string
	for n, err := range client.Stream(ctx, command) {
		if err != nil || len(list) == completionMost {
			break
		}
		if s := name(n); s != "" {
			list = append(list, s)
		}
	}
	return list
}
