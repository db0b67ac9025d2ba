package im

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// The elements that SafeHTML keeps. They have no effect outside of themselves.
var safeElements = map[string]bool{
	"b": true, "blockquote": true, "code": true, "del": true, "div": true, "em": true, "i": true, "ins": true, "li": true,
	"ol": true, "p": true, "pre": true, "q": true, "s": true, "small": true, "strong": true, "sub": true, "sup": true,
	"tt": true, "u": true, "ul": true,
}

// The elements whose text is not shown.
var hiddenElements = map[string]bool{
	"iframe": true, "noembed": true, "noframes": true, "script": true, "style": true, "template": true, "title": true,
}

// maxElements is the number of open elements that SafeHTML keeps; those within them are left
// out, but not their text.
const maxElements = 32

// The elements that begin and end lines.
var blockElements = map[string]bool{"blockquote": true, "div": true, "li": true, "ol": true, "p": true, "pre": true, "ul": true}

// SafeHTML returns the visible text of an HTML document with simple elements, without their
// attributes. Each element is closed, so that the result can stand within another element and
// does not change the display of other text. The text of each line but the first one begins with
// mark. The result has no line ends: those of preformatted text are elements. The cost of SafeHTML
// is proportional to the length of the document.
func SafeHTML(document, mark string) string {
	w := htmlWriter{mark: mark}
	hidden, depth := "", 0 // the element that hides, and how often it is open
	z := html.NewTokenizer(strings.NewReader(document))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		name := token.Data
		switch {
		case hidden != "":
			if name == hidden && kind == html.StartTagToken {
				depth++
			} else if name == hidden && kind == html.EndTagToken {
				if depth--; depth == 0 {
					hidden = ""
				}
			}
		case kind == html.TextToken:
			w.text(token.Data)
		case kind == html.StartTagToken && hiddenElements[name]:
			hidden, depth = name, 1
		case name == "br" && kind != html.CommentToken && kind != html.DoctypeToken:
			w.lineBreak()
		case kind == html.StartTagToken && safeElements[name] && len(w.open) < maxElements:
			w.start(name)
		case kind == html.EndTagToken:
			w.end(name)
		}
	}
	for len(w.open) > 0 {
		w.end(w.open[len(w.open)-1])
	}
	return w.out.String()
}

// An htmlWriter writes the result of SafeHTML.
type htmlWriter struct {
	out     strings.Builder
	open    []string // elements
	mark    string
	begun   bool // there is text
	newLine bool // the next text begins a line
}

// text writes a text.
func (w *htmlWriter) text(s string) {
	if slices.Contains(w.open, "pre") {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	for {
		i := strings.IndexFunc(s, isLineEnd)
		if i < 0 {
			w.words(s)
			return
		}
		w.words(s[:i])
		if slices.Contains(w.open, "pre") {
			w.lineBreak()
		} else {
			w.out.WriteByte(' ')
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		s = s[i+size:]
	}
}

// words writes a part of a line.
func (w *htmlWriter) words(s string) {
	if strings.TrimSpace(s) != "" {
		if w.newLine && w.begun {
			w.out.WriteString(w.mark)
		}
		w.begun, w.newLine = true, false
	}
	w.out.WriteString(html.EscapeString(s))
}

func isLineEnd(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}

func (w *htmlWriter) lineBreak() {
	w.out.WriteString("<br>")
	w.newLine = true
}

// start opens an element.
func (w *htmlWriter) start(name string) {
	w.open = append(w.open, name)
	w.out.WriteString("<" + name + ">")
	w.newLine = w.newLine || blockElements[name]
}

// end closes the innermost open element with a name and those within it. It ignores an end tag
// without a start tag.
func (w *htmlWriter) end(name string) {
	if !slices.Contains(w.open, name) {
		return
	}
	for i, e := range slices.Backward(w.open) {
		w.out.WriteString("</" + e + ">")
		w.newLine = w.newLine || blockElements[e]
		if e == name {
			w.open = w.open[:i]
			return
		}
	}
}
