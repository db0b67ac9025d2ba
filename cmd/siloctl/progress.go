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
	total int64     // 0: not known, only the number is drawn
	more  string    // further text
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
	if p.w == nil || time.Since(p.shown) < barEvery {
		return
	}
	p.shown = time.Now()
	if p.total == 0 {
		fmt.Fprintf(p.w, "\r%d %s%s\x1b[K", n, p.noun, p.more)
		return
	}
	full := int(min(n, p.total) * barWidth / p.total)
	bar := strings.Repeat("#", full) + strings.Repeat(" ", barWidth-full)
	fmt.Fprintf(p.w, "\r[%s] %d of %d %s%s\x1b[K", bar, n, p.total, p.noun, p.more)
}

// note sets a text that the next drawing has at its end.
func (p *progress) note(text string) { p.more = text }

// end removes the bar.
func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.w = nil
	}
}
