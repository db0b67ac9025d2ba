package main

import (
	"fmt"
	"slices"
	"strings"

	"silod/mi"
)

// rowsOf calls add with each table row of a node. A node that has no children, or only leaves, is one
// row: its name if named is set, its value, its attributes, and its children by name. Any other node is
// a group: its value is a cell of each row below it. group has the cells of the groups above.
func rowsOf(n *mi.Node, named bool, group []mi.Attr, add func([]mi.Attr) error) error {
	own := slices.Clip(group)
	switch {
	case n.Value != nil:
		own = append(own, mi.Attr{Name: keyOf(n), Value: n.Value})
	case named && n.Name != "" && !n.List:
		own = append(own, mi.Attr{Name: "name", Value: n.Name})
	}
	if isGroup(n) {
		for _, c := range n.Nodes {
			if err := rowsOf(c, !n.List, own, add); err != nil {
				return err
			}
		}
		return nil
	}
	own = append(own, n.Attrs...)
	for _, c := range n.Nodes {
		own = append(own, mi.Attr{Name: keyOf(c), Value: c.Value})
	}
	return add(own)
}

// cells returns a row. pairs are the names and values of its cells in turn.
func cells(pairs ...any) []mi.Attr {
	var row []mi.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		row = append(row, mi.Attr{Name: fmt.Sprint(pairs[i]), Value: pairs[i+1]})
	}
	return row
}

// keyOf returns the column name of a node's value.
func keyOf(n *mi.Node) string {
	if n.Name == "" {
		return "value"
	}
	return strings.ToLower(n.Name)
}

// isGroup reports whether a node has rows below it.
func isGroup(n *mi.Node) bool {
	return n.List || !slices.ContainsFunc(n.Nodes, isLeaf) && len(n.Nodes) > 0
}

// isLeaf reports whether a node is only a name and a value.
func isLeaf(n *mi.Node) bool { return len(n.Nodes) == 0 && len(n.Attrs) == 0 && !n.List }
