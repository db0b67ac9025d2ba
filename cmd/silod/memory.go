package main

import "os"

// ballastBytes is the size of a slice that is never written to, so that it takes address
// space but no memory. It counts as live heap, which delays the next garbage collection
// until there is as much garbage. Without it the live heap of silod is so small that it
// would be collected many times a second, which costs a fifth of its CPU time.
const ballastBytes = 64 << 20

// ballast returns the ballast, which must stay reachable while the daemon runs. It returns
// nil if the administrator has set GOGC or GOMEMLIMIT.
func ballast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, ballastBytes)
}
