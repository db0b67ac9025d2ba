package config

import "time"

// Auth is who may send and register, how that is found out, and how much of it a
// stranger may ask for.
type Auth struct {
	// "digest": users prove who they are with their password (RFC 8760), and send only
	// as themselves. "none": everybody may register and send as anybody. On an address
	// that others can reach, silod starts with "none" only where this key is written.
	Mode string `toml:"mode" default:"none" allow:"none|digest"`

	// The realm of the passwords. Unset: the domain of the user. Passwords that silod
	// and Kamailio keep as hashes are worth nothing in another realm.
	Realm string `toml:"realm" is:"realm"`

	// Peers whose requests need no password: your own proxies and gateways. Each is a
	// network, an address, or with "tls:" a name in a TLS client certificate, and
	// behind it stands what else it may do. "identity": its word on who the sender is
	// counts (P-Asserted-Identity, RFC 3325), and nobody else's does. "relay": it may
	// send to other domains by way of us, see relay. "digest" takes back that it needs
	// no password: a proxy that passes on the requests of users who prove themselves
	// here, and must not be counted as one user who sends much. The first name needs a
	// restart, so that certificates are asked for. Over UDP the source
	// address can be forged: trust only networks from which nobody else can send.
	//
	//	["10.0.0.0/8", "192.0.2.7 identity relay", "tls:proxy.example.org identity", "192.0.2.8 digest"]
	Trusted []Peer `toml:"trusted" reload:"yes"`

	// The authorities whose client certificates count, as a PEM file, for the names in
	// trusted. A relative path is taken from the directory of this file. Unset: those of
	// the system.
	TrustedCA string `toml:"trusted_ca" is:"path"`

	// Who may send to other domains by way of us: "nobody"; "trusted", the peers that have
	// the right to; "authenticated", our users too.
	Relay string `toml:"relay" default:"nobody" allow:"nobody|trusted|authenticated" reload:"yes"`

	// Senders of other domains have no password here, and their From may be a lie. What
	// they send is refused ("nobody"), taken for our users ("users"), or for rooms as well
	// ("all"), which then answer to an address that the sender may have made up. This
	// counts where mode is "digest".
	Strangers string `toml:"strangers" default:"users" allow:"nobody|users|all" reload:"yes"`

	// The algorithms that are offered, in this order, and no other is accepted. Newer
	// clients choose. Older ones take the first challenge and give up if it is not MD5
	// (SIPp); others take the last (Twinkle; JsSIP and SIP.js, and so the order is turned
	// round over WebSockets), or give up if there is any other (baresip 1.0): for those
	// offer ["MD5"] alone. Over UDP a small request is answered with the shortest challenge
	// alone, so that the answer is no larger.
	Algorithms []string `toml:"algorithms" default:"MD5 SHA-256" allow:"SHA-512-256|SHA-256|MD5"`

	// How long a challenge can be answered. Nothing is remembered of one until then.
	NonceLife time.Duration `toml:"nonce_life" default:"10m" allow:"10s..1d"`

	// The same for clients that do not count their answers (RFC 2069; Pidgin). For so
	// long what somebody else has overheard can be sent again, word for word. 0s refuses
	// such clients.
	LegacyNonceLife time.Duration `toml:"legacy_nonce_life" default:"1m" allow:"0s..1h"`

	// A file with a secret of 16 bytes or more, the same on all nodes that serve the same
	// clients: each then takes answers to the others' challenges. A relative path is
	// taken from the directory of this file. Unset: a new secret at every start.
	NonceSecretFile string `toml:"nonce_secret_file" is:"path"`

	// A source with more wrong passwords than this is banned for so long: what it sends is
	// dropped unread. A rate is written "20/10m": twenty at once, and twenty every ten
	// minutes. A source is an IPv4 address or an IPv6 network of 64 bits. "siloctl bans"
	// lists bans and lifts them.
	Failures Rate          `toml:"failures" default:"20/10m" is:"limit"`
	BanTime  time.Duration `toml:"ban_time" default:"10m" allow:"1s..7d"`

	// What one source, trusted ones excepted, and what one user who is authenticated, may
	// send of each kind; what is more is answered 503 with Retry-After. "0": no limit.
	// Where mode is "none" only those count that are written here.
	SourceRegisters Rate `toml:"source_registers" default:"3000/1m" reload:"yes"`
	SourceMessages  Rate `toml:"source_messages" default:"6000/1m" reload:"yes"`
	SourceOthers    Rate `toml:"source_others" default:"600/1m" reload:"yes"`
	UserRegisters   Rate `toml:"user_registers" default:"60/1m" reload:"yes"`
	UserMessages    Rate `toml:"user_messages" default:"600/1m" reload:"yes"`

	// Parts of the User-Agent of programs that are not served, in any case of letters:
	// well-known scanners. What they send is dropped, since an answer is all they are after.
	BlockedAgents []string `toml:"blocked_agents" default:"friendly-scanner friendly-request sipvicious sundayddr sip-scan sipscan siparmyknife sipcli/ pplsip" reload:"yes"`
}
