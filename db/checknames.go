package db

import (
	"context"
	"fmt"
	"strings"

	"silod/sip"
)

// nameColumns returns the columns of a table that Kamailio shares with silod: the number of the
// row, the user and the domain. own returns the name that silod writes there.
func (l *layout) nameColumns(table string) (columns string, own func(sip.AoR) rowName) {
	n := l.messages.names
	switch table {
	case l.messages.table:
		return n.ID + ", " + n.User + ", " + n.Host, l.owner
	case l.rooms.rooms.name:
		return "id, name, domain", func(a sip.AoR) rowName {
			r := l.room(rowName{a.User, a.Domain})
			return rowName{r.User, r.Domain}
		}
	case l.rooms.members.name:
		return "id, username, domain", l.member
	case l.bindings.table.name:
		return "id, username, domain", l.kamailioName
	case "subscriber":
		return "id, username, domain", func(a sip.AoR) rowName { return rowName{a.User, a.Domain} }
	}
	return "", nil
}

// Limits of the check of names.
const (
	maxListed = 5       // rows that a note lists
	maxNamed  = 200_000 // rows of a table that are read, the newest ones
)

// names notes, for each table, the rows with a user in another spelling, and those that name
// no user, which silod does not use.
func (c *check) names(ctx context.Context) error {
	if c.db.layout.domains == (sip.Domains{}) {
		return nil
	}
	for i := range c.found {
		f := &c.found[i]
		if !c.missing[f.Table] && f.Rows > 0 {
			join(&f.Note, c.namesOf(ctx, f))
		}
	}
	return nil
}

// namesOf returns the note about the names in a table, "" where they cannot be read.
func (c *check) namesOf(ctx context.Context, f *Finding) string {
	l := &c.db.layout
	columns, own := l.nameColumns(f.Table)
	if columns == "" {
		return ""
	}
	number, _, _ := strings.Cut(columns, ",")
	rows, err := c.db.reader.query(ctx, "SELECT "+columns+" FROM "+f.Table+" ORDER BY "+number+" DESC LIMIT $1", maxNamed)
	if err != nil {
		return ""
	}
	defer rows.Close()
	other, none, all, listed := 0, 0, 0, []string{}
	for rows.Next() {
		var id int64
		var user, domain any
		if err := scan(rows, &id, &user, &domain); err != nil {
			return ""
		}
		all++
		n := rowName{asText(user), asText(domain)}
		switch a := l.aor(n); {
		case a.User == "" || a.Domain == "":
			if none++; none <= maxListed {
				listed = append(listed, fmt.Sprint(id))
			}
		case own(a) != n:
			other++
		}
	}
	if rows.Err() != nil {
		return ""
	}
	var note string
	if other > 0 {
		note = fmt.Sprintf("%d rows with users in other spellings", other)
	}
	if none > 0 {
		text := fmt.Sprintf("%d rows without a user are not used: %s", none, strings.Join(listed, ", "))
		if none > maxListed {
			text += ", ..."
		}
		join(&note, text)
	}
	if note != "" && all == maxNamed {
		note += fmt.Sprintf(" (of the newest %d rows)", maxNamed)
	}
	return note
}
