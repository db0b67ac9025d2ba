// Package e2e contains only tests. They build the programs silod and siloctl, and run
// each as a process with its own configuration, directories and ports: with phones of
// other projects, with clients that send garbage, and with kill -9.
//
// A test whose phone is not installed is skipped, unless SILOD_TEST_SERVERS=required is in
// the environment, as for make test. With SILOD_TEST_LONG=1 the daemon is killed ten times
// as often. With SILOD_TEST_FLOOD=1000000 each flood has a million requests, which takes
// some minutes.
package e2e
