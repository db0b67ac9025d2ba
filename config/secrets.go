package config

import (
	"fmt"
	"os"
)

// secretNotes are the secrets that everybody on the machine can read.
func (c *Config) secretNotes() []Problem {
	var notes []Problem
	for _, u := range []struct {
		key string
		url DBURL
	}{{"db.url", c.DB.URL}, {"silo.db_url", c.Silo.DBURL}, {"imc.db_url", c.IMC.DBURL}} {
		if u.url.Password() != "" && isOpen(c.file) {
			notes = append(notes, c.Problem(u.key, fmt.Sprintf("everybody can read the password in %s: chmod 640", c.file)))
		}
	}
	if key := c.SIP.TLSPrivateKey; isOpen(key) {
		notes = append(notes, c.Problem("sip.tls_private_key", fmt.Sprintf("everybody can read %s: chmod 640", key)))
	}
	return notes
}

// isOpen tells whether there is a file that everybody can read.
func isOpen(file string) bool {
	if file == "" {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}
