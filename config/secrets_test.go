package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWorldReadableSecrets checks that notes name the file and the key of a secret that
// all users can read, but not the secret.
func TestWorldReadableSecrets(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "silod.toml"), filepath.Join(dir, "key.pem")
	notes := func(mode os.FileMode, text string) string {
		t.Helper()
		for path, content := range map[string]string{file: text, key: "a key"} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := Load(file, testDirs)
		if err != nil {
			t.Fatal(err)
		}
		var list strings.Builder
		for _, n := range cfg.Notes() {
			list.WriteString(n.String() + "\n")
		}
		return list.String()
	}
	const secret = "db.url = 'mysql://silod:pssst@localhost/silod'\nimc.db_url = 'postgres://silod:pssst@localhost/silod'\n" +
		"sip = {tls_certificate = 'cert.pem', tls_private_key = 'key.pem'}"
	if got := notes(0o640, secret); got != "" {
		t.Errorf("not world-readable: %s", got)
	}
	got := notes(0o644, secret)
	for _, want := range []string{
		"db.url: all users can read the password in " + file, "imc.db_url: all users can read", "sip.tls_private_key: all users can read " + key,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "pssst") {
		t.Errorf("the notes show the secret: %s", got)
	}
	if got := notes(0o644, "db.url = 'mysql://silod@localhost/silod'"); got != "" {
		t.Errorf("without a password: %s", got)
	}
}
