package im

import (
	"slices"
	"strings"

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

// SafeHTML returns the visible text of an HTML document with simple elements, without their
// attributes. Each element is closed, so that the result can stand within another element and
// does not change the display of other text. Its cost is proportional to the length of the text.
func SafeHTML(document string) string {
	var out strings.Builder
	var open []string
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
			out.WriteString(html.EscapeString(token.Data))
		case kind == html.StartTagToken && hiddenElements[name]:
			hidden, depth = name, 1
		case name == "br" && kind != html.CommentToken && kind != html.DoctypeToken:
			out.WriteString("<br>")
		case kind == html.StartTagToken && safeElements[name] && len(open) < maxElements:
			open = append(open, name)
			out.WriteString("<" + name + ">")
		case kind == html.EndTagToken:
			open = closeElement(&out, open, name)
		}
	}
	for len(open) > 0 {
		open = closeElement(&out, open, open[len(open)-1])
	}
	return out.String()
}

// closeElement closes the innermost open element with a name and those within it. It ignores an
// end tag without a start tag.
func closeElement(out *strings.Builder, open []string, name string) []string {
	if !slices.Contains(open, name) {
		return open
	}
	for i, e := range slices.Backward(open) {
		out.WriteString("</" + e + ">")
		if e == name {
			return open[:i]
		}
	}
	return open
}
