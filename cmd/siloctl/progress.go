package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is a bar for long work, shown to people only.
type progress struct {
	w     io.Writer // nil: nobody is there to see it
	what  string
	total int64
	shown time.Time
}

// How the bar looks, and how often it is drawn: a terminal may be slow.
const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

// progress begins a bar. It draws nothing for programs.
func (a *app) progress(what string, total int64) *progress {
	p := &progress{what: what, total: total, shown: time.Now()}
	if a.watched() {
		p.w = a.stderr
	}
	return p
}

// watched tells whether a person sees how far we are.
func (a *app) watched() bool { return isTerminal(a.stderr) && a.output == "table" }

// at draws the bar anew, if it is time.
func (p *progress) at(n int64) {
	if p.w == nil || p.total == 0 || time.Since(p.shown) < barEvery {
		return
	}
	p.shown = time.Now()
	full := int(min(n, p.total) * barWidth / p.total)
	fmt.Fprintf(p.w, "\r[%s%s] %d of %d %s", strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), n, p.total, p.what)
}

// end takes the bar away.
func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.w = nil
	}
}
