package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"silod/mi"
)

// noFiles is the completion directive for arguments that are not file names.
const noFiles = cobra.ShellCompDirectiveNoFileComp

// Limits on a completion.
const (
	completionTimeout = time.Second
	maxCompletions    = 500
)

// values asks the daemon for the possible values of an argument that begin with the text that was typed.
// Addresses are without "sip:" if that text is.
func (a *app) values(ctx context.Context, command, typed string) []string {
	list := a.entries(ctx, command, func(n *mi.Node) string {
		var first string
		add := func(row []mi.Attr) error {
			for _, c := range row {
				if isKey(c.Name) && first == "" {
					first = namedCell(c.Name, c.Value)
				}
			}
			return nil
		}
		if err := rowsOf(n, false, nil, add); err != nil {
			return ""
		}
		for _, name := range []string{first, strings.TrimPrefix(first, "sip:")} {
			if strings.HasPrefix(name, typed) {
				return name
			}
		}
		return ""
	})
	return slices.Compact(list) // a user has several contacts
}

// isKey reports whether a column identifies its entry.
func isKey(column string) bool {
	switch strings.ToLower(column) {
	case "uri", "room", "user", "aor", "id", "address":
		return true
	}
	return false
}

// entries returns the result of name for each entry of a reply, without empty ones. Without a daemon
// it returns none.
func (a *app) entries(ctx context.Context, command string, name func(*mi.Node) string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	a.target.Timeout = completionTimeout
	client, err := a.daemon(ctx)
	if err != nil {
		return nil
	}
	var list []string
	for n, err := range client.Stream(ctx, command) {
		if err != nil || len(list) == maxCompletions {
			break
		}
		if s := name(n); s != "" {
			list = append(list, s)
		}
	}
	return list
}
