package main

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what is alive before it is
// collected: a server whose garbage is short-lived messages trades some megabytes
// for an eighth of its processor time.
const gcPercent = 200

// setGC applies it, unless the administrator has chosen.
func setGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
