package db

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"silod/imc"
	"silod/sip"
)

// TestNullOwnRooms sets a column of a row in silod's own tables of rooms to NULL, or to a value of another
// type: the other rooms and members stay as they are, also when Kamailio's tables are emptied.
func TestNullOwnRooms(t *testing.T) {
	t.Parallel()
	for _, e := range engines[:2] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			threeRooms(t, db)
			before := loadRooms(t, db.Rooms())
			for _, table := range []*table{&roomTable, &memberTable, &cursorTable} {
				values := map[string][]string{}
				for _, f := range table.fields[table.keys:] {
					switch {
					case f.name == "is_empty": // says that there are no members to restore
						continue
					case e.name == "postgres":
						rawExec(t, db, "ALTER TABLE "+table.name+" ALTER COLUMN "+f.name+" DROP NOT NULL")
						values[f.name] = []string{"NULL"}
					case e.name == "sqlite" && f.kind == kindInt:
						values[f.name] = []string{"'x'", "x'ff'", "9223372036854775807", "1e300", "''"}
					case e.name == "sqlite":
						values[f.name] = []string{"x'ff'", "5", "1.5"}
					}
					switch {
					case e.name == "postgres":
					case f.kind == kindInt:
						values[f.name] = append(values[f.name], "99", "-1")
					default:
						values[f.name] = append(values[f.name], `'"'''`, "'"+strings.Repeat("é", 255)+"'")
					}
				}
				for _, column := range slices.Sorted(maps.Keys(values)) {
					for _, v := range values[column] {
						nullOwnRoom(t, db, table, column, v, before)
					}
				}
			}
		})
	}
}

// nullOwnRoom sets a column of the row of room1, or of bob in it, and restores the rows afterwards.
func nullOwnRoom(t *testing.T, db *DB, table *table, column, value string, before map[sip.AoR]loaded) {
	t.Helper()
	of := " WHERE room = '" + room1.String() + "'"
	if table != &roomTable {
		of += " AND username = 'bob'"
	}
	name := fmt.Sprintf("%s.%s = %.40s", table.name, column, value)
	for _, change := range []string{"", "DELETE FROM imc_members", "DELETE FROM imc_rooms"} {
		rawExec(t, db, "UPDATE "+table.name+" SET "+column+" = "+value+of)
		if change != "" {
			rawExec(t, db, change)
		}
		got := map[sip.AoR]loaded{}
		err := db.Rooms().Load(t.Context(), func(r imc.Room, ms []imc.Member) {
			l := loaded{r, map[sip.AoR]imc.Member{}}
			for _, m := range ms {
				if m.Role < imc.Invited || m.Role > imc.Former {
					t.Errorf("%s, %q: role %d", name, change, m.Role)
				}
				l.Members[m.User] = m
			}
			got[r.AoR] = l
		}, func(err error) { t.Errorf("%s, %q: %v", name, change, err) })
		if err != nil {
			t.Fatalf("%s, %q: %v", name, change, err)
		}
		for a, want := range before {
			if l := got[a]; a != room1 && !reflect.DeepEqual(l, want) {
				t.Errorf("%s, %q:\n got %+v\nwant %+v", name, change, l, want)
			}
		}
		for u, want := range before[room1].Members {
			if m := got[room1].Members[u]; u != bob && m != want {
				t.Errorf("%s, %q:\n got %+v\nwant %+v", name, change, m, want)
			}
		}
		if m, ok := got[room1].Members[bob]; column != "banned" && (!ok || m.Role != imc.Admin && column != "role") {
			t.Errorf("%s, %q: bob is %+v", name, change, m)
		}
		rawExec(t, db, "DELETE FROM imc_rooms", "DELETE FROM imc_members", "DELETE FROM silod_room", "DELETE FROM silod_member", "DELETE FROM silod_cursor")
		threeRooms(t, db)
	}
}
