package main

import "os"

// ballastBytes are kept and never touched, so they take address space and no memory.
// The collector counts them as alive, and so begins only when as much garbage again
// has come together: a server whose garbage is short-lived messages, and of which
// little else is alive, would be collected many times a second, which costs a fifth of
// its processor time.
const ballastBytes = 64 << 20

// ballast is to be kept alive while the daemon runs. There is none where the
// administrator has decided when to collect.
func ballast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, ballastBytes)
}
