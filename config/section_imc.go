package config

import (
	"io/fs"
	"time"
)

// IMC is chat rooms. The keys are those of Kamailio's imc module, with its meanings and
// defaults; room_pattern and what follows it are silod's own.
type IMC struct {
	// Another database for the rooms than the one in [db], written as there.
	DBURL DBURL `toml:"db_url"`

	// The tables of rooms and of their members.
	RoomsTable   string `toml:"rooms_table" default:"imc_rooms" is:"column"`
	MembersTable string `toml:"members_table" default:"imc_members" is:"column"`

	// The size of Kamailio's hash table, as a power of 2.
	HashSize int `toml:"hash_size" default:"4" allow:"1..30" unused:"the table of rooms grows by itself"`

	// The character with which a command begins: "#join".
	CmdStartChar string `toml:"imc_cmd_start_char" default:"#" is:"char" reload:"yes"`

	// The next hop for what rooms send, instead of the members' devices: for silod
	// behind a proxy, which then routes by the member's address.
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// Header fields added to what rooms send, each with its name and \r\n behind it:
	// "Supported: kamailio/imc\r\n".
	ExtraHdrs Headers `toml:"extra_hdrs" reload:"yes"`

	// Joining a room that does not exist makes it (1), or is refused (0).
	CreateOnJoin bool `toml:"create_on_join" default:"1" reload:"yes"`

	// Creating a room that exists is refused (1), or joins it (0).
	CheckOnCreate bool `toml:"check_on_create" default:"0" reload:"yes"`

	// The names that rooms have: a message to a user part of this form is for a room.
	RoomPattern Pattern `toml:"room_pattern" default:"^chat-[0-9]+$"`

	// The user part to which commands can be sent that are for no room in particular.
	// It cannot be a room itself.
	Manager string `toml:"manager" default:"chat-manager" is:"user"`

	// An owner who leaves ends the room ("destroy"), or must hand it over first ("refuse").
	OwnerLeave string `toml:"owner_leave" default:"destroy" allow:"destroy|refuse" reload:"yes"`

	// How long what was said can be read again with #history. 0s: only until every
	// member has got it.
	History time.Duration `toml:"history" default:"7d" reload:"yes"`

	// How far back a member who was offline gets what was missed.
	CatchUp time.Duration `toml:"catch_up" default:"7d" reload:"yes"`

	// A member who could not be reached for this long is paused: still a member, but
	// gets nothing until seen again. 0s: never.
	PauseAfter time.Duration `toml:"pause_after" default:"30d" reload:"yes"`

	// Send a copy of what a member says to the member's other devices.
	Echo bool `toml:"echo" default:"false" reload:"yes"`

	// Members of one room. 0: no limit.
	MaxMembers int `toml:"max_members" default:"10000" allow:"0..1000000" reload:"yes"`

	// Rooms in all. 0: no limit.
	MaxRooms int `toml:"max_rooms" default:"100000" allow:"0..10000000" reload:"yes"`

	// Rooms that one user may be in. 0: no limit.
	MaxRoomsPerUser int `toml:"max_rooms_per_user" default:"100" allow:"0..10000000" reload:"yes"`

	// Messages and commands that a user may send to one room in a minute; one more is
	// refused. 0: no limit.
	MessageRate int `toml:"message_rate" default:"0" allow:"0..1000000" reload:"yes"`

	// The words that rooms use, where they are to be others than silod's own: a
	// translation, or Kamailio's.
	//
	//	[imc.texts]
	//	joined = "{user} ist jetzt in {room}."
	Texts map[string]string `toml:"texts" reload:"yes"`
}

// MI is the management interface: the FIFO and sockets that siloctl and Kamailio's tools
// speak to. The keys are those of Kamailio's mi_fifo and mi_datagram modules. A path that
// is relative is taken from the runtime directory; an empty one turns that way in off.
type MI struct {
	// The FIFO for requests.
	FIFOName string `toml:"fifo_name" default:"silod.fifo" is:"path"`

	// Its permissions, and the user and group it is given to: names or numbers. Unset:
	// those that silod runs as.
	FIFOMode  fs.FileMode `toml:"fifo_mode" default:"0660"`
	FIFOUser  string      `toml:"fifo_user" is:"account"`
	FIFOGroup string      `toml:"fifo_group" is:"account"`

	// Where the FIFOs for replies are, which a client makes. Kamailio's tools make them
	// in /tmp.
	ReplyDir string `toml:"reply_dir" default:"/tmp/" is:"dir" reload:"yes"`

	// What indents a reply by one step.
	ReplyIndent string `toml:"reply_indent" default:"\t" is:"indent" reload:"yes"`

	// The datagram socket. There is no management over UDP.
	SocketName string `toml:"socket_name" default:"silod.sock" is:"socket"`

	// The permissions of both sockets, and the user and group they are given to.
	UnixSocketMode  fs.FileMode `toml:"unix_socket_mode" default:"0660"`
	UnixSocketUser  string      `toml:"unix_socket_user" is:"account"`
	UnixSocketGroup string      `toml:"unix_socket_group" is:"account"`

	// How long to try to send a reply to a client that does not read it, in milliseconds.
	SocketTimeout int `toml:"socket_timeout" default:"2000" allow:"1..60000" reload:"yes"`

	// The stream socket, which siloctl prefers.
	ControlSocket string `toml:"control_socket" default:"control.sock" is:"path"`

	// Another stream socket, for those who may look but not touch: it takes no command
	// that changes anything, and shows nothing that people have written. Its permissions
	// and its group are its own.
	ReadOnlySocket      string      `toml:"read_only_socket" is:"path"`
	ReadOnlySocketMode  fs.FileMode `toml:"read_only_socket_mode" default:"0660"`
	ReadOnlySocketGroup string      `toml:"read_only_socket_group" is:"account"`
}
