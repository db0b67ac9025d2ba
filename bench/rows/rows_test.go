package rows

import (
	"context"
	"testing"

	_ "modernc.org/sqlite"

	"silod/db"
)

// silod opens a filled database and finds everything in it.
func TestFill(t *testing.T) {
	file := t.TempDir() + "/silod.db"
	if _, err := db.Init(t.Context(), "sqlite:"+file, db.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := Of(20_000).Fill(t.Context(), "sqlite", "file:"+file, "example.org"); err != nil {
		t.Fatal(err)
	}
	found, err := db.Check(context.Background(), "sqlite:"+file, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"silo": 20_000, "imc_rooms": 200, "imc_members": 400, "location": 1000}
	for _, f := range found {
		if n, ok := want[f.Table]; f.Problem != "" || ok && f.Rows != n {
			t.Errorf("%s has %d rows, want %d: %s", f.Table, f.Rows, n, f.Problem)
		}
	}
	if err := Of(10).Fill(t.Context(), "mysql", "", ""); err == nil {
		t.Error("filled a database of an engine without expressions")
	}
}
