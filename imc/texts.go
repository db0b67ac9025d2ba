package imc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// text names one of the messages that rooms write to people.
type text string

// args gives placeholders their values: name, value, name, value, ...
type args []string

func (a args) get(name string) string {
	for i := 0; i+1 < len(a); i += 2 {
		if a[i] == name {
			return a[i+1]
		}
	}
	return ""
}

// texts are the wordings in force, taken apart.
type texts map[text][]piece

// piece is literal text, or the name of a placeholder.
type piece struct {
	literal string
	name    string
}

// newTexts merges an operator's templates over those shipped. The error names
// what is possible.
func newTexts(own map[string]string) (texts, error) {
	t := make(texts, len(wordings))
	for key, w := range wordings {
		t[key], _ = takeApart(w.template)
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		w, known := wordings[text(key)]
		if !known {
			return nil, fmt.Errorf("imc.texts: there is no text %q; the texts are: %s", key, strings.Join(textKeys(), " "))
		}
		ps, err := takeApart(own[key])
		if err != nil {
			return nil, fmt.Errorf("imc.texts: %s: %w", key, err)
		}
		allowed := strings.Fields(w.names)
		if key != "speech" {
			allowed = append(allowed, strings.Fields(common)...)
		}
		for _, p := range ps {
			if p.name != "" && !slices.Contains(allowed, p.name) {
				return nil, fmt.Errorf("imc.texts: %s: there is no {%s} here; possible are: {%s}", key, p.name, strings.Join(allowed, "} {"))
			}
		}
		t[text(key)] = ps
	}
	return t, nil
}

// textKeys lists the keys of [imc.texts].
func textKeys() []string {
	var keys []string
	for key := range wordings {
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return keys
}

// takeApart splits a template. "{{" stands for a brace.
func takeApart(template string) ([]piece, error) {
	var ps []piece
	literal := func(s string) {
		if n := len(ps); n > 0 && ps[n-1].name == "" {
			ps[n-1].literal += s
		} else if s != "" {
			ps = append(ps, piece{literal: s})
		}
	}
	for {
		before, rest, found := strings.Cut(template, "{")
		literal(before)
		if !found {
			return ps, nil
		}
		if strings.HasPrefix(rest, "{") {
			literal("{")
			template = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("no } behind {%s; write {{ for a brace", clip(rest))
		}
		ps = append(ps, piece{name: name})
		template = after
	}
}

// write fills in a template.
func (t texts) write(key text, a args) string {
	var b strings.Builder
	for _, p := range t[key] {
		if p.name == "" {
			b.WriteString(p.literal)
		} else {
			b.WriteString(a.get(p.name))
		}
	}
	return b.String()
}

// clip shortens what somebody wrote before it is shown to anybody.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
