package config

import "time"

// Silo is messages for users who are offline, and reminders. The keys are those of
// Kamailio's msilo module, with its meanings and defaults; store_on, delivery and what
// follows them are silod's own.
type Silo struct {
	// Another database for the stored messages than the one in [db], written as there.
	DBURL DBURL `toml:"db_url"`

	// The table.
	DBTable string `toml:"db_table" default:"silo" is:"column"`

	Columns

	// The notice that tells a sender that the recipient is offline and the message
	// kept: who it is from. It is sent where this key and offline_message are set, not
	// to rooms, not for what is no text, and not for another notice. What is sent to this
	// address is answered 200 and goes nowhere, unless its user part is taken from the
	// message. These keys may hold pseudo-variables of the message that was stored: $ru
	// $rU $rd $tu $tU $td $fu $fU $fd $fn $ci $ct $si $sp $rm $Ts $hdr(Name); $$ is a
	// dollar sign.
	FromAddress Template `toml:"from_address" is:"sipText" reload:"yes"`

	// The notice's Contact, with the header's name: "Contact: <sip:s@example.org>\r\n".
	ContactHdr HeaderTemplate `toml:"contact_hdr" reload:"yes"`

	// Header fields added to stored messages when they are delivered, each with its
	// name and \r\n behind it: "X-Stored: yes\r\nX-For: $tu\r\n". One that the message
	// has already stays as it is. $ru is the owner of the mailbox; $ct, $si and $sp are
	// empty here, because they are not kept with a message, and $Ts is when it came.
	ExtraHdrs HeaderTemplate `toml:"extra_hdrs" reload:"yes"`

	// The notice's text: "*** User $rU is offline!".
	OfflineMessage Template `toml:"offline_message" reload:"yes"`

	// The notice's Content-Type, with the header's name: "Content-Type: text/plain\r\n".
	ContentTypeHdr HeaderTemplate `toml:"content_type_hdr" reload:"yes"`

	// Who reminders are from. What is sent there is answered 200 and goes nowhere.
	// Unset: there are none.
	Reminder string `toml:"reminder" is:"sip" reload:"yes"`

	// The next hop for what is delivered, instead of the device that registered: for
	// silod behind a proxy, which then routes by the recipient's address.
	OutboundProxy string `toml:"outbound_proxy" is:"sip" reload:"yes"`

	// How long a message is kept for a user who does not come, in seconds. A shorter
	// Expires of the message itself counts instead.
	ExpireTime int `toml:"expire_time" default:"259200" allow:"1..2147483647" reload:"yes"`

	// Expired messages are swept out every check_time times clean_period seconds. They
	// are not delivered in the meantime, and a message that was delivered is deleted at
	// once: Kamailio waits check_time for that.
	CheckTime   int `toml:"check_time" default:"30" allow:"1..86400" reload:"yes"`
	CleanPeriod int `toml:"clean_period" default:"5" allow:"1..86400" reload:"yes"`

	// How often to look for reminders that are due, in seconds. 0: there are none.
	SendTime int `toml:"send_time" default:"0" allow:"0..86400" reload:"yes"`

	// Send the notice to the Contact of the sender's message, where it has one (1), or
	// to the sender's address (0). Of a sender who is registered here only a registered
	// Contact counts.
	UseContact bool `toml:"use_contact" default:"1" reload:"yes"`

	// What says when a message is to be sent as a reminder: "$hdr(X-Send-At)". Its value
	// is YYYYMMDDHHMMSS in time_zone, or RFC 3339; one that cannot be read is answered
	// 400, and a time in the past means now. Unset, or without reminders: every message
	// goes at once.
	SndTimeAVP Template `toml:"snd_time_avp" reload:"yes"`

	// Put the date on which a message was stored in front of it, if it is text/plain:
	// "[Offline message - Sat Nov 21 22:14:11 2026] ". Only where ASCII may stand there:
	// without a Content-Encoding, in UTF-8, US-ASCII, ISO 8859 or Windows-125x. 0 leaves
	// every byte as it was.
	AddDate bool `toml:"add_date" default:"1" reload:"yes"`

	// Messages kept for one user; one more is refused with 480. 0: no limit.
	MaxMessages int `toml:"max_messages" default:"0" allow:"0..2147483647" reload:"yes"`

	// Add a Contact with the sender's address to what is delivered. RFC 3428 forbids it.
	AddContact bool `toml:"add_contact" default:"0" reload:"yes"`

	// What holds header fields, each with its name and \r\n behind it, to keep with a
	// message and deliver with it: "X-From-IP: $si\r\n". Those of the message itself are
	// kept anyway.
	ExtraHdrsAVP Template `toml:"extra_hdrs_avp" reload:"yes"`

	// The message flag that suppresses a notice.
	SkipNotificationFlag int `toml:"skip_notification_flag" default:"-1" allow:"-1..31" unused:"flags are set by a routing script, which silod has not"`

	// Whether to deliver under the original Call-ID.
	UseMode bool `toml:"use_mode" default:"0" unused:"a stored message always keeps its Call-ID"`

	// Messages of one sender kept for one user; one more is refused with 480, and others
	// can still write. 0: no limit.
	MaxPerSender int `toml:"max_per_sender" default:"0" allow:"0..2147483647" reload:"yes"`

	// The answers of an online user's devices after which a message is stored: statuses,
	// classes, and with ! what is excepted. That no device answers always is a reason.
	// A 6xx is the user's own refusal and goes back to the sender.
	StoreOn Statuses `toml:"store_on" default:"4xx 5xx !401 !403 !407 !413 !420" reload:"yes"`

	// A stored message is delivered to the devices that are there when the first comes
	// online ("any"), or to every device of the user, also one that comes later, as long
	// as the message lives ("every"). Then every message is stored for that long and
	// answered 202. A device is known by its +sip.instance, else by its contact.
	Delivery string `toml:"delivery" default:"any" allow:"any|every"`

	// Whose mailbox a message is put into, as a SIP URI: "sip:$rU@example.org". It is what
	// msilo's m_store(owner) was given. Unset, or empty for a message: the recipient's.
	StoreOwner Template `toml:"store_owner" reload:"yes"`

	// Whose mailbox is delivered to the devices of a user who registers, besides the
	// user's own: "sip:$tU@example.org", with the variables of the REGISTER. It is what
	// msilo's m_dump(owner) was given. What it is made of decides who reads whose
	// messages: do not take it from what anybody can write.
	DumpOwner Template `toml:"dump_owner" reload:"yes"`

	// Media types that are worth nothing later: relayed to who is online, else answered
	// 2xx and forgotten.
	Ephemeral MediaTypes `toml:"ephemeral" default:"application/im-iscomposing+xml" is:"media" reload:"yes"`

	// Media types that are answered 2xx and go nowhere.
	Discard MediaTypes `toml:"discard" is:"media" reload:"yes"`

	// A sender gets no second notice of the same recipient within this time. It is one
	// minute at least where the user part of from_address is taken from the message.
	NoticeInterval time.Duration `toml:"notice_interval" default:"1h" reload:"yes"`

	// The date that add_date puts in front, with the conversions of strftime.
	DateFormat DateFormat `toml:"date_format" default:"%a %b %e %H:%M:%S %Y" reload:"yes"`

	// The time zone of that date, and of a reminder's time that names none.
	TimeZone Zone `toml:"time_zone" default:"local" reload:"yes"`
}

// Columns are the names of the columns in the table of stored messages.
type Columns struct {
	// The column of the message's number. Unset: "mid" or "id", whichever the table has;
	// a table that silod makes has "id", as Kamailio's own.
	SCMid string `toml:"sc_mid" is:"column"`

	// The other columns: sender and recipient, user and domain of the mailbox, the text
	// and its type, the times of expiry, of storing and of a reminder, the header fields,
	// Call-ID and status.
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
	SCStatus     string `toml:"sc_status" default:"status" is:"column" unused:"nothing is kept in that column"`
}
