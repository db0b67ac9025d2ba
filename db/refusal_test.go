package db

import (
	"slices"
	"strings"
	"testing"
)

// TestSchemaRefusals: a database that silod does not understand is refused.
func TestSchemaRefusals(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		for name, c := range map[string]struct {
			change []string
			opt    Options
			words  []string
		}{
			"newer Kamailio":    {[]string{"UPDATE version SET table_version = 9 WHERE table_name = 'silo'"}, Options{}, []string{"table silo", "version 9", "kamdbctl", "siloctl db init"}},
			"newer rooms":       {[]string{"UPDATE version SET table_version = 7 WHERE table_name = 'imc_rooms'"}, Options{}, []string{"table imc_rooms", "version 7"}},
			"missing column":    {[]string{"ALTER TABLE silo RENAME COLUMN exp_time TO expiry"}, Options{}, []string{"table silo", "no column exp_time"}},
			"wrong name":        {nil, Options{Silo: SiloNames{Body: "text"}}, []string{"table silo", "no column text"}},
			"newer silod":       {[]string{"CREATE TABLE silod_schema (version INTEGER PRIMARY KEY NOT NULL, at BIGINT NOT NULL)", "INSERT INTO silod_schema VALUES (99, 0)"}, Options{}, []string{"99", "newer"}},
			"a view in between": {[]string{"DROP TABLE imc_members", "CREATE VIEW imc_members AS SELECT name AS username, domain, name AS room, flag FROM imc_rooms UNION SELECT 'x', 'y', 'z', 1"}, Options{}, []string{"table imc_members"}},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				url := e.prepared(t, append(fixture(t, "8", e.name), c.change...)...)
				refused(t, url, c.opt, c.words...)
			})
		}
	}
}

// TestRights: a missing right is reported at the start, with the command that grants it.
func TestRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine  string
		user    string
		grants  []string
		refusal []string
	}{
		"no right to write": {
			"postgres", "reader",
			[]string{"CREATE ROLE reader LOGIN", "GRANT CREATE ON SCHEMA public TO reader", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"},
			[]string{"cannot write table", "GRANT SELECT, INSERT, UPDATE, DELETE ON", "TO reader"},
		},
		"no right to number rows": {
			"postgres", "writer",
			[]string{"CREATE ROLE writer LOGIN", "GRANT CREATE ON SCHEMA public TO writer", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer"},
			[]string{"no right to number the rows of table", "GRANT USAGE ON ALL SEQUENCES", "TO writer"},
		},
		"no right to make tables": {
			"postgres", "guest",
			[]string{"CREATE ROLE guest LOGIN", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest"},
			[]string{"GRANT CREATE ON SCHEMA public TO guest"},
		},
		"no right to make tables in MariaDB": {
			"mariadb", "guest",
			[]string{"CREATE USER guest@'127.0.0.1'", "GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.* TO guest@'127.0.0.1'"},
			[]string{"GRANT ALL ON", "guest"},
		},
		"no right to write in MariaDB": {
			"mariadb", "reader",
			[]string{"CREATE USER reader@'127.0.0.1'", "GRANT SELECT, CREATE, INDEX ON {db}.* TO reader@'127.0.0.1'"},
			[]string{"GRANT"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == c.engine })]
			statements := append(fixture(t, "8", c.engine), "CREATE TABLE subscriber (id INTEGER)", "CREATE TABLE location_attrs (id INTEGER)")
			url := e.fresh(t)
			s, err := parseServer(url)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range c.grants {
				statements = append(statements, strings.ReplaceAll(g, "{db}", s.database))
			}
			filled(t, url, statements...)
			refused(t, strings.Replace(url, s.user+"@", c.user+"@", 1), Options{}, c.refusal...)
		})
	}
}

// TestNoRightToOwnTables: tables that an administrator created are tried as well.
func TestNoRightToOwnTables(t *testing.T) {
	t.Parallel()
	for name, grants := range map[string][]string{
		"postgres": {
			"CREATE ROLE half LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO half", "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO half",
			"GRANT INSERT, UPDATE, DELETE ON silo, location, imc_rooms, imc_members TO half",
		},
		"mariadb": {
			"CREATE USER half@'127.0.0.1'", "GRANT SELECT ON {db}.* TO half@'127.0.0.1'", "GRANT INSERT, UPDATE, DELETE ON {db}.silo TO half@'127.0.0.1'",
			"GRANT INSERT, UPDATE, DELETE ON {db}.location TO half@'127.0.0.1'", "GRANT INSERT, UPDATE, DELETE ON {db}.imc_rooms TO half@'127.0.0.1'",
			"GRANT INSERT, UPDATE, DELETE ON {db}.imc_members TO half@'127.0.0.1'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == name })].fresh(t)
			s, err := parseServer(url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Init(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			for i := range grants {
				grants[i] = strings.ReplaceAll(grants[i], "{db}", s.database)
			}
			filled(t, url, grants...)
			half := strings.Replace(url, s.user+"@", "half@", 1)
			refused(t, half, Options{}, "cannot write table silod_meta", "GRANT", "half")
			found, err := Check(t.Context(), half, Options{})
			if err != nil || !strings.Contains(found[len(found)-1].Problem, "cannot write table silod_meta") {
				t.Errorf("found %+v, %v", found, err)
			}
		})
	}
}

// TestNoRightNeeded: with a complete schema silod's user needs no right to create tables.
func TestNoRightNeeded(t *testing.T) {
	t.Parallel()
	for name, grants := range map[string][]string{
		"postgres": {
			"CREATE ROLE plain LOGIN", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain",
			"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO plain",
		},
		"mariadb": {"CREATE USER plain@'127.0.0.1'", "GRANT SELECT, INSERT, UPDATE, DELETE ON {db}.* TO plain@'127.0.0.1'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == name })].fresh(t)
			s, err := parseServer(url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Init(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			for i := range grants {
				grants[i] = strings.ReplaceAll(grants[i], "{db}", s.database)
			}
			filled(t, url, grants...)
			db := open(t, strings.Replace(url, s.user+"@", "plain@", 1), Options{})
			add(t, db.Messages(), text("x"))
			appendTo(t, db.Rooms(), room1, "x")
		})
	}
}

// TestNoServer: a server that does not answer is named, in one line.
func TestNoServer(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://silod@127.0.0.1:1/silod?sslmode=disable", "postgres://silod@127.0.0.1:1,127.0.0.1:2/silod?sslmode=disable",
		"mysql://silod@127.0.0.1:1/silod", "mysql://silod@127.0.0.1:1,127.0.0.1:2/silod", "mysql://silod@/silod?socket=/nowhere/s",
	} {
		refused(t, url, Options{}, "does not answer", "start it", "db.url")
	}
}
