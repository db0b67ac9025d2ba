//go:build race

package main

// parallel is the number of tests that run at the same time. With the race detector they
// use the processors most of the time.
const parallel = 3

// scale divides the size of the largest tests.
const scale = 4
