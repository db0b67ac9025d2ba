package config

import "time"

// Silo configures messages for offline users, and reminders. The keys are those of
// Kamailio's msilo module with the same meanings and, except for max_messages, the same
// defaults; max_bytes, store_on, delivery and the keys after them are silod's own.
type Silo struct {
	// The database for stored messages, in the form of [db] url. If not set: that of [db].
	DBURL DBURL `toml:"db_url"`

	// The name of the table.
	DBTable string `toml:"db_table" default:"silo" is:"column"`

	Columns

	// The sender of the notice that tells a sender that the recipient is offline and the
	// message is stored. Notices are sent if this key and offline_message are set, but not to
	// rooms, not for messages that are not text, and not for other notices. Messages to this
	// address are answered 200 and discarded, unless its user part has pseudo-variables. The
	// keys of notices may contain pseudo-variables of the stored message: $ru $rU $rd $tu
	// $tU $td $fu $fU $fd $fn $ci $ct $si $sp $rm $Ts $hdr(Name); $$ is a dollar sign.
	FromAddress Template `toml:"from_address" is:"sipText" reload:"yes"`

	// The Contact of the notice, with the name of the field: "Contact: <sip:s@example.org>\r\n".
	ContactHdr HeaderTemplate `toml:"contact_hdr" reload:"yes"`

	// Header fields that are added to stored messages at their delivery, each in the form
	// "Name: value\r\n": "X-Stored: yes\r\nX-For: $tu\r\n". Fields that the message already
	// has are not changed. $ru is the owner of the mailbox and $Ts the time of storing; $ct,
	// $si and $sp are empty, because they are not stored.
	ExtraHdrs HeaderTemplate `toml:"extra_hdrs" reload:"yes"`

	// The text of the notice: "*** User $rU is offline!".
	OfflineMessage Template `toml:"offline_message" reload:"yes"`

	// The Content-Type of the notice, with the name of the field: "Content-Type: text/plain\r\n".
	ContentTypeHdr HeaderTemplate `toml:"content_type_hdr" reload:"yes"`

	// The sender of reminders. Messages to it are answered 200 and discarded. If not set:
	// reminders are off.
	Reminder string `toml:"reminder" is:"sip" reload:"yes"`

	// The next hop for deliveries, instead of the registered devices: for silod behind a
	// proxy, which routes by the address of the recipient. A stored message is sent to it when
	// the recipient registers here, at "siloctl messages deliver", and by retries; a message of
	// silod itself, such as a reminder, at once. An address of silod itself counts as not set.
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// How long a message is stored, in seconds. A shorter Expires of the message takes
	// precedence.
	ExpireTime int `toml:"expire_time" default:"259200" allow:"1..2147483647" reload:"yes"`

	// Expired messages are deleted every check_time times clean_period seconds; they are not
	// delivered before that either. A delivered message is deleted immediately; Kamailio does
	// that after check_time.
	CheckTime   int `toml:"check_time" default:"30" allow:"1..86400" reload:"yes"`
	CleanPeriod int `toml:"clean_period" default:"5" allow:"1..86400" reload:"yes"`

	// The interval for checking which reminders are due, in seconds. 0: reminders are off.
	SendTime int `toml:"send_time" default:"0" allow:"0..86400" reload:"yes"`

	// Send the notice to the Contact of the sender's message if it has one (1), or to the
	// sender's address (0). If the sender is registered here, only a registered Contact is
	// used.
	UseContact bool `toml:"use_contact" default:"1" reload:"yes"`

	// The time at which to send a message as a reminder: "$hdr(X-Send-At)". The value is
	// YYYYMMDDHHMMSS in time_zone, or in RFC 3339 format. An invalid value is answered 400; a
	// time in the past means immediately. If not set, or if reminders are off: every message
	// is sent immediately.
	SndTimeAVP Template `toml:"snd_time_avp" reload:"yes"`

	// Insert the date of storing before the text of a stored text/plain message: "[Offline
	// message - Sat Nov 21 22:14:11 2026] ". Messages with a Content-Encoding, or in a charset
	// other than UTF-8, US-ASCII, ISO 8859 and Windows-125x, are not changed. 0: no message is
	// changed.
	AddDate bool `toml:"add_date" default:"1" reload:"yes"`

	// The maximum number of stored messages for a user, and their size in bytes; further ones
	// are refused with 480. 0: no limit. The size is that of bodies and header fields, and 200
	// bytes for each message.
	MaxMessages int `toml:"max_messages" default:"50000" allow:"0..2147483647" reload:"yes"`
	MaxBytes    int `toml:"max_bytes" default:"500000000" allow:"0..9223372036854775807" reload:"yes"`

	// Add a Contact with the sender's address to delivered messages. RFC 3428 forbids it.
	AddContact bool `toml:"add_contact" default:"0" reload:"yes"`

	// Header fields to store and deliver with a message, each in the form "Name: value\r\n":
	// "X-From-IP: $si\r\n". The fields of the message itself are always stored.
	ExtraHdrsAVP Template `toml:"extra_hdrs_avp" reload:"yes"`

	// The message flag that suppresses a notice.
	SkipNotificationFlag int `toml:"skip_notification_flag" default:"-1" allow:"-1..31" unused:"silod has no routing script, which could set flags"`

	// Whether to deliver with the original Call-ID.
	UseMode bool `toml:"use_mode" default:"0" unused:"a stored message always keeps its Call-ID"`

	// The maximum number of stored messages of one sender for a user, and their size; further
	// ones are refused with 480, and other senders are not affected. 0: no limit.
	MaxPerSender      int `toml:"max_per_sender" default:"10000" allow:"0..2147483647" reload:"yes"`
	MaxPerSenderBytes int `toml:"max_per_sender_bytes" default:"100000000" allow:"0..9223372036854775807" reload:"yes"`

	// The maximum number of stored messages of one authenticated sender for all users together,
	// and their size; further ones are refused with 480. 0: no limit. These keys, those of
	// strangers and unknown_users have an effect only if auth.mode is "digest".
	SenderMessages int `toml:"sender_messages" default:"100000" allow:"0..2147483647" reload:"yes"`
	SenderBytes    int `toml:"sender_bytes" default:"200000000" allow:"0..9223372036854775807" reload:"yes"`

	// The maximum number of stored messages of senders that are not authenticated, see
	// auth.strangers, and their size: from one address (an IPv4 address, or an IPv6 network of
	// 64 bits), and from all together. Further ones are refused with 480 until some are delivered
	// or expire. 0: no limit; strangers_messages cannot be 0.
	SourceMessages    int `toml:"strangers_per_source" default:"1000" allow:"0..2147483647" reload:"yes"`
	SourceBytes       int `toml:"strangers_per_source_bytes" default:"10000000" allow:"0..9223372036854775807" reload:"yes"`
	StrangersMessages int `toml:"strangers_messages" default:"10000" allow:"1..1000000" reload:"yes"`
	StrangersBytes    int `toml:"strangers_bytes" default:"100000000" allow:"0..9223372036854775807" reload:"yes"`

	// The senders of messages that are stored: "all", as far as auth.strangers accepts them;
	// "authenticated": by a password or by a trusted peer, and all if auth.mode is "none";
	// "local": users of our domains; "sip:alice@example.org": one user; "@example.org": the users
	// of a domain; "nobody". All but "all" are only for senders that are authenticated. A
	// message of another sender is relayed to an online user, or answered 480.
	Senders []string `toml:"senders" default:"all" is:"sender" reload:"yes"`

	// A message that would be stored for a name that is not a user: "reject": it is answered
	// 404. "hide": it is answered as if it were stored, in the same time, and forgotten, so that
	// strangers cannot find out names. "store": it is stored, for a server behind a proxy that
	// knows the users. A user is a name in the tables subscriber or dbaliases, or one that is
	// registered or has stored messages.
	UnknownUsers string `toml:"unknown_users" default:"reject" allow:"reject|store|hide" reload:"yes"`

	// The final responses of devices after which a message is stored: statuses and classes;
	// "!" excludes a status. A message is also stored if no device answers. A 6xx is the
	// decision of the user and is returned to the sender.
	StoreOn Statuses `toml:"store_on" default:"4xx 5xx !401 !403 !407 !413 !420" reload:"yes"`

	// A stored message is delivered to the devices that are registered when the first one
	// registers ("any"), or to every device of the user, also to those that register before
	// the message expires ("every"). With "every" each message is stored until it expires and
	// answered 202. A device is identified by its +sip.instance, or else by its contact. With
	// an outbound_proxy silod does not know the devices, and "every" delivers as "any".
	//
	// A device that has refused a message permanently (400, 405, 415, 488, 501, 6xx and
	// others) is not asked again. Other devices of the user, also those that register later,
	// get the message. While all registered devices have refused it, it is listed as set
	// aside.
	Delivery string `toml:"delivery" default:"any" allow:"any|every"`

	// The mailbox for a message, as a SIP URI: "sip:$rU@example.org". It corresponds to
	// msilo's m_store(owner). If not set, or if empty for a message: the recipient's mailbox.
	StoreOwner Template `toml:"store_owner" reload:"yes"`

	// A mailbox that is delivered to the devices of a registering user, besides the user's
	// own: "sip:$tU@example.org", with the variables of the REGISTER. It corresponds to
	// msilo's m_dump(owner). It decides who can read a mailbox: do not use variables that a
	// sender controls.
	DumpOwner Template `toml:"dump_owner" reload:"yes"`

	// Media types that are never stored: they are relayed to online users, or else
	// answered 2xx and discarded.
	Ephemeral MediaTypes `toml:"ephemeral" default:"application/im-iscomposing+xml" is:"media" reload:"yes"`

	// Media types that are answered 2xx and discarded.
	Discard MediaTypes `toml:"discard" is:"media" reload:"yes"`

	// A sender gets at most one notice about a recipient in this time. It is at least one
	// minute if the user part of from_address has pseudo-variables.
	NoticeInterval time.Duration `toml:"notice_interval" default:"1h" reload:"yes"`

	// The wait before a delivery that has failed is tried again; it is doubled with every
	// failure up to max_retry. With an outbound_proxy it is also the wait before a stored message
	// is first tried, if the recipient does not register here before.
	Retry    time.Duration `toml:"retry" default:"5s" allow:"1s..1h" reload:"yes"`
	MaxRetry time.Duration `toml:"max_retry" default:"5m" allow:"1s..1d" reload:"yes"`

	// The format of the date of add_date, with the conversions of strftime.
	DateFormat DateFormat `toml:"date_format" default:"%a %b %e %H:%M:%S %Y" reload:"yes"`

	// The time zone of that date, and of times of reminders without a zone.
	TimeZone Zone `toml:"time_zone" default:"local" reload:"yes"`
}

