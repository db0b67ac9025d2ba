package imc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"silod/sip"
)

// A textKey is the key of a text in [imc.texts].
type textKey string

// args are the values of placeholders: name, value, name, value, ...
type args []string

// get returns the value of a placeholder, "" if it has none.
func (a args) get(name string) string {
	for i := 0; i+1 < len(a); i += 2 {
		if a[i] == name {
			return a[i+1]
		}
	}
	return ""
}

// texts are parsed templates by key.
type texts map[textKey][]piece

// A piece is a literal text or the name of a placeholder.
type piece struct {
	literal string
	name    string
}

// newTexts returns the default texts, with those of an operator in place of theirs.
// An error for an unknown key or placeholder lists the known ones.
func newTexts(custom map[string]string) (texts, error) {
	t := make(texts, len(wordings))
	for key, w := range wordings {
		t[key], _ = parseTemplate(w.template)
	}
	for _, key := range slices.Sorted(maps.Keys(custom)) {
		w, known := wordings[textKey(key)]
		if !known {
			return nil, fmt.Errorf("imc.texts: there is no text %q; the texts are: %s", key, strings.Join(textKeys(), " "))
		}
		ps, err := parseTemplate(custom[key])
		if err != nil {
			return nil, fmt.Errorf("imc.texts: %s: %w", key, err)
		}
		allowed := strings.Fields(w.names)
		if key != "speech" && key != "action" {
			allowed = append(allowed, strings.Fields(common)...)
		}
		for _, p := range ps {
			if p.name != "" && !slices.Contains(allowed, p.name) {
				return nil, fmt.Errorf("imc.texts: %s: there is no placeholder {%s}; the placeholders are: {%s}", key, p.name, strings.Join(allowed, "} {"))
			}
		}
		t[textKey(key)] = ps
	}
	return t, nil
}

// textKeys returns the keys of [imc.texts] in order.
func textKeys() []string {
	var keys []string
	for key := range wordings {
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return keys
}

// parseTemplate splits a template into pieces. "{{" stands for a brace.
func parseTemplate(template string) ([]piece, error) {
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
			return nil, fmt.Errorf("no } after {%s; write {{ for a brace", clip(rest))
		}
		ps = append(ps, piece{name: name})
		template = after
	}
}

// expand returns the text of a key with its placeholders replaced.
func (t texts) expand(key textKey, a args) string {
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

// text expands a text about a room.
func (s *Service) text(key textKey, room sip.AoR, a ...string) string {
	set := s.settings()
	return set.texts.expand(key, append(a, "room", plainName(room), "room_uri", room.String(), "start", set.config.StartChar))
}

// clip shortens the input of a user for use in a text.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
