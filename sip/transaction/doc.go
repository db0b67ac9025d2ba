// Package transaction is the transaction layer of SIP over package transport: non-INVITE
// server and client transactions (RFC 3261 section 17). It passes new, well-formed requests
// to a Handler, retransmits their answers, sends requests over flows and returns their final
// responses. It does not know the meaning of requests, nor which users or contacts exist.
//
// The numbers of transactions and of requests that are served at the same time are limited.
// A request above a limit is answered 503 with Retry-After and not stored.
//
// Locks: one for each shard of the two transaction tables and of the index of connections,
// and one for the timer wheel, which may be taken while a client shard is locked. No other
// lock is taken while one is held, and none is held during I/O.
package transaction
