//go:build race

package db

// The race detector makes SQLite, which is Go code here, twenty times slower.
const raceDetector = true
