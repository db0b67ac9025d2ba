// Package config is what an administrator can set: the sections and keys of
// silod.toml, their defaults, what each may hold, and where state and sockets
// live. A key is one struct field: its comment is its documentation, from which
// the sample file and docs/configuration.md are made, and its tags say the rest.
//
//	toml     the key
//	default  its default, as text; the elements of a list are parted by spaces
//	allow    "1..65535" or "1.." for numbers and durations, "any|every" for words
//	is       the name of a rule in rules.go that strings must keep
//	reload   "yes" where a reload is enough; otherwise a change needs a restart
//	unused   why a key that Kamailio has is accepted but changes nothing
//
// The package reads one file and knows nothing of what the rest of the daemon
// does with it. A Config is not changed once it is made; there are no locks.
package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config is a whole configuration, checked and complete.
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
	lines map[string]int // the line of each key that is written in the file
}

// maxSize bounds a configuration file. The annotated sample has 20 kB.
const maxSize = 1 << 20

// Default returns the configuration of a silod started without a file.
func Default(dirs Dirs) *Config {
	c := pristine()
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
	c := pristine()
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

// SiloDB is the database of the stored messages.
func (c *Config) SiloDB() DBURL { return c.DB.URL.unless(c.Silo.DBURL) }

// IMCDB is the database of the rooms.
func (c *Config) IMCDB() DBURL { return c.DB.URL.unless(c.IMC.DBURL) }

// IsSet tells whether key, "auth.mode" for one, is written in the file.
func (c *Config) IsSet(key string) bool {
	_, ok := c.lines[key]
	return ok
}

// Notes are what an administrator should be told of a valid configuration: keys
// that are written but have no effect.
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
	notes = append(notes, slices.Concat(c.authNotes(), c.secretNotes())...)
	slices.SortStableFunc(notes, func(a, b Problem) int { return a.Line - b.Line })
	return notes
}

// Problem is something wrong with the configuration.
type Problem struct {
	Key  string // "silo.add_date"; "" where the file could not be read that far
	Line int    // where the key is written; 0 where it is not
	Text string
}

// Problem makes a Problem of a key, with the line on which it stands. For those
// who check what this package cannot, imc.texts for one.
func (c *Config) Problem(key, text string) Problem {
	return Problem{Key: key, Line: c.lines[key], Text: text}
}

// Error is everything that is wrong with a configuration, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error has one line for each problem: "silod.toml:12: silo.add_date: expected 0 or 1, got 3".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.in(e.File)
	}
	return strings.Join(lines, "\n")
}

// String gives "line 12: silo.add_date: expected 0 or 1, got 3".
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

// in is p as compilers write it, for editors that jump there.
func (p Problem) in(file string) string {
	s := file
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Fail makes an *Error of problems found by others, nil where there are none.
func (c *Config) Fail(problems ...Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{c.file, problems}
}
