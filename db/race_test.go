//go:build race

package db

// The race detector slows SQLite, which is Go here, down by a factor of twenty.
const raceDetector = true
