package db

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// newDialect returns the engine that a URL names. It opens no connection and no file. The
// forms are those of Kamailio:
//
//	sqlite:PATH  sqlite:///PATH
//	text:DIRECTORY  text:///DIRECTORY
//	postgres://USER:PASSWORD@HOST[:PORT][,HOST...]/DATABASE[?sslmode=...]
//	mysql://USER:PASSWORD@HOST[:PORT][,HOST...]/DATABASE[?socket=PATH]
//
// A relative PATH is below the working directory. Of several hosts the first that
// accepts writes is used. A host with "/" is a Unix socket of MySQL, or the directory of
// PostgreSQL's. The parameters after "?" are passed to the driver.
func newDialect(u string, o *Options) (dialect, error) {
	scheme, rest, ok := strings.Cut(u, ":")
	if !ok {
		return nil, errors.New("db.url has no scheme: write sqlite:PATH, postgres://..., mysql://... or text:DIRECTORY")
	}
	switch strings.ToLower(scheme) {
	case "sqlite", "sqlite3":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return nil, fmt.Errorf("db.url %q has no file: write sqlite:PATH", u)
		}
		return newSQLite(path)
	case "text":
		dir := strings.TrimPrefix(rest, "//")
		if dir == "" {
			return nil, fmt.Errorf("db.url %q has no directory: write text:DIRECTORY", u)
		}
		return newText(dir, o)
	case "postgres", "postgresql":
		s, err := parseServer(u)
		if err != nil {
			return nil, err
		}
		return newPostgres(s, o.Node)
	case "mysql", "mariadb":
		s, err := parseServer(u)
		if err != nil {
			return nil, err
		}
		return newMySQL(s)
	}
	return nil, fmt.Errorf("db.url: unknown database %q; use sqlite, postgres, mysql or text", scheme)
}

// A server is the URL of a database server, parsed.
type server struct {
	scheme         string
	user, password string
	hosts          []string // as written, with or without a port
	database       string
	params         url.Values
}

// parseServer parses a URL. Package net/url allows only one host.
func parseServer(u string) (server, error) {
	scheme, rest, _ := strings.Cut(u, ":")
	s := server{scheme: strings.ToLower(scheme)}
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return s, fmt.Errorf("db.url: write %s://USER:PASSWORD@HOST/DATABASE", s.scheme)
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, user := rest, ""
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, hosts = rest[:i], rest[i+1:]
	}
	user, password, _ := strings.Cut(user, ":")
	hosts, name, _ := strings.Cut(hosts, "/")
	for h := range strings.SplitSeq(hosts, ",") {
		if h = unescapeURL(h); h != "" {
			s.hosts = append(s.hosts, h)
		}
	}
	s.user, s.password, s.database = unescapeURL(user), unescapeURL(password), unescapeURL(name)
	var err error
	if s.params, err = url.ParseQuery(query); err != nil { // which may quote a password
		err = s.bad(errors.New("the parameters after ? are not of the form name=value&name=value"))
		return s, err
	}
	if s.database == "" {
		err = s.bad(errors.New("the name of the database is missing"))
		return s, err
	}
	return s, nil
}

// unescapeURL replaces escapes. Package config has escaped each '%' that begins none.
func unescapeURL(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}

// bad wraps an error that the URL has, and says how to write it. The text has no part of the URL:
// without a host the password stands in its place.
func (s *server) bad(err error) error {
	return fmt.Errorf("db.url: %w; write %s://USER:PASSWORD@HOST/DATABASE", err, s.scheme)
}

// hostPort returns the host and the port of one of the hosts, with a default port.
func hostPort(h, port string) (string, string) {
	if host, p, err := net.SplitHostPort(h); err == nil {
		return host, p
	}
	return strings.Trim(h, "[]"), port
}

// name returns the URL of the database without user, password and parameters.
func (db *DB) name() string {
	switch d := db.layout.dialect.(type) {
	case *sqliteDB:
		return "sqlite:" + d.path
	case *textDB:
		return "text:" + d.dir
	}
	s, err := parseServer(db.url)
	if err != nil {
		return s.scheme + " database" // not possible
	}
	return s.scheme + "://" + strings.Join(s.hosts, ",") + "/" + s.database
}
