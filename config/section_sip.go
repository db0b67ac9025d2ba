package config

import "time"

// SIP configures the listeners, the domains, and the limits for requests and connections.
type SIP struct {
	// The addresses to listen on: transport, IP address and port. The transports are udp,
	// tcp, tls, ws and wss. An IPv6 address is in brackets: "udp:[::1]:5060". The default
	// port is 5060, for tls 5061, for ws 80 and for wss 443. Port 0 is any free port.
	Listen []Listen `toml:"listen" default:"udp:127.0.0.1:5060 tcp:127.0.0.1:5060"`

	// The domains of this server: their users and rooms are local, and each has users of its
	// own. The first is the main domain, and a new one needs a restart. If not set: the host of
	// advertise, or else the first address that is listened on.
	Domains []string `toml:"domains" is:"host" reload:"yes"`

	// Other names of the main domain: bob at one of them is bob of the main domain. The
	// addresses that are listened on (all addresses and the name of the machine for 0.0.0.0 and
	// [::]) and the host of advertise always are, and localhost is if domains is not set.
	DomainAliases []string `toml:"domain_aliases" is:"host"`

	// The next hop for requests of silod itself to addresses that are not registered here.
	// If not set, or if it is an address of silod itself: DNS (RFC 3263).
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// The next hop for messages to users of this server without a registration here: a server
	// that may know their devices. A message that it does not accept is stored, and a stored
	// message is not sent there again, but to silo.outbound_proxy, or to the user's devices
	// once they register here. If not set, or if it is an address of silod itself: such a
	// message is stored at once.
	UserProxy string `toml:"user_proxy" is:"sip" reload:"yes"`

	// The address under which other servers reach silod, if it is not the one listened on:
	// behind a NAT, or in a container. It is the address in Via, and a name of the main domain.
	Advertise string `toml:"advertise" is:"public"`

	// The certificate with its chain, and the private key, for tls and wss, as PEM files.
	// Relative paths start at the directory of this file. A reload reads the files again;
	// open connections stay open. Further certificates: see certificate.
	TLSCertificate string `toml:"tls_certificate" is:"path" reload:"yes"`
	TLSPrivateKey  string `toml:"tls_private_key" is:"path" reload:"yes"`

	// The networks of proxies in front of silod, such as HAProxy and nginx, that tell the
	// address of the client: by the PROXY protocol (versions 1 and 2) on tcp, tls, ws and wss,
	// or by X-Forwarded-For on ws and wss. For these connections the address of the client
	// counts in all limits and bans, in auth.trusted and in the log. From other networks a
	// PROXY header is not a valid message, and X-Forwarded-For is ignored. A proxy must send
	// the header on each connection, and must append to X-Forwarded-For or replace it. For a
	// connection without either the address of the proxy counts, and also over UDP, which has
	// neither. See docs/proxies.md.
	//
	//	["127.0.0.1", "::1", "10.0.0.0/24"]
	ProxyProtocol []Network `toml:"proxy_protocol" reload:"yes"`

	// The maximum size of a message, header and body, in bytes. A larger one is answered
	// 513. A text over 64 kB does not fit Kamailio's table on MySQL.
	MaxMessageSize int `toml:"max_message_size" default:"65535" allow:"1300..16777216"`

	// How long to wait for the devices of an online user to answer before a message is
	// stored and its sender gets 202. Senders time out after 32 s (RFC 4320).
	AcceptTimeout time.Duration `toml:"accept_timeout" default:"5s" allow:"100ms..30s" reload:"yes"`

	// A message over 1300 bytes is sent over TCP if the recipient supports it (RFC 3428
	// section 8). If the recipient supports only UDP: send it over UDP (true), or store it
	// until there is another transport (false).
	LargeOverUDP bool `toml:"large_over_udp" default:"true" reload:"yes"`

	// The maximum number of requests that are handled at the same time. Further ones are
	// answered 503 with Retry-After.
	MaxHandlers int `toml:"max_handlers" default:"8192" allow:"1..1000000"`

	// The maximum number of server transactions, and of client transactions. Requests
	// beyond it are answered 503 with Retry-After.
	MaxTransactions int `toml:"max_transactions" default:"1000000" allow:"1000..100000000"`

	// Messages that one source address may send in a second, and as many more over
	// connections. Further ones over UDP are dropped without being parsed; connections are
	// read more slowly. Answers to requests of silod do not count. A proxy in front of silod
	// is one source. 0: no limit.
	SourceRate int `toml:"source_rate" default:"50000" allow:"0..1000000" reload:"yes"`

	// The maximum number of open connections of all transports. Each needs a file
	// descriptor. If so many are open, a new one takes the place of the oldest one over which
	// no request has been authenticated.
	MaxConnections int `toml:"max_connections" default:"10000" allow:"1..1000000"`

	// The maximum number of open connections of one source that is not trusted, such as all
	// phones behind a NAT. A new one takes the place of an old one as with max_connections.
	// 0: no limit.
	SourceConnections int `toml:"source_connections" default:"1000" allow:"0..1000000" reload:"yes"`

	// New connections of one source that is not trusted, and TLS handshakes (tls and wss)
	// among them: so many at once and in each period. Further ones are closed at once. "0": no
	// limit.
	SourceConnects   Rate `toml:"source_connects" default:"1000/10s" reload:"yes"`
	SourceHandshakes Rate `toml:"source_handshakes" default:"600/10s" reload:"yes"`

	// The time for the peer of a new connection to authenticate: a connection without an
	// authenticated request is closed then, between two requests. If one always is in progress,
	// no more are read after another 30 s. Trusted peers need not authenticate, and if auth.mode
	// is "none" any request suffices.
	AuthTimeout time.Duration `toml:"auth_timeout" default:"1m" allow:"1s..2h" reload:"yes"`

	// A connection without traffic for this time is closed. The contacts that are registered
	// over it are removed, unless a new connection to them or to their Path can be opened.
	IdleTimeout time.Duration `toml:"idle_timeout" default:"2h" allow:"10s.."`

	// The time for a new connection to send its first message, and for any connection to
	// send the rest of a message.
	StartTimeout time.Duration `toml:"start_timeout" default:"30s" allow:"1s..10m"`

	// The time for a connection to accept one message of silod before it is closed.
	WriteTimeout time.Duration `toml:"write_timeout" default:"5s" allow:"100ms..1m"`

	// The time for requests in progress to finish when silod is stopped.
	StopTimeout time.Duration `toml:"stop_timeout" default:"5s" allow:"0s..5m"`

	// Certificates for tls and wss, one table for each: for several domains, or with keys of
	// several algorithms. A client gets the one with the name that it asks for (SNI). The names
	// are those in the certificates, also with a wildcard ("*.example.org"). Other clients get
	// tls_certificate, or else the first one. Write the tables after the other keys of [sip].
	//
	//	[[sip.certificate]]
	//	certificate = "example.org.pem"
	//	private_key = "example.org.key"
	Certificates []Certificate `toml:"certificate" reload:"yes"`
}

