// Package e2e holds nothing but tests: of the programs silod and siloctl as they
// are built, each run as a process with a configuration, directories and ports of
// its own, against phones that others wrote, against clients that send garbage,
// and against kill -9.
//
// A phone that is not installed is skipped by its name, unless the environment
// says SILOD_TEST_SERVERS=required, as make test does. SILOD_TEST_LONG=1 makes the
// tests that kill the daemon do so ten times as often. SILOD_TEST_FLOOD=1000000 has
// the floods be of a million requests each, which takes some minutes.
package e2e
