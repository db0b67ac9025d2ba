package config

import "time"

// Auth configures authentication, trusted peers, and limits for requests.
type Auth struct {
	// "digest": users authenticate with a password (RFC 8760) and can send only as
	// themselves. "none": all senders may register and send as any user. If silod listens on
	// an address that other machines can reach, "none" must be set explicitly.
	Mode string `toml:"mode" default:"none" allow:"none|digest"`

	// The realm of the passwords. If not set: the domain of the user. The hashes of passwords
	// that silod and Kamailio store are valid only for their realm.
	Realm string `toml:"realm" is:"realm"`

	// Peers that need no password, such as your proxies and gateways. Each is a network, an
	// address, or "tls:" with a name in a TLS client certificate. Rights may follow:
	// "identity": its P-Asserted-Identity is used (RFC 3325); that of other senders is
	// removed. "relay": it may send to other domains; see relay. "digest": its requests need
	// a password nevertheless; for a proxy that forwards requests of users that authenticate
	// here, so that it is not limited as a single user. The addresses that a peer registers are
	// believed: a Path to any host (RFC 3327), and Contacts of its clients if it adds no Path.
	// Others can only register the address that they send from; another Path is answered 403.
	// The first "tls:" name needs a restart, because listeners then request certificates. Over
	// UDP the source address can be forged: trust only networks from which no one else can
	// send.
	//
	//	["10.0.0.0/8", "192.0.2.7 identity relay", "tls:proxy.example.org identity", "192.0.2.8 digest"]
	Trusted []Peer `toml:"trusted" reload:"yes"`

	// The authorities of client certificates, as a PEM file, for the names in trusted. A
	// relative path starts at the directory of this file. If not set: those of the system.
	TrustedCA string `toml:"trusted_ca" is:"path"`

	// Senders that may send to other domains: "nobody"; "trusted": peers with the right
	// relay; "authenticated": these and all authenticated users. Others can have rooms send there
	// neither: they cannot invite or add users of other domains.
	Relay string `toml:"relay" default:"nobody" allow:"nobody|trusted|authenticated" reload:"yes"`

	// Senders of other domains cannot authenticate here, and their From may be forged; neither
	// can those whose From is not a SIP address, such as a telephone number (tel:). Their
	// messages are refused ("nobody"), accepted for users ("users"), or accepted for users
	// and rooms ("all"). Rooms then answer to an address that may be forged. This key has an
	// effect only if mode is "digest"; otherwise messages are accepted for users.
	Strangers string `toml:"strangers" default:"users" allow:"nobody|users|all" reload:"yes"`

	// The algorithms that are offered, in this order; no others are accepted. All clients support
	// MD5. With ["MD5", "SHA-256"] recent clients choose one, but others fail: baresip 1.0 and
	// Twinkle if there is any algorithm beside MD5, and SIPp if MD5 is not the first. JsSIP and
	// SIP.js use the last one, so the order is reversed over WebSockets. ["SHA-256"] is for
	// networks in which all clients support it (RFC 8760). silod does not choose by the client: a
	// User-Agent does not tell, and an attacker can change it. Over UDP the response to a small
	// request has only the shortest challenge, so that it is not larger than the request.
	Algorithms []string `toml:"algorithms" default:"MD5" allow:"SHA-512-256|SHA-256|MD5"`

	// How long a challenge is valid. silod stores nothing for challenges without a response.
	NonceLife time.Duration `toml:"nonce_life" default:"10m" allow:"10s..1d"`

	// The same for clients without a nonce count (RFC 2069; Pidgin). During this time an
	// attacker can repeat a captured request unchanged. 0s refuses such clients.
	LegacyNonceLife time.Duration `toml:"legacy_nonce_life" default:"1m" allow:"0s..1h"`

	// A file with a secret of at least 16 bytes. Nodes with the same secret accept responses
	// to each other's challenges. A relative path starts at the directory of this file.
	// If not set: a new secret at each start.
	NonceSecretFile string `toml:"nonce_secret_file" is:"path"`

	// A user with more failed logins than failures from one source cannot log in from there for
	// ban_time (403); others there can, and so can the user over connections and from UDP
	// addresses with which the user has logged in before. A source from which that many users
	// fail, as a scanner does, is banned for ban_time: its messages are dropped without being
	// parsed, except over such connections and UDP addresses. A login counts once, whatever the
	// number of algorithms that the client tries. A rate is written "20/10m": twenty at once, and
	// twenty every ten minutes. A source is an IPv4 address or an IPv6 network of 64 bits.
	// "siloctl bans" lists and lifts bans.
	Failures Rate          `toml:"failures" default:"20/10m" is:"limit"`
	BanTime  time.Duration `toml:"ban_time" default:"10m" allow:"1s..7d"`

	// How many logins of one user may fail in all. Above it, logins from sources from which the
	// user has not logged in within seven days are answered 503 with Retry-After.
	UserFailures Rate `toml:"user_failures" default:"100/10m" is:"limit"`

	// Limits for the requests of a source that is not trusted, and of an authenticated user,
	// by kind; further requests are answered 503 with Retry-After. "0": no limit. If mode is
	// "none", only limits that are set here apply. UDP packets, whose source may be forged, are
	// counted apart from connections, and when there are too many, also from packets that
	// respond to a challenge sent to that source. Over connections, one user takes at most a
	// quarter of the limit of the source, or twice the limit of a user if that is more.
	SourceRegisters Rate `toml:"source_registers" default:"3000/1m" reload:"yes"`
	SourceMessages  Rate `toml:"source_messages" default:"6000/1m" reload:"yes"`
	SourceOthers    Rate `toml:"source_others" default:"600/1m" reload:"yes"`
	UserRegisters   Rate `toml:"user_registers" default:"60/1m" reload:"yes"`
	UserMessages    Rate `toml:"user_messages" default:"600/1m" reload:"yes"`

	// Substrings of the User-Agent of known scanners, in any case of letters. Their requests
	// are dropped without a response.
	BlockedAgents []string `toml:"blocked_agents" default:"friendly-scanner friendly-request sipvicious sundayddr sip-scan sipscan siparmyknife sipcli/ pplsip" reload:"yes"`
}
