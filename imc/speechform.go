package imc

import (
	"mime"
	"strings"

	"silod/im"
	"silod/sip"
)

// A form is the way in which a message names its speaker, besides the field SpeakerField,
// which each message of a room has.
type form int

const (
	refused   form = iota // the speaker could not be named, or not where the phone shows the text
	prefixed              // the text after the name, in its charset
	converted             // the same, after a conversion to plain text in UTF-8
	hypertext             // simple HTML after the name
	wrapped               // CPIM, with the speaker's From
	parts                 // each part of a multipart message in its form
	dropped               // a notification, of which a room makes nothing
	unchanged             // content that is no text
)

// formOf returns the form of a message with a media type and a charset, both in lower case.
// encoded reports that the body has an encoding. For refused, the key is that of the text that
// explains it.
func formOf(kind, charset string, encoded bool) (form, textKey) {
	top, sub, ok := strings.Cut(kind, "/")
	if !ok || !sip.IsToken(top) || !sip.IsToken(sub) {
		return refused, "bad_type"
	}
	switch kind {
	case im.MediaTypeCPIM:
		return wrapped, ""
	case im.MediaTypeIMDN, mediaTypeComposing:
		return dropped, ""
	case "multipart/signed", "application/xhtml+xml", "application/rtf", "application/xml", "application/sdp":
		return refused, "bad_type" // a name cannot be put into it; some phones show it as a text
	}
	switch top {
	case "text":
		return textForm(sub, charset, encoded)
	case "multipart":
		return parts, ""
	case "image", "audio", "video", "font", "model", "application":
		return unchanged, ""
	}
	return refused, "bad_type"
}

// textForm returns the form of a text. A phone shows the text of a type that it does not know
// as plain text (RFC 2046 section 4.1.4), so other types than HTML become plain text.
func textForm(sub, charset string, encoded bool) (form, textKey) {
	_, err := im.ToUTF8(nil, charset)
	switch plain := sub == "plain" && !encoded; {
	case plain && im.IsASCIIBased(charset):
		return prefixed, ""
	case err != nil:
		return refused, "bad_charset"
	case sub == "html":
		return hypertext, ""
	}
	return converted, ""
}

// contentType returns the media type and the charset of a Content-Type value in lower case. It
// reports whether the value can be read in one way only. A value without a type is plain text.
func contentType(value string) (kind, charset string, certain bool) {
	if value == "" {
		return "text/plain", "", true
	}
	kind, params, _ := strings.Cut(value, ";")
	kind, params = strings.ToLower(strings.TrimSpace(kind)), strings.ToLower(strings.TrimSpace(params))
	if strings.ContainsAny(kind, " \t") {
		return strings.NewReplacer(" ", "", "\t", "").Replace(kind), "", false
	}
	if params == "" {
		return kind, "", true
	}
	if charset, ok := strings.CutPrefix(params, "charset="); ok && sip.IsToken(charset) {
		return kind, charset, true
	}
	_, named, err := mime.ParseMediaType(value)
	if err != nil {
		return kind, "", false
	}
	return kind, strings.ToLower(named["charset"]), true
}
