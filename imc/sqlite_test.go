package imc_test

import (
	"path/filepath"
	"testing"

	"silod/db"
	"silod/imc"
)

// openSQLite returns the Store of a SQLite database.
func openSQLite(t *testing.T) imc.Store {
	d, err := db.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "rooms.db"), db.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.Rooms()
}
