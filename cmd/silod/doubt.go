package main

import "silod/mi"

// inDoubt returns the number of databases that do not answer a commit, and so take no writes.
func (d *daemon) inDoubt() (n int64) {
	for _, b := range d.databases {
		if b.InDoubt() {
			n++
		}
	}
	return n
}

// databaseGauge returns the statistic of inDoubt.
func (d *daemon) databaseGauge() mi.Stat {
	return mi.Stat{Name: "in_doubt", Help: "Databases that do not answer a commit; they take no writes until they do.", Gauge: d.inDoubt}
}
