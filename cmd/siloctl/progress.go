package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A progress is a progress bar, for terminals only.
type progress struct {
	w     io.Writer // nil without a terminal, and after end
	noun  string
	total int64     // 0: not known, nothing is drawn
	shown time.Time // the last drawing
}

// The width of the bar, and the shortest time between two drawings, as a terminal may be slow.
const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

// progress returns a bar, which draws nothing without a terminal.
func (a *app) progress(noun string, total int64) *progress {
	p := &progress{noun: noun, total: total, shown: time.Now()}
	if a.interactive() {
		p.w = a.stderr
	}
	return p
}

// interactive reports whether progress can be shown.
func (a *app) interactive() bool { return isTerminal(a.stderr) && a.output == "table" }

// at draws the bar again, but not too often.
func (p *progress) at(n int64) {
	if p.w == nil || p.total == 0 || time.Since(p.shown) < barEvery {
		return
	}
	p.shown = time.Now()
	full := int(min(n, p.total) * barWidth / p.total)
	fmt.Fprintf(p.w, "\r[%s%s] %d of %d %s", strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), n, p.total, p.noun)
}

// end removes the bar.
func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.w = nil
	}
}
