// Package transport is the transport layer of SIP (RFC 3261 section 18): UDP, TCP, TLS and
// WebSocket sockets (RFC 7118), flows and keep-alives (RFC 5626), STUN, and the lookup of
// the addresses for a URI (RFC 3263). It passes each received message to a Receiver. It
// knows neither transactions nor the meaning of requests.
//
// All resources have limits: the number of connections, the size of messages, the time that
// a stream may take, the messages per second of a source, and the bytes that are sent to a
// source address that may be forged.
//
// Locks: one for the connection table, one for each connection's writes, and one for each
// cache (Via values, control messages, local addresses, peers without TCP). No lock is taken
// while another is held. Only a connection's write lock is held during I/O, which has a deadline.
package transport
