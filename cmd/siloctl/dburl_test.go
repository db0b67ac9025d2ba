package main

import (
	"bytes"
	"database/sql"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"silod/config"
	"silod/db/dbtest"
)

// TestKamailioURLs: a URL of Kamailio, where a password has no escapes, has the same password for
// silod.
func TestKamailioURLs(t *testing.T) {
	for _, password := range []string{"rw", "p%w", "100%", "%40", "%zz", "p#w", "p?w", "5/x?w", "p/w", "p@w", "a@b/c?d@e", "p:w", "p w", "pä€", `p"\w`} {
		u, err := config.ParseDBURL(databaseURL("mysql://kam:" + password + "@localhost/kamailio"))
		if err != nil || u.Password() != password || u.User != "kam" || u.Database != "kamailio" {
			t.Errorf("%s: %q, %v", password, u.Password(), err)
		}
	}
	for _, url := range []string{"sqlite:///a@b%40", "text:///a?b@c", "mysql://localhost/kamailio?tls=true", "dbdriver:///x"} {
		if got := databaseURL(url); got != url {
			t.Errorf("%s becomes %s", url, got)
		}
	}
}

// TestOddPasswords: MariaDB accepts passwords as URLs have them, and no error shows one.
func TestOddPasswords(t *testing.T) {
	url := dbtest.NewMariaDB(t).Database(t)
	cfg, err := config.ParseDBURL(url)
	if err != nil {
		t.Fatal(err)
	}
	m := mysql.NewConfig()
	m.User, m.Net, m.Addr = cfg.User, "tcp", cfg.Hosts[0]
	m.InterpolateParams = true
	c, err := mysql.NewConnector(m)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(c)
	defer pool.Close()
	if _, err := pool.ExecContext(t.Context(), "CREATE USER 'odd'@'%'"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.ExecContext(t.Context(), "GRANT ALL ON *.* TO 'odd'@'%'"); err != nil {
		t.Fatal(err)
	}
	check := func(written string, want int) {
		t.Helper()
		var out, stderr bytes.Buffer
		at := "mysql://odd:" + written + "@" + cfg.Hosts[0] + "/" + cfg.Database
		if code := run(t.Context(), []string{"db", "init", at}, strings.NewReader(""), &out, &stderr); code != want {
			t.Errorf("%s: exit %d:\n%s%s", written, code, &out, &stderr)
		}
		if strings.Contains(out.String()+stderr.String(), written) {
			t.Errorf("%s is shown:\n%s%s", written, &out, &stderr)
		}
	}
	for written, password := range map[string]string{
		"pw100%": "pw100%", "pw%zz": "pw%zz", "pw%40": "pw@", "p/w?#": "p/w?#", "p@w:x": "p@w:x", "pw ä€": "pw ä€", "pw%2540": "pw%40",
	} {
		if _, err := pool.ExecContext(t.Context(), "SET PASSWORD FOR 'odd'@'%' = PASSWORD(?)", password); err != nil {
			t.Fatal(err)
		}
		check(written, exitDone)
		check("x"+written, exitRefused)
	}
}
