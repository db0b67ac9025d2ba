// Package config reads and checks silod.toml: its sections and keys, their defaults
// and allowed values, and the directories for state and sockets. A key is a struct
// field. The sample file and docs/configuration.md are generated from its comment and
// its tags:
//
//	toml     the key
//	default  its default, as text; the elements of a list are separated by spaces
//	allow    "1..65535" or "1.." for numbers and durations, "any|every" for words
//	is       the name of a rule in rules.go that strings must follow
//	reload   "yes" if a reload is enough; otherwise a change needs a restart
//	unused   why a key of Kamailio is accepted but has no effect
//
// A Config is not changed after it has been returned, so it needs no locks.
package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Config is a complete, checked configuration.
type Config struct {
	SIP       SIP       `toml:"sip"`
	DB        DB        `toml:"db"`
	Registrar Registrar `toml:"registrar"`
	Silo      Silo      `toml:"silo"`
	IMC       IMC       `toml:"imc"`
	MI        MI        `toml:"mi"`
	Auth      Auth      `toml:"auth"`
	HTTP      HTTP      `toml:"http"`
	Log       Log       `toml:"log"`

	Dirs Dirs // as given to Default, Load or Parse

	file  string         // as given to Load or Parse
	lines map[string]int // line numbers of the keys that are set in the file
}

// maxSize is the maximum size of a configuration file. The annotated sample has 20 kB.
const maxSize = 1 << 20

// Default returns the configuration of a silod started without a file.
func Default(dirs Dirs) *Config {
	c := defaults()
	c.resolve(dirs, "")
	return c
}

// Load reads and checks the file at path. Relative paths are resolved: those of
// databases from dirs.State, those of the FIFO and the sockets from dirs.Runtime, those
// of certificates and secrets from the directory of the file. Problems in the file are
// returned as an *Error.
func Load(path string, dirs Dirs) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, dir, data, dirs)
}

// Parse checks the text of a configuration as Load does; file is its name in
// messages. Relative paths of certificates and secrets are left as they are.
func Parse(file string, data []byte, dirs Dirs) (*Config, error) {
	return parse(file, "", data, dirs)
}

func parse(file, dir string, data []byte, dirs Dirs) (*Config, error) {
	if len(data) > maxSize {
		return nil, &Error{file, []Problem{{Text: fmt.Sprintf("the file is larger than %d bytes", maxSize)}}}
	}
	c := defaults()
	c.file = file
	problems := c.decode(data)
	c.resolve(dirs, dir)
	if problems = append(problems, c.check()...); len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, &Error{file, problems}
	}
	return c, nil
}

// resolve makes relative paths absolute; dir is the directory of the configuration
// file, "" if there is none.
func (c *Config) resolve(dirs Dirs, dir string) {
	c.Dirs = dirs
	for _, u := range []*DBURL{&c.DB.URL, &c.Silo.DBURL, &c.IMC.DBURL} {
		u.Path = under(dirs.State, u.Path)
	}
	for _, p := range []*string{&c.MI.FIFOName, &c.MI.SocketName, &c.MI.ControlSocket, &c.MI.ReadOnlySocket} {
		*p = under(dirs.Runtime, *p)
	}
	if dir != "" {
		c.SIP.TLSCertificate = under(dir, c.SIP.TLSCertificate)
		c.SIP.TLSPrivateKey = under(dir, c.SIP.TLSPrivateKey)
		for i := range c.SIP.Certificates {
			cert := &c.SIP.Certificates[i]
			cert.Certificate, cert.PrivateKey = under(dir, cert.Certificate), under(dir, cert.PrivateKey)
		}
		c.Auth.TrustedCA = under(dir, c.Auth.TrustedCA)
		c.Auth.NonceSecretFile = under(dir, c.Auth.NonceSecretFile)
	}
}

func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// SiloDB returns the database of the stored messages.
func (c *Config) SiloDB() DBURL { return c.Silo.DBURL.or(c.DB.URL) }

// IMCDB returns the database of the rooms.
func (c *Config) IMCDB() DBURL { return c.IMC.DBURL.or(c.DB.URL) }

// IsSet reports whether the file sets key, for example "auth.mode".
func (c *Config) IsSet(key string) bool {
	_, ok := c.lines[key]
	return ok
}

// Notes returns warnings about a valid configuration: keys that are set but have no
// effect, next hops that are silod itself, and secrets that all users of the machine can read.
func (c *Config) Notes() []Problem {
	var notes []Problem
	for f := range c.fields() {
		if why, ok := f.tag.Lookup("unused"); ok && c.IsSet(f.key) {
			notes = append(notes, c.Problem(f.key, "accepted, but has no effect: "+why))
		}
	}
	if c.Silo.FromAddress.IsZero() != c.Silo.OfflineMessage.IsZero() {
		notes = append(notes, c.Problem("silo.offline_message",
			"no notices are sent: they need both from_address and offline_message"))
	}
	if c.IsSet("silo.reminder") && c.Silo.Reminder != "" && c.Silo.SendTime == 0 {
		notes = append(notes, c.Problem("silo.reminder", "no reminders are sent while send_time is 0"))
	}
	notes = append(notes, slices.Concat(c.domainNotes(), c.authNotes(), c.proxyNotes(), c.OwnProxyNotes(), c.secretNotes())...)
	slices.SortStableFunc(notes, func(a, b Problem) int { return a.Line - b.Line })
	return notes
}

// A Problem is an error in the configuration.
type Problem struct {
	Key  string // "silo.add_date"; "" if the error is not about a key
	Line int    // of the key in the file; 0 if the file does not set it
	Text string
}

// Problem returns a Problem with the line of key. Callers use it for values that this
// package cannot check, such as imc.texts.
func (c *Config) Problem(key, text string) Problem {
	return Problem{Key: key, Line: c.lines[key], Text: text}
}

// An Error holds all problems of a configuration, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error returns one line for each problem: "silod.toml:12: silo.add_date: expected 0 or 1, got 3".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.format(e.File)
	}
	return strings.Join(lines, "\n")
}

// String returns "line 12: silo.add_date: expected 0 or 1, got 3".
func (p Problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	return s
}

// format returns the problem in the form of compilers, which editors parse.
func (p Problem) format(file string) string {
	s := file
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Fail returns an *Error of problems that the caller found, nil if there are none.
func (c *Config) Fail(problems ...Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{c.file, problems}
}
