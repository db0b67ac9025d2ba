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

// maxListed is the number of rows that a note lists.
const maxListed = 5

// names returns a note about the rows of a table with a user in another spelling, and about
// those that name no user, which silod does not use.
func (c *check) names(ctx context.Context, table string) string {
	l := &c.db.layout
	columns, own := l.nameColumns(table)
	if columns == "" || l.domains == (sip.Domains{}) {
		return ""
	}
	rows, err := c.db.reader.query(ctx, "SELECT "+columns+" FROM "+table)
	if err != nil {
		return ""
	}
	defer rows.Close()
	other, none, listed := 0, 0, []string{}
	for rows.Next() {
		var id int64
		var user, domain any
		if err := scan(rows, &id, &user, &domain); err != nil {
			return ""
		}
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
	var notes []string
	if other > 0 {
		notes = append(notes, fmt.Sprintf("%d rows with users in other spellings", other))
	}
	if none > 0 {
		text := fmt.Sprintf("%d rows without a user are not used: %s", none, strings.Join(listed, ", "))
		if none > maxListed {
			text += ", ..."
		}
		notes = append(notes, text)
	}
	return strings.Join(notes, "; ")
}
