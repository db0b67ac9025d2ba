package config

import "time"

// SIP is where silod listens, which domains are its own, and what it takes on at once.
type SIP struct {
	// Where to listen: transport, IP address and port. The transports are udp, tcp,
	// tls, ws and wss; an IPv6 address stands in brackets, "udp:[::1]:5060". Without a
	// port it is the transport's own: 5060, for tls 5061, for ws 80, for wss 443.
	// Port 0 takes any that is free.
	Listen []Listen `toml:"listen" default:"udp:127.0.0.1:5060 tcp:127.0.0.1:5060"`

	// Our domains: the users and rooms in them are ours. Where none is given they are
	// the addresses that are listened on, and localhost.
	Domains []string `toml:"domains" is:"host" reload:"yes"`

	// The next hop for what silod sends on its own behalf to an address that is not
	// registered here. Unset: the DNS is asked (RFC 3263).
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// The address under which others reach us, where that is not the one listened
	// on: behind a NAT, or in a container. It stands in the Via of what we send.
	Advertise string `toml:"advertise" is:"public"`

	// The certificate, with its chain, and the private key for tls and wss, as PEM
	// files. A relative path is taken from the directory of this file. A reload reads
	// them again; connections that are open stay.
	TLSCertificate string `toml:"tls_certificate" is:"path" reload:"yes"`
	TLSPrivateKey  string `toml:"tls_private_key" is:"path" reload:"yes"`

	// The largest message taken, header and body, in bytes. A larger one is answered
	// 513. A text over 64 kB does not fit Kamailio's table on MySQL.
	MaxMessageSize int `toml:"max_message_size" default:"65535" allow:"1300..16777216"`

	// How long to wait for the devices of an online user to answer before a message is
	// stored and its sender gets 202. A sender gives up after 32 s (RFC 4320).
	AcceptTimeout time.Duration `toml:"accept_timeout" default:"5s" allow:"100ms..30s" reload:"yes"`

	// A message over 1300 bytes goes over TCP where the recipient has that (RFC 3428
	// section 8). Where there is only UDP: send it all the same (true), or keep it
	// until there is another way (false).
	LargeOverUDP bool `toml:"large_over_udp" default:"true" reload:"yes"`

	// Requests worked on at once. One more is answered 503 with Retry-After.
	MaxHandlers int `toml:"max_handlers" default:"8192" allow:"1..1000000"`

	// Transactions remembered at once, of those received and again of those sent. A
	// request beyond them is answered 503 with Retry-After.
	MaxTransactions int `toml:"max_transactions" default:"1000000" allow:"1000..100000000"`

	// Messages that one source address may send in a second; what is more is dropped
	// unread. A proxy in front of silod is one source. 0: no limit.
	SourceRate int `toml:"source_rate" default:"20000" allow:"0..1000000"`

	// Connections open at once, over all transports. Each needs a file descriptor.
	MaxConnections int `toml:"max_connections" default:"10000" allow:"1..1000000"`

	// A connection that has been silent for this long is closed, and what was
	// registered over it is offline.
	IdleTimeout time.Duration `toml:"idle_timeout" default:"2h" allow:"10s.."`

	// How long a new connection may take to send its first message, and any to send
	// the rest of a message once begun.
	StartTimeout time.Duration `toml:"start_timeout" default:"30s" allow:"1s..10m"`

	// How long a connection may take to accept one message of ours before it is
	// closed as dead.
	WriteTimeout time.Duration `toml:"write_timeout" default:"5s" allow:"100ms..1m"`

	// How long requests that are being worked on may take to finish when silod is
	// told to stop.
	StopTimeout time.Duration `toml:"stop_timeout" default:"5s" allow:"0s..5m"`
}

// DB is where messages, rooms, registrations and users are kept.
type DB struct {
	// The database. SQLite needs no server and no set-up; a relative path is taken from
	// the state directory. On PostgreSQL and MySQL the tables are Kamailio's own, and
	// an existing database of Kamailio's can be used as it is. Also Kamailio's
	// spellings: "sqlite:///PATH", "mysql://user:pw@host/db", "text:///DIRECTORY".
	//
	//	"sqlite:silod.db"
	//	"postgres://user:password@host1:5432,host2:5432/database?sslmode=require"
	//	"mysql://user:password@host/database"
	//	"text:/var/lib/silod/dbtext"
	URL DBURL `toml:"url" default:"sqlite:silod.db"`

	// Refuse to start on a database on which another silod is at work: both would deliver
	// what is stored. The lock is a session's. "false" only where a pool between silod and
	// the server gives every transaction another session (PgBouncer's pool_mode
	// "transaction"), and only one silod is started.
	Exclusive bool `toml:"exclusive" default:"true"`
}

// Registrar is the rules for the registrations of devices (RFC 3261 section 10). The
// keys are those of Kamailio's registrar module.
type Registrar struct {
	// How long a registration lives that does not say so itself, in seconds.
	DefaultExpires int `toml:"default_expires" default:"3600" allow:"1..2147483647" reload:"yes"`

	// The shortest registration that is accepted, in seconds; one that asks for less is
	// answered 423 with Min-Expires. 0: any. An hour or more is never too short.
	MinExpires int `toml:"min_expires" default:"60" allow:"0..3600" reload:"yes"`

	// The longest registration, in seconds; one that asks for more gets this. 0: no limit.
	MaxExpires int `toml:"max_expires" default:"0" allow:"0..2147483647" reload:"yes"`

	// Devices that one user may have registered at once. 0: no limit.
	MaxContacts int `toml:"max_contacts" default:"0" allow:"0..10000" reload:"yes"`
}

// HTTP is the page for monitoring: /metrics (Prometheus), /healthz and /readyz.
type HTTP struct {
	// Where to listen, "127.0.0.1:9090". Unset: nowhere.
	Listen string `toml:"listen" is:"http"`

	// Show profiles of the running silod as well, under /debug/pprof: what it does with
	// its time and memory. They tell much of its inside, so listen has to be an address
	// of this machine only.
	Pprof bool `toml:"pprof" default:"false"`
}

// Log is what silod writes to standard error.
type Log struct {
	// How much: "info" has one line for each request.
	Level string `toml:"level" default:"info" allow:"debug|info|warn|error" reload:"yes"`

	// "text" for people, "json" for programs.
	Format string `toml:"format" default:"text" allow:"text|json"`
}
