package db

import (
	"fmt"
	"net/url"
	"strings"
)

// choose reads the URL and sets the engine up. Kamailio's spellings count:
//
//	sqlite:PATH  sqlite:///PATH
//	postgres://USER:PASSWORD@HOST[:PORT][,HOST...]/DATABASE[?sslmode=...]
//
// A relative PATH is below the working directory. Of several hosts the first that
// takes writes is used. What stands behind "?" is passed to the driver.
func (db *DB) choose(u string) error {
	scheme, rest, ok := strings.Cut(u, ":")
	if !ok {
		return fmt.Errorf("db.url %q names no engine: write sqlite:PATH, postgres://..., mysql://... or text:DIRECTORY", redact(u))
	}
	switch strings.ToLower(scheme) {
	case "postgres", "postgresql":
		return db.openPostgres(u)
	case "sqlite", "sqlite3":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return fmt.Errorf("db.url %q names no file: write sqlite:PATH", u)
		}
		return db.openSQLite(path)
	}
	return fmt.Errorf("db.url: silod knows no database %q; it knows sqlite, postgres, mysql and text", scheme)
}

// redact hides the password of a URL that is shown to somebody.
func redact(u string) string {
	if p, err := url.Parse(u); err == nil {
		return p.Redacted()
	}
	return "(not shown)"
}
