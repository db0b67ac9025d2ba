//go:build !race

package main

// parallel is the number of tests that run at the same time.
const parallel = 8

const scale = 1
