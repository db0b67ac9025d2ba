package db

import (
	"context"
	"fmt"
	"strings"
)

// A checkedTable is the columns of a table in which rows must have values to be used as another
// program means them.
type checkedTable struct {
	info    map[string]columnInfo
	columns []string
	numbers []string
}

// checkedTable returns those of a table, none for a table that is not Kamailio's.
func (l *layout) checkedTable(table string) checkedTable {
	n := l.messages.names
	switch table {
	case l.messages.table:
		numbers := []string{n.Inc, n.Exp, n.Snd}
		columns := append([]string{n.User, n.Host, n.From, n.To, n.CType}, numbers...)
		if l.messages.callID {
			columns = append(columns, n.CallID)
		}
		return checkedTable{l.messages.columns, columns, numbers}
	case l.rooms.rooms.name:
		return checkedTable{l.rooms.roomColumns, []string{"name", "domain", "flag"}, []string{"flag"}}
	case l.rooms.members.name:
		return checkedTable{l.rooms.memberColumns, []string{"username", "domain", "room", "flag"}, []string{"flag"}}
	case l.bindings.table.name:
		return checkedTable{l.bindings.columns, []string{"ruid", "username", "contact", "expires", "callid", "cseq"}, []string{"cseq"}}
	}
	return checkedTable{}
}

// values notes, for each table, the rows with values that Kamailio's own tables do not have.
func (c *check) values(ctx context.Context) error {
	for i := range c.found {
		if f := &c.found[i]; !c.missing[f.Table] && f.Rows > 0 {
			join(&f.Note, c.valuesOf(ctx, f.Table))
		}
	}
	return nil
}

// valuesOf returns a note about the rows of a table with NULL where Kamailio's own tables have none,
// with text in place of a number, or with a time of sending before 1970, at which a reminder is
// never sent.
func (c *check) valuesOf(ctx context.Context, table string) string {
	l := &c.db.layout
	t := l.checkedTable(table)
	var counts, texts []string
	count := func(condition, text string) {
		counts, texts = append(counts, "COUNT(CASE WHEN "+condition+" THEN 1 END)"), append(texts, text)
	}
	for _, column := range t.columns {
		if t.info[column].nullable {
			count(column+" IS NULL", "%d rows with NULL in "+column)
		}
	}
	for _, column := range t.numbers {
		if number := fmt.Sprintf(l.fragments.number, column); number != column {
			count(column+" <> "+number, "%d rows without a number in "+column)
		}
	}
	if snd := l.messages.names.Snd; table == l.messages.table && t.info != nil {
		count(fmt.Sprintf(l.fragments.number, snd)+" < 0", "%d rows with a negative "+snd+" are not used")
	}
	if counts == nil {
		return ""
	}
	n, err := c.db.reader.ints(ctx, "SELECT "+strings.Join(counts, ", ")+" FROM "+table)
	if err != nil {
		return ""
	}
	var notes []string
	for i, text := range texts {
		if n[i] > 0 {
			notes = append(notes, fmt.Sprintf(text, n[i]))
		}
	}
	return strings.Join(notes, "; ")
}
