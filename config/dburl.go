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

// DBURL names a database. The zero value names none. It prints without its
// password, whichever way it is printed.
type DBURL struct {
	Engine string // sqlite, postgres, mysql or text

	Path string // sqlite: the file; text: the directory

	User     string
	Hosts    []string // host, host:port or [IPv6]:port; several to fail over; none: the engine's own default
	Database string
	Params   string // what followed the question mark

	password string
	raw      string // as it was written
}

// engines by the schemes of their URLs, Kamailio's and the drivers' own.
var engines = map[string]string{
	"sqlite": "sqlite", "sqlite3": "sqlite", "text": "text", "mysql": "mysql",
	"postgres": "postgres", "postgresql": "postgres",
}

// ParseDBURL reads a database URL in our spelling or in Kamailio's:
//
//	sqlite:FILE       sqlite:///FILE      text:DIRECTORY      text:///DIRECTORY
//	postgres://user:password@host1:5432,host2/database?sslmode=require
//	mysql://user:password@host/database
//
// Its errors never hold the password.
func ParseDBURL(s string) (DBURL, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	engine := engines[strings.ToLower(scheme)]
	if !ok || engine == "" {
		return DBURL{}, errors.New("it does not begin with sqlite:, postgres:, mysql: or text: as it must")
	}
	u := DBURL{Engine: engine, raw: s}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return DBURL{}, errors.New("it has control characters in it")
	}
	if engine == "sqlite" || engine == "text" {
		return u.file(strings.TrimPrefix(rest, "//"))
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if !ok {
		return DBURL{}, fmt.Errorf("two slashes are missing: %s://", scheme)
	}
	return u.server(rest)
}

func (u DBURL) file(path string) (DBURL, error) {
	if path == "" {
		return DBURL{}, errors.New("the path is missing")
	}
	u.Path = filepath.Clean(path)
	if base := filepath.Base(u.Path); u.Engine == "sqlite" && (strings.HasSuffix(path, "/") || strings.Trim(base, "./") == "") {
		return DBURL{}, errors.New("the path is a directory's, and SQLite needs a file")
	}
	if strings.Contains(path, "?") {
		return DBURL{}, errors.New("a path takes no parameters")
	}
	return u, nil
}

// server reads user:password@host,host/database?params. A password may hold any
// character but a question mark unescaped, as in Kamailio's URLs: the last @ ends it.
func (u DBURL) server(s string) (DBURL, error) {
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
			return DBURL{}, fmt.Errorf("%q is no host or host:port", h)
		}
	}
	return u, nil
}

// isDBHost also takes %2Frun%2Fpostgresql, PostgreSQL's way to name a Unix socket's directory.
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
	return s // Kamailio's passwords are not escaped and may hold a % of their own
}

// Password is the user's password at the database.
func (u DBURL) Password() string { return u.password }

// URL is the whole URL, with the password and a path made absolute: for the
// database's driver, and for nobody else.
func (u DBURL) URL() string {
	if u.Path != "" {
		return u.Engine + ":" + u.Path
	}
	return u.raw
}

// Redacted is the URL with xxxxx for the password.
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

// redactParams hides a password that stands among the parameters.
func redactParams(params string) string {
	parts := strings.Split(params, "&")
	for i, p := range parts {
		if name, _, ok := strings.Cut(p, "="); ok && strings.Contains(strings.ToLower(name), "pass") {
			parts[i] = name + "=xxxxx"
		}
	}
	return strings.Join(parts, "&")
}

// String is Redacted.
func (u DBURL) String() string { return u.Redacted() }

// GoString is Redacted: %#v prints no password either.
func (u DBURL) GoString() string { return u.Redacted() }

// MarshalText is Redacted, for JSON.
func (u DBURL) MarshalText() ([]byte, error) { return []byte(u.Redacted()), nil }

// LogValue is Redacted, for package slog.
func (u DBURL) LogValue() slog.Value { return slog.StringValue(u.Redacted()) }

// UnmarshalText is ParseDBURL; an empty text names no database.
func (u *DBURL) UnmarshalText(b []byte) (err error) {
	if *u = (DBURL{}); len(b) > 0 {
		*u, err = ParseDBURL(string(b))
	}
	return err
}

// unless is over, where that names a database, else u.
func (u DBURL) unless(over DBURL) DBURL {
	if over.Engine != "" {
		return over
	}
	return u
}

func (u *DBURL) text() string { return u.raw }

func (u *DBURL) expects() string {
	return `"sqlite:FILE", "postgres://user:password@host/database", "mysql://..." or "text:DIRECTORY"`
}

// isHostPort tells whether s is a host with a port.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && isHost(host)
}
