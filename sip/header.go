package sip

// Header is a header field, its value as it was written. Name has the spelling
// that CanonicalName returns.
type Header struct{ Name, Value string }
