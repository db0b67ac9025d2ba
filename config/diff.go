package config

import (
	"maps"
	"reflect"
)

// Change is a key whose value differs between two configurations.
type Change struct {
	Key     string
	Restart bool // a reload does not bring it into effect
}

// String gives "silo.add_date", or "sip.listen (needs a restart)".
func (c Change) String() string {
	if c.Restart {
		return c.Key + " (needs a restart)"
	}
	return c.Key
}

// Diff lists what has changed, in the order of the documentation.
func Diff(before, after *Config) []Change {
	was := map[string]field{}
	for f := range before.fields() {
		was[f.key] = f
	}
	var changes []Change
	for f := range after.fields() {
		if !f.equal(was[f.key]) {
			changes = append(changes, Change{f.key, f.tag.Get("reload") != "yes"})
		}
	}
	return changes
}

// equal compares by what would be written: a compiled pattern or a time zone cannot be
// compared itself.
func (f field) equal(g field) bool {
	if m, ok := reflect.TypeAssert[map[string]string](f.value); ok {
		n, _ := reflect.TypeAssert[map[string]string](g.value)
		return maps.Equal(m, n)
	}
	return f.written() == g.written()
}
