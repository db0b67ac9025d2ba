package config

import (
	"io/fs"
	"time"
)

// IMC configures chat rooms. The keys are those of Kamailio's imc module with the same
// meanings and defaults; room_pattern and the keys after it are silod's own.
type IMC struct {
	// The database for rooms, in the form of [db] url. If not set: that of [db].
	DBURL DBURL `toml:"db_url"`

	// The names of the tables of rooms and of members.
	RoomsTable   string `toml:"rooms_table" default:"imc_rooms" is:"column"`
	MembersTable string `toml:"members_table" default:"imc_members" is:"column"`

	// The size of Kamailio's hash table, as a power of 2.
	HashSize int `toml:"hash_size" default:"4" allow:"1..30" unused:"the table of rooms grows by itself"`

	// The character at the beginning of a command: "#join".
	CmdStartChar string `toml:"imc_cmd_start_char" default:"#" is:"char" reload:"yes"`

	// The next hop for messages of rooms, including answers to commands and invitations,
	// instead of the members' devices: for silod behind a proxy, which routes by the address of
	// the member. An address of silod itself counts as not set. Answers and invitations stand
	// behind stored messages for the same member, so set silo.outbound_proxy too, or they wait
	// until the member registers here.
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// Header fields that are added to messages of rooms, each in the form "Name: value\r\n":
	// "Supported: kamailio/imc\r\n".
	ExtraHdrs Headers `toml:"extra_hdrs" reload:"yes"`

	// Joining a room that does not exist creates it (1), or is refused (0).
	CreateOnJoin bool `toml:"create_on_join" default:"1" reload:"yes"`

	// Creating a room that exists is refused (1), or joins it (0).
	CheckOnCreate bool `toml:"check_on_create" default:"0" reload:"yes"`

	// Senders that may create rooms, by #create or by joining: "all"; "authenticated": by a
	// password or by a trusted peer, and all if auth.mode is "none"; "local": users of our
	// domains; "sip:alice@example.org": one user; "@example.org": the users of a domain;
	// "nobody": administrators only, with siloctl rooms create. All of these but "all" are
	// authenticated senders. auth.strangers says which senders reach rooms at all.
	Creators []string `toml:"creators" default:"all" is:"sender" reload:"yes"`

	// The names of rooms: a message to a user part that matches is for a room. The user part is
	// compared in lower case and without escapes: "^raum-[a-zäöü]+$" fits sip:raum-k%C3%B6ln@...
	RoomPattern Pattern `toml:"room_pattern" default:"^chat-[0-9]+$"`

	// The user part of the address that accepts commands for any room, which is named in the
	// command or in To. It must not be the name of a room.
	Manager string `toml:"manager" default:"chat-manager" is:"user"`

	// If the owner leaves, the room is destroyed ("destroy"), or leaving is refused until
	// the room has another owner ("refuse").
	OwnerLeave string `toml:"owner_leave" default:"destroy" allow:"destroy|refuse" reload:"yes"`

	// How long messages can be read with #history. 0s: only until all members have received
	// them.
	History time.Duration `toml:"history" default:"7d" reload:"yes"`

	// The maximum age of missed messages that a member receives after being offline.
	CatchUp time.Duration `toml:"catch_up" default:"7d" reload:"yes"`

	// The number of missed messages of a room that a member receives after being offline: the last
	// ones. It is told how many were skipped, and can ask for them. After a crash of silod, a
	// member with a connection (TCP, TLS, WebSocket) counts as offline until it registers. 0: all.
	CatchUpMax int `toml:"catch_up_max" default:"0" allow:"0..1000000" reload:"yes"`

	// Whether members can read the messages of the time before they joined: "never"; "room": where
	// the owner or an admin has opened the history with #openhistory, the messages since then;
	// "new": the same, and new rooms begin with an open history. New members are told of it.
	OpenHistory string `toml:"open_history" default:"room" allow:"never|room|new" reload:"yes"`

	// A member that could not be reached for this time is paused: still a member, but without
	// deliveries until it is active again. 0s: never.
	PauseAfter time.Duration `toml:"pause_after" default:"30d" reload:"yes"`

	// Send copies of a member's messages to the other devices of that member.
	Echo bool `toml:"echo" default:"false" reload:"yes"`

	// The maximum number of members of a room. 0: no limit.
	MaxMembers int `toml:"max_members" default:"10000" allow:"0..1000000" reload:"yes"`

	// The maximum number of rooms. One user can create a hundredth of them, or 8 if that is more.
	// 0: no limit.
	MaxRooms int `toml:"max_rooms" default:"100000" allow:"0..10000000" reload:"yes"`

	// The maximum number of rooms that a user has created or joined. Rooms to which another has
	// added the user do not count; a user can add ten times as many members. 0: no limit.
	MaxRoomsPerUser int `toml:"max_rooms_per_user" default:"100" allow:"0..10000000" reload:"yes"`

	// Messages and commands that a user may send to one room in a minute, all at once or spread
	// over it; further ones are refused with Retry-After. Users that type do not meet the
	// default, which bounds what one program can send to all members. 0: no limit, for instance
	// for a load test with a few senders.
	MessageRate int `toml:"message_rate" default:"600" allow:"0..1000000" reload:"yes"`

	// Replacements for the texts of rooms, such as a translation or Kamailio's texts.
	//
	//	[imc.texts]
	//	joined = "{user} ist jetzt in {room}."
	Texts map[string]string `toml:"texts" reload:"yes"`
}

// MI configures the management interface: the FIFO and sockets for siloctl and Kamailio's
// tools. The keys are those of Kamailio's mi_fifo and mi_datagram modules. Relative paths
// start at the runtime directory; an empty path disables the FIFO or socket.
type MI struct {
	// The FIFO for requests.
	FIFOName string `toml:"fifo_name" default:"silod.fifo" is:"path"`

	// Its permissions, user and group, the latter as names or numbers. If not set: user and
	// group of silod.
	FIFOMode  fs.FileMode `toml:"fifo_mode" default:"0660"`
	FIFOUser  string      `toml:"fifo_user" is:"account"`
	FIFOGroup string      `toml:"fifo_group" is:"account"`

	// The directory of the FIFOs for replies, which clients create. Kamailio's tools create
	// them in /tmp.
	ReplyDir string `toml:"reply_dir" default:"/tmp/" is:"dir" reload:"yes"`

	// The indentation of one level in replies.
	ReplyIndent string `toml:"reply_indent" default:"\t" is:"indent" reload:"yes"`

	// The datagram socket. Management over UDP is not supported.
	SocketName string `toml:"socket_name" default:"silod.sock" is:"socket"`

	// The permissions, user and group of both sockets.
	UnixSocketMode  fs.FileMode `toml:"unix_socket_mode" default:"0660"`
	UnixSocketUser  string      `toml:"unix_socket_user" is:"account"`
	UnixSocketGroup string      `toml:"unix_socket_group" is:"account"`

	// How long to try to send a reply to a client that does not read it, in milliseconds.
	SocketTimeout int `toml:"socket_timeout" default:"2000" allow:"1..60000" reload:"yes"`

	// The stream socket, which siloctl prefers.
	ControlSocket string `toml:"control_socket" default:"control.sock" is:"path"`

	// Another stream socket with its own permissions and group. It refuses commands that
	// change something, and those that show the texts of messages.
	ReadOnlySocket      string      `toml:"read_only_socket" is:"path"`
	ReadOnlySocketMode  fs.FileMode `toml:"read_only_socket_mode" default:"0660"`
	ReadOnlySocketGroup string      `toml:"read_only_socket_group" is:"account"`
}
