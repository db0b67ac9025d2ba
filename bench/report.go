package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Sample is the result of one measurement of a system in a mode.
type Sample struct {
	Mode, System string
	Round        int

	Seconds     float64
	Done        int64   // units of the mode
	Rate        float64 // units per second
	DaemonCPU   float64 // microseconds of CPU time per unit
	DatabaseCPU float64 // the same of the database server
	P50, P99    float64 // milliseconds until the answer
	Longest     float64
	Memory      int64   // bytes at the end, of the daemon; shared memory once
	Each        float64 // bytes for each transaction or binding; 0: unknown

	Missing       int64 // accepted, but not stored or delivered
	Repeated      int64 // received again in another transaction
	Disordered    int64 // overtaken by later ones
	Retransmitted int64 // by the system
	Resent        int64 // by the load generator
	Unanswered    int64
	Faults        int64            // messages that could not be read or sent
	Status        map[string]int64 // final responses by status
	Others        float64          // processors that were busy with something else
	Generator     float64          // processors that the load generator took
	Cores         float64          // processors that daemon and database took
}

// CPU returns the CPU time per unit of daemon and database together.
func (s *Sample) CPU() float64 { return s.DaemonCPU + s.DatabaseCPU }

// A report is the results of a run.
type report struct {
	Machine   *machine
	Arguments []string
	Started   time.Time
	Samples   []*Sample
}

// save writes the report as JSON to a file in dir.
func (r *report) save(dir string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Started.Format("results-20060102-150405.json")), data, 0o644)
}

// A row is the medians of the rounds of a system in a mode; faults are summed.
type row struct {
	Sample
	rounds int
}

// rows returns the rows of a mode in the order in which its systems first ran.
func (r *report) rows(mode string) (rows []row) {
	var order []string
	by := make(map[string][]*Sample)
	for _, s := range r.Samples {
		if s.Mode != mode {
			continue
		}
		if by[s.System] == nil {
			order = append(order, s.System)
		}
		by[s.System] = append(by[s.System], s)
	}
	for _, name := range order {
		rows = append(rows, middle(by[name]))
	}
	return rows
}

// middle returns the row of the rounds of a system.
func middle(samples []*Sample) row {
	m := row{Sample: Sample{Mode: samples[0].Mode, System: samples[0].System}, rounds: len(samples)}
	of := func(value func(*Sample) float64) float64 {
		var vs []float64
		for _, s := range samples {
			vs = append(vs, value(s))
		}
		return median(vs)
	}
	m.Rate = of(func(s *Sample) float64 { return s.Rate })
	m.DaemonCPU = of(func(s *Sample) float64 { return s.DaemonCPU })
	m.DatabaseCPU = of(func(s *Sample) float64 { return s.DatabaseCPU })
	m.P50 = of(func(s *Sample) float64 { return s.P50 })
	m.P99 = of(func(s *Sample) float64 { return s.P99 })
	m.Memory = int64(of(func(s *Sample) float64 { return float64(s.Memory) }))
	m.Each = of(func(s *Sample) float64 { return s.Each })
	m.Others = of(func(s *Sample) float64 { return s.Others })
	m.Longest = of(func(s *Sample) float64 { return s.Longest })
	m.Cores = of(func(s *Sample) float64 { return s.Cores })
	m.Generator = of(func(s *Sample) float64 { return s.Generator })
	for _, s := range samples {
		m.Done += s.Done
		m.Missing += s.Missing
		m.Repeated += s.Repeated
		m.Disordered += s.Disordered
		m.Resent += s.Resent
		m.Unanswered += s.Unanswered
	}
	return m
}

// median returns the median of vs; 0 if vs is empty.
func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	n := len(vs)
	if n == 0 {
		return 0
	}
	return (vs[(n-1)/2] + vs[n/2]) / 2
}

// columns are the headings of the tables.
var columns = []string{
	"system", "rate/s", "CPU us", "daemon", "database", "p50 ms", "p99 ms", "memory MB", "cores", "missing", "repeated", "disorder",
}

// cells returns the texts of a row of the table.
func (r *row) cells() []string {
	n := func(v int64) string { return fmt.Sprint(v) }
	return []string{
		r.System, fmt.Sprintf("%.0f", r.Rate), fmt.Sprintf("%.1f", r.CPU()),
		fmt.Sprintf("%.1f", r.DaemonCPU), fmt.Sprintf("%.1f", r.DatabaseCPU),
		short(r.P50), short(r.P99), fmt.Sprintf("%.0f", float64(r.Memory)/1e6), short(r.Cores),
		n(r.Missing), n(r.Repeated), n(r.Disordered),
	}
}

// short formats a number with two or three significant digits.
func short(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// ratios returns rows that divide the values of each silod by those of each other system.
func ratios(rows []row) (lines [][]string) {
	part := func(a, b float64) string {
		if b == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", a/b)
	}
	for _, a := range rows {
		for _, b := range rows {
			if strings.HasPrefix(a.System, "silod") && !strings.HasPrefix(b.System, "silod") {
				lines = append(lines, []string{
					a.System + " / " + b.System, part(a.Rate, b.Rate), part(a.CPU(), b.CPU()),
					part(a.DaemonCPU, b.DaemonCPU), part(a.DatabaseCPU, b.DatabaseCPU),
					part(a.P50, b.P50), part(a.P99, b.P99), part(float64(a.Memory), float64(b.Memory)),
				})
			}
		}
	}
	return lines
}

// print writes the table of a mode.
func (r *report) print(w io.Writer, name string) {
	m, rows := modeNamed(name), r.rows(name)
	fmt.Fprintf(w, "\n%s: %s, medians of %d\n", m.name, m.unit, rows[0].rounds)
	table := [][]string{columns}
	for i := range rows {
		table = append(table, rows[i].cells())
	}
	align(w, append(table, ratios(rows)...))
	for i := range rows {
		for _, n := range rows[i].notes(m) {
			fmt.Fprintf(w, "  %s: %s\n", rows[i].System, n)
		}
	}
}

// notes returns notes on a row that do not fit the table.
func (r *row) notes(m *mode) (notes []string) {
	if r.Each > 0 {
		notes = append(notes, fmt.Sprintf("%.0f bytes for each %s", r.Each, m.thing))
	}
	if r.Resent > 0 || r.Unanswered > 0 {
		notes = append(notes, fmt.Sprintf("%d requests retransmitted, %d never answered, the longest response took %.0f ms",
			r.Resent, r.Unanswered, r.Longest))
	}
	if r.Others > maxOthers {
		notes = append(notes, fmt.Sprintf("%.2f processors were busy with other programs: CPU time is more reliable than rates", r.Others))
	}
	return notes
}

// maxOthers is the number of processors busy with other work above which rates are not
// reliable.
const maxOthers = 0.1

// align writes a table. The first column is left-aligned, the others are right-aligned.
func align(w io.Writer, table [][]string) {
	width := make([]int, len(columns))
	for _, line := range table {
		for i, c := range line {
			width[i] = max(width[i], len(c))
		}
	}
	for _, line := range table {
		var b strings.Builder
		for i, c := range line {
			if i == 0 {
				fmt.Fprintf(&b, "  %-*s", width[i], c)
			} else {
				fmt.Fprintf(&b, "  %*s", width[i], c)
			}
		}
		fmt.Fprintln(w, b.String())
	}
}
