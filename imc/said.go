package imc

import (
	"slices"
	"strings"
	"unicode"

	"silod/im"
)

// commandIn returns the command line in the text of a request, without the start character.
// A text that begins with a word that is not a command is said to the room, as hashtags and
// headings are. A word that differs from a command by one typing error, before arguments that
// fit this command, is taken for one, so that parse refuses it: "#exti" and "#invte bob" are not
// meant for the room, but "#most of us" is not "#mute". Two start
// characters stand for one that is said; commandIn removes the first. The manager says nothing
// to others, so that all that begins with the start character is a command there.
func (s *Service) commandIn(req *Request, text string) (line string, isCommand bool) {
	start := s.config().StartChar
	rest, found := strings.CutPrefix(strings.TrimSpace(text), start)
	if !found {
		return "", false
	}
	if strings.HasPrefix(rest, start) {
		unescape(&req.Message, text, start)
		return "", false
	}
	line, _, _ = strings.Cut(rest, "\n") // a command is one line
	words := wordReader{line}
	name := words.next()
	isCommand = name == "" || strings.ContainsFunc(name, unicode.IsControl) || s.isManager(req.Room) ||
		len(s.commandForms(name)) > 0 || s.fits(req, s.meant(name), words)
	return line, isCommand
}

// unescape removes the first of the two start characters at the beginning of a text. A text
// that is not part of the body as it is, because the body is compressed, stays.
func unescape(m *im.Message, text, start string) {
	head := len(m.Body) - len(text)
	if head < 0 || string(m.Body[head:]) != text {
		return
	}
	i := head + strings.Index(text, start)
	m.Body = slices.Concat(m.Body[:i], m.Body[i+len(start):])
}

// meant returns the name of the command that differs from a word by one typing error, "" if
// there is none.
func (s *Service) meant(word string) string {
	if len(word) > 64 {
		return ""
	}
	typed := []rune(strings.ToLower(word))
	for _, c := range s.commands {
		for _, name := range append([]string{c.name}, c.aliases...) {
			if isTypo(typed, []rune(name)) {
				return name
			}
		}
	}
	return ""
}

// fits reports whether words can be the arguments of a command.
func (s *Service) fits(req *Request, name string, words wordReader) bool {
	if name == "" {
		return false
	}
	_, refused := s.parse(req, name+words.rest)
	return refused == nil || refused.text != "usage" && refused.text != "bad_room"
}

// isTypo reports whether a word becomes another one by one change: a character is missing, too
// much or wrong, or two neighbours are exchanged. A wrong first character makes another word of a
// short name: "#fan" and "#moin" are not "#ban" and "#join".
func isTypo(typed, name []rune) bool {
	head := 0
	for head < len(typed) && head < len(name) && typed[head] == name[head] {
		head++
	}
	t, n := typed[head:], name[head:]
	switch len(t) - len(n) {
	case 1:
		return slices.Equal(t[1:], n)
	case -1:
		return slices.Equal(t, n[1:])
	case 0:
		if len(t) == 0 {
			return false // the same word
		}
		swapped := len(t) > 1 && t[0] == n[1] && t[1] == n[0] && slices.Equal(t[2:], n[2:])
		return swapped || slices.Equal(t[1:], n[1:]) && (head > 0 || len(name) > 4)
	}
	return false
}

// actionWord begins a text that tells what its sender does.
const actionWord = "/me"

// action returns the words after actionWord, and whether a text begins with it and has such
// words.
func action(text []byte) ([]byte, bool) {
	rest, found := strings.CutPrefix(string(text[:min(len(text), len(actionWord)+1)]), actionWord)
	if !found || rest != " " && rest != "\t" {
		return nil, false
	}
	words := text[len(actionWord)+1:]
	return words, strings.TrimSpace(string(words[:min(len(words), 64)])) != ""
}