// DB configures the database for messages, rooms, registrations and users.
type DB struct {
	// The database. SQLite needs no server; a relative path starts at the state directory.
	// On PostgreSQL and MySQL the tables are Kamailio's, and an existing database of
	// Kamailio can be used. Kamailio's forms are accepted too: "sqlite:///PATH",
	// "mysql://user:pw@host/db", "text:///DIRECTORY".
	//
	//	"sqlite:silod.db"
	//	"postgres://user:password@host1:5432,host2:5432/database?sslmode=require"
	//	"mysql://user:password@host/database"
	//	"text:/var/lib/silod/dbtext"
	URL DBURL `toml:"url" default:"sqlite:silod.db"`

	// Refuse to start on a database that another silod uses: both would deliver the stored
	// messages. The lock belongs to a database session. Set "false" only if a pool between
	// silod and the server gives every transaction another session (PgBouncer with pool_mode
	// "transaction"), and start only one silod then.
	Exclusive bool `toml:"exclusive" default:"true"`
}

// Registrar configures registrations (RFC 3261 section 10). The keys are those of
// Kamailio's registrar module.
type Registrar struct {
	// Names that differ only in the case of the letters A to Z are those of different users (1),
	// or of one user (0), as with Kamailio's default.
	CaseSensitive bool `toml:"case_sensitive" default:"0"`

	// The lifetime of a registration that does not request one, in seconds.
	DefaultExpires int `toml:"default_expires" default:"3600" allow:"1..2147483647" reload:"yes"`

	// The minimum lifetime, in seconds; a shorter one is raised to it. 0: no minimum.
	MinExpires int `toml:"min_expires" default:"60" allow:"0..3600" reload:"yes"`

	// The maximum lifetime, in seconds; a longer one is reduced to it. 0: no maximum.
	MaxExpires int `toml:"max_expires" default:"0" allow:"0..2147483647" reload:"yes"`

	// The maximum number of registered contacts of a user; a registration that adds more is
	// refused. 0: none is refused, and the 100 contacts that were refreshed last are kept: a
	// program that registers a new contact at each start displaces its old ones. All contacts
	// of a user together may have 1 MiB. The answer to a registration lists as many of them as
	// fit into 64,000 bytes, the client's own first.
	MaxContacts int `toml:"max_contacts" default:"0" allow:"0..10000" reload:"yes"`

	// The interval at which a phone that is registered over UDP behind a NAT is sent a packet,
	// from the socket that it registered at: the NAT forgets the phone without traffic, often
	// after 30 seconds. A phone is behind a NAT if its Contact or its Via has another address
	// than its packets. The packets are spread over the interval. "0s": none are sent.
	NATPing time.Duration `toml:"nat_ping" default:"25s" allow:"0s..1h" reload:"yes"`

	// The packet. "crlf": two empty lines, which phones ignore. "options": an OPTIONS request,
	// which they answer.
	NATPingMethod string `toml:"nat_ping_method" default:"crlf" allow:"crlf|options" reload:"yes"`

	// The number of OPTIONS in a row without an answer after which the contact of a phone is
	// removed. Any answer counts. 0: it stays until it expires.
	NATPingFailures int `toml:"nat_ping_failures" default:"0" allow:"0..1000" reload:"yes"`
}

// HTTP configures the pages for monitoring: /metrics (Prometheus), /healthz and /readyz.
type HTTP struct {
	// The address to listen on: "127.0.0.1:9090". If not set: none.
	Listen string `toml:"listen" is:"http"`

	// Also serve profiles of CPU time and memory under /debug/pprof. They show internal
	// data, so listen must be a loopback address.
	Pprof bool `toml:"pprof" default:"false"`
}

// Log configures the log, which is written to standard error.
type Log struct {
	// The minimum level: "info" logs one line for each request.
	Level string `toml:"level" default:"info" allow:"debug|info|warn|error" reload:"yes"`

	// "text" for people, "json" for programs.
	Format string `toml:"format" default:"text" allow:"text|json"`
}
