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
	"sqlite": "sqlite", "sqlite3": "sqlite", "text": "text", "mysql": "mysql", "mariadb": "mysql",
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
// character unescaped, as in Kamailio's URLs, where it ends at the last @. So of the first question
// mark, and the first one behind the last @, that one begins the parameters which leaves a complete
// address before it.
func (u DBURL) parseServer(s string) (DBURL, error) {
	address, params, _ := strings.Cut(s, "?")
	v, err := u.parseAddress(address, params)
	if at := strings.LastIndexByte(s, '@'); err != nil && at > len(address) {
		behind, params, _ := strings.Cut(s[at:], "?")
		if w, err := u.parseAddress(s[:at]+behind, params); err == nil {
			return w, nil
		}
	}
	return v, err
}

// parseAddress parses user:password@host,host/database, and checks the parameters. Its errors
// have no part of the URL: without a host the password stands in its place.
func (u DBURL) parseAddress(s, params string) (DBURL, error) {
	if u.Params = escapePercent(params); !isParams(u.Params) {
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
			return DBURL{}, errors.New("the part before the name of the database is not a host or host:port")
		}
	}
	return u, nil
}

// isParams reports whether s is a list name=value&name=value, or empty.
func isParams(s string) bool {
	if s == "" {
		return true
	}
	for p := range strings.SplitSeq(s, "&") {
		if name, _, ok := strings.Cut(p, "="); !ok || name == "" || strings.ContainsAny(name, "@/;") {
			return false
		}
	}
	_, err := url.ParseQuery(s)
	return err == nil
}

// isDBHost reports whether s is a host with or without a port, or the escaped directory
// of a Unix socket as in PostgreSQL's URLs, such as %2Frun%2Fpostgresql.
func isDBHost(s string) bool {
	if strings.HasPrefix(strings.ToLower(s), "%2f") {
		return true
	}
	return isHost(strings.Trim(s, "[]")) || isHostPort(s)
}

// unescape replaces escapes. A '%' that begins none means itself: Kamailio has no escapes.
func unescape(s string) string {
	if t, err := url.PathUnescape(escapePercent(s)); err == nil {
		return t
	}
	return s // not possible
}

// escapePercent escapes each '%' that begins no escape.
func escapePercent(s string) string {
	isHex := func(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
	var b strings.Builder
	for i := range len(s) {
		if b.WriteByte(s[i]); s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

// Password returns the password of the database user.
func (u DBURL) Password() string { return u.password }

// URL returns the complete URL for package db, with the password, escaped, and an absolute path. It
// must not be shown or logged: see Redacted.
func (u DBURL) URL() string {
	if u.Path != "" || u.Engine == "" {
		return u.file()
	}
	auth := escapeAll(u.User)
	if u.password != "" {
		auth += ":" + escapeAll(u.password)
	}
	return u.server(auth, u.Params)
}

// file returns the URL of a file or directory, or the zero value.
func (u DBURL) file() string {
	if u.Path == "" {
		return u.raw
	}
	return u.Engine + ":" + u.Path
}

// server returns the URL of a database on a server, with the user and the parameters given.
func (u DBURL) server(auth, params string) string {
	if auth != "" {
		auth += "@"
	}
	s := u.Engine + "://" + auth + strings.Join(u.Hosts, ",") + "/" + url.PathEscape(u.Database)
	if params != "" {
		s += "?" + params
	}
	return s
}

// escapeAll escapes all characters that have a meaning in some part of a URL.
func escapeAll(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Redacted returns the URL with xxxxx in place of the password.
func (u DBURL) Redacted() string {
	if u.Path != "" || u.Engine == "" {
		return u.file()
	}
	auth := url.PathEscape(u.User)
	if u.password != "" {
		auth += ":xxxxx"
	}
	return u.server(auth, redactParams(u.Params))
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
