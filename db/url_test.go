package db

import (
	"strings"
	"testing"
)

func TestPostgresURL(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for u, want := range map[string]string{
		"postgres://kamailio:kamailiorw@localhost/kamailio":                              `application_name='silod-n1' binary_parameters='yes' connect_timeout='3' dbname='kamailio' host='localhost' password='kamailiorw' port='5432' sslmode='prefer' user='kamailio'`,
		"postgresql://a%40b:p%2F'\\@[::1]:6432/d?sslmode=verify-full&application_name=x": `application_name='x' binary_parameters='yes' connect_timeout='3' dbname='d' host='::1' password='p/\'\\' port='6432' sslmode='verify-full' user='a@b'`,
		"postgres://u@pg1,pg2:5433/d":                                                    `application_name='silod-n1' binary_parameters='yes' connect_timeout='3' dbname='d' host='pg1,pg2' port='5432,5433' sslmode='prefer' target_session_attrs='read-write' user='u'`,
		"postgres:///d?host=/run/postgresql":                                             `application_name='silod-n1' binary_parameters='yes' connect_timeout='3' dbname='d' host='/run/postgresql' sslmode='prefer'`,
	} {
		s, err := parseServer(u)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		if got := postgresDSN(s, "n1"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", u, got, want)
		}
	}
}

func TestMySQLURL(t *testing.T) {
	t.Parallel()
	for u, want := range map[string]string{
		"mysql://kamailio:kamailiorw@localhost/kamailio":  "kamailio:kamailiorw@tcp(localhost:3306)/kamailio",
		"mysql://u:p%40:x@db1,db2:3307/d?tls=skip-verify": "u:p@:x@tcp(db1:3306,db2:3307)/d",
		"mariadb://root@/d?socket=/run/mysqld.sock":       "root@unix(/run/mysqld.sock)/d",
	} {
		s, err := parseServer(u)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		cfg, err := mysqlConfig(s)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		if got, _, _ := strings.Cut(cfg.FormatDSN(), "?"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", u, got, want)
		}
		if !cfg.InterpolateParams || !cfg.ClientFoundRows {
			t.Errorf("%s: %+v", u, cfg)
		}
	}
}

// TestBadURLs: errors do not contain the password.
func TestBadURLs(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"postgres://u:secret%@h/d", "postgres://u:secret@h", "postgres:secret", "mysql://u:secret@h/", "mysql://u:secret@h/d?x=%zz",
		"postgres://u:secret@h/d?sslmode=maybe", "mysql://u:secret@h/d?timeout=maybe", "sqlserver://secret",
	} {
		_, err := Open(t.Context(), u, Options{})
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
