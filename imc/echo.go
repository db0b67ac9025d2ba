package imc

import (
	"bytes"
	"slices"
	"time"

	"silod/limit"
)

// A program that repeats the texts of a room, such as a room of another server that is its
// member, would make a message of each message without end. Rooms of silod mark their messages
// by SpeakerField. Others, such as those of Kamailio's imc, remove the field and put a name
// before the text, so that the text has the message that it repeats in it, with its name.

// echoRate is how often a member may repeat a message of the room with its name, as a quotation.
var echoRate = limit.Rate{N: 3, Per: time.Minute}

// checkContent returns a refusal if the speaker of an entry cannot be named in its content, or
// if it repeats messages of the room. The caller holds stateMu.
func (s *Service) checkContent(r *room, e *Entry) error {
	if b := bodyOf(&e.Message); !b.isNameable() {
		sp := s.speakerOf(r, e)
		if _, refused := sp.name(b, 0); refused != nil {
			return refused
		}
	}
	mark := s.settings().speechMark
	if !bytes.Contains(e.Body, mark) { // true for a template without a mark
		return nil
	}
	switch r.echoes(e.Body) {
	case 0:
		return nil
	case 1:
		if _, ok, _ := s.echoed.Take(userRoom{e.From, r.name}, echoRate, s.now()); ok {
			return nil
		}
	}
	refused := refuse("echo")
	refused.silent = true // its sender would repeat that text too
	return refused
}

// maxEchoes is the number of messages within another one that are compared.
const maxEchoes = 8

// echoes returns 0 if a body has no message of a member in it that is in the tail, 1 if it has
// one, and 2 if one of those has another one in it: then it is a repetition of a repetition.
func (r *room) echoes(text []byte) int {
	r.mu.Lock()
	tail := slices.Clone(r.tail) // a long text takes milliseconds
	r.mu.Unlock()
	compared := bytes.TrimSpace
	if bytes.Contains(text, []byte("</blockquote>")) {
		compared = withoutMarks
	}
	var within [][]byte
	text = compared(text)
	for _, p := range tail {
		if p.from == r.name || len(p.body) == len(p.said) {
			continue
		}
		said := compared(p.body)
		if len(said) > len(text) || !bytes.Contains(text, said) {
			continue
		}
		for _, b := range within {
			if len(b) < len(said) && bytes.Contains(said, b) {
				return 2
			}
		}
		if within = append(within, said); len(within) == maxEchoes {
			break
		}
	}
	return min(len(within), 1)
}

// withoutMarks returns HTML without the beginnings of lines, which a repetition has in more places.
func withoutMarks(html []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimSpace(html), []byte(furtherLine), nil)
}

// longestLiteral returns the longest text between the placeholders of a template, nil if there
// is none. A repetition of a message has that of the template of speech in it.
func (t texts) longestLiteral(key textKey) []byte {
	var longest []byte
	for _, p := range t[key] {
		if l := bytes.TrimSpace([]byte(p.literal)); len(l) > len(longest) {
			longest = l
		}
	}
	return longest
}
