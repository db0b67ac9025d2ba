package config

import (
	"fmt"
	"os"
)

// secretNotes returns notes about secrets that all users of the machine can read.
func (c *Config) secretNotes() []Problem {
	var notes []Problem
	for _, u := range []struct {
		key string
		url DBURL
	}{{"db.url", c.DB.URL}, {"silo.db_url", c.Silo.DBURL}, {"imc.db_url", c.IMC.DBURL}} {
		if u.url.Password() != "" && isWorldReadable(c.file) {
			notes = append(notes, c.Problem(u.key, fmt.Sprintf("all users can read the password in %s: chmod 640", c.file)))
		}
	}
	for _, p := range c.KeyPairs() {
		if isWorldReadable(p.PrivateKey) {
			notes = append(notes, c.Problem(p.PrivateKeyKey, fmt.Sprintf("all users can read %s: chmod 640", p.PrivateKey)))
		}
	}
	return notes
}

// isWorldReadable reports whether file is a regular file that all users can read.
func isWorldReadable(file string) bool {
	if file == "" {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}
