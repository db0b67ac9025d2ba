package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// A DBURL is the URL of a database; the zero value means that none is set. All methods
// but Password and URL hide the password, so that it is never printed or logged.
type DBURL struct {
	Engine string // sqlite, postgres, mysql or text

	Path string // sqlite: the file; text: the directory

	User     string
	Hosts    []string // host, host:port or [IPv6]:port; several for failover; none: the engine's default
	Database string
	Params   string // after the question mark

	password string
	raw      string // as in the file
}

// engines maps the schemes of URLs, those of Kamailio and of the drivers, to engines.
var engines = map[string]string{
	"sqlite": "sqlite", "sqlite3": "sqlite", "text": "text", "mysql": "mysql",
	"postgres": "postgres", "postgresql": "postgres",
}

// ParseDBURL parses a database URL in silod's or in Kamailio's form:
//
//	sqlite:FILE       sqlite:///FILE      text:DIRECTORY      text:///DIRECTORY
//	postgres://user:password@host1:5432,host2/database?sslmode=require
//	mysql://user:password@host/database
//
// Its errors never contain the password.
func ParseDBURL(s string) (DBURL, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	engine := engines[strings.ToLower(scheme)]
	if !ok || engine == "" {
		return DBURL{}, errors.New(`it must begin with "sqlite:", "postgres:", "mysql:" or "text:"`)
	}
	u := DBURL{Engine: engine, raw: s}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return DBURL{}, errors.New("it contains control characters")
	}
	if engine == "sqlite" || engine == "text" {
		return u.parseFile(strings.TrimPrefix(rest, "//"))
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if !ok {
		return DBURL{}, fmt.Errorf("two slashes are missing: %s://", scheme)
	}
	return u.parseServer(rest)
}

// parseFile parses the path of an SQLite file or of a directory of text files.
func (u DBURL) parseFile(path string) (DBURL, error) {
	if path == "" {
		return DBURL{}, errors.New("the path is missing")
	}
	u.Path = filepath.Clean(path)
	if base := filepath.Base(u.Path); u.Engine == "sqlite" && (strings.HasSuffix(path, "/") || strings.Trim(base, "./") == "") {
		return DBURL{}, errors.New("the path is a directory, and SQLite needs a file")
	}
	if strings.Contains(path, "?") {
		return DBURL{}, errors.New("a path cannot have parameters")
	}
	return u, nil
}

// parseServer parses user:password@host,host/database?params. A password may contain any
// character but a question mark unescaped, as in Kamailio's URLs: it ends at the last @.
func (u DBURL) parseServer(s string) (DBURL, error) {
	s, u.Params, _ = strings.Cut(s, "?")
	if _, err := url.ParseQuery(u.Params); err != nil {
		return DBURL{}, errors.New("the parameters after ? are not of the form name=value&name=value")
	}
	hosts := s
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user, password, _ := strings.Cut(s[:at], ":")
		u.User, u.password, hosts = unescape(user), unescape(password), s[at+1:]
	}
	hosts, database, _ := strings.Cut(hosts, "/")
	u.Database = unescape(database)
	if u.Database == "" || strings.Contains(u.Database, "/") {
		return DBURL{}, errors.New("the name of the database is missing after the host: //host/database")
	}
	if hosts == "" {
		return u, nil
	}
	u.Hosts = strings.Split(hosts, ",")
	for _, h := range u.Hosts {
		if !isDBHost(h) {
			return DBURL{}, fmt.Errorf("%q is not a host or host:port", h)
		}
	}
	return u, nil
}

// isDBHost reports whether s is a host with or without a port, or the escaped directory
// of a Unix socket as in PostgreSQL's URLs, such as %2Frun%2Fpostgresql.
func isDBHost(s string) bool {
	if strings.HasPrefix(strings.ToLower(s), "%2f") {
		return true
	}
	return isHost(strings.Trim(s, "[]")) || isHostPort(s)
}

func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s // Kamailio does not escape passwords, so they may contain a %
}

// Password returns the password of the database user.
func (u DBURL) Password() string { return u.password }

// URL returns the complete URL for the database driver, with the password and an
// absolute path. It must not be shown or logged: see Redacted.
func (u DBURL) URL() string {
	if u.Path != "" {
		return u.Engine + ":" + u.Path
	}
	return u.raw
}

// Redacted returns the URL with xxxxx in place of the password.
func (u DBURL) Redacted() string {
	if u.Path != "" || u.Engine == "" {
		return u.URL()
	}
	auth := url.PathEscape(u.User)
	if u.password != "" {
		auth += ":xxxxx"
	}
	if auth != "" {
		auth += "@"
	}
	s := u.Engine + "://" + auth + strings.Join(u.Hosts, ",") + "/" + u.Database
	if u.Params != "" {
		s += "?" + redactParams(u.Params)
	}
	return s
}

// redactParams replaces the values of parameters that are passwords.
func redactParams(params string) string {
	parts := strings.Split(params, "&")
	for i, p := range parts {
		if name, _, ok := strings.Cut(p, "="); ok && strings.Contains(strings.ToLower(name), "pass") {
			parts[i] = name + "=xxxxx"
		}
	}
	return strings.Join(parts, "&")
}

// String returns the URL as Redacted does.
func (u DBURL) String() string { return u.Redacted() }

// GoString returns the URL as Redacted does, so that %#v hides the password too.
func (u DBURL) GoString() string { return u.Redacted() }

// MarshalText returns the URL as Redacted does, for JSON.
func (u DBURL) MarshalText() ([]byte, error) { return []byte(u.Redacted()), nil }

// LogValue returns the URL as Redacted does, for package slog.
func (u DBURL) LogValue() slog.Value { return slog.StringValue(u.Redacted()) }

// UnmarshalText parses a URL as ParseDBURL does; an empty text is the zero DBURL.
func (u *DBURL) UnmarshalText(b []byte) (err error) {
	if *u = (DBURL{}); len(b) > 0 {
		*u, err = ParseDBURL(string(b))
	}
	return err
}

// or returns u, or other if u is not set.
func (u DBURL) or(other DBURL) DBURL {
	if u.Engine == "" {
		return other
	}
	return u
}

func (u *DBURL) text() string { return u.raw }

func (u *DBURL) expects() string {
	return `"sqlite:FILE", "postgres://user:password@host/database", "mysql://..." or "text:DIRECTORY"`
}

// isHostPort reports whether s is a host with a port.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && isHost(host)
}