// Columns has the names of the columns of the table of stored messages.
type Columns struct {
	// The column of the message ID. If not set: "mid" or "id", whichever the table has; a table
	// that silod creates has "id", as Kamailio's.
	SCMid string `toml:"sc_mid" is:"column"`

	// The other columns: sender and recipient, user and domain of the mailbox, body and
	// Content-Type, the times of expiry, storing and reminding, header fields, Call-ID and
	// status.
	SCFrom       string `toml:"sc_from" default:"src_addr" is:"column"`
	SCTo         string `toml:"sc_to" default:"dst_addr" is:"column"`
	SCURIUser    string `toml:"sc_uri_user" default:"username" is:"column"`
	SCURIHost    string `toml:"sc_uri_host" default:"domain" is:"column"`
	SCBody       string `toml:"sc_body" default:"body" is:"column"`
	SCCType      string `toml:"sc_ctype" default:"ctype" is:"column"`
	SCExpTime    string `toml:"sc_exp_time" default:"exp_time" is:"column"`
	SCIncTime    string `toml:"sc_inc_time" default:"inc_time" is:"column"`
	SCSndTime    string `toml:"sc_snd_time" default:"snd_time" is:"column"`
	SCStoredHdrs string `toml:"sc_stored_hdrs" default:"extra_hdrs" is:"column"`
	SCCallID     string `toml:"sc_callid" default:"callid" is:"column"`
	SCStatus     string `toml:"sc_status" default:"status" is:"column" unused:"silod does not use this column"`
}
