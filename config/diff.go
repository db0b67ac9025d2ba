package config

import (
	"maps"
	"reflect"
)

// A Change is a key whose value differs between two configurations.
type Change struct {
	Key     string
	Restart bool // it takes effect after a restart only
}

// String returns "silo.add_date", or "sip.listen (needs a restart)".
func (c Change) String() string {
	if c.Restart {
		return c.Key + " (needs a restart)"
	}
	return c.Key
}

// Diff returns the keys whose values differ, in the order of the documentation.
func Diff(before, after *Config) []Change {
	old := map[string]field{}
	for f := range before.fields() {
		old[f.key] = f
	}
	var changes []Change
	for f := range after.fields() {
		if !f.equal(old[f.key]) {
			changes = append(changes, Change{f.key, f.tag.Get("reload") != "yes"})
		}
	}
	return changes
}

// equal reports whether two fields have the same value. It compares the text in the
// file, because compiled patterns and time zones are not comparable.
func (f field) equal(g field) bool {
	if m, ok := reflect.TypeAssert[map[string]string](f.value); ok {
		n, _ := reflect.TypeAssert[map[string]string](g.value)
		return maps.Equal(m, n)
	}
	return f.format() == g.format()
}
