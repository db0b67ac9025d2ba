package sip

// A Header is a header field. Name is spelled as CanonicalName returns it, Value is as
// received.
type Header struct{ Name, Value string }
