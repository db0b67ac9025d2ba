// Package sip contains the syntax and the value types of SIP: messages, URIs, name-addr
// values with their parameters, Via values, flows, and the canonical address-of-record
// (AoR), which identifies a user. It implements the comparison rules of RFC 3261 sections
// 19.1 and 20.10.
//
// The package does no I/O and reads no clock. It knows neither sockets nor transactions.
// Values are not locked, except Domains, which can be replaced atomically.
//
// Parsers accept bytes from any sender: they do not panic and do not correct errors. The
// error for a malformed value contains the reason.
package sip
