package imc

// A wording is the default of a text.
type wording struct {
	template string // {name} is a placeholder
	names    string // the placeholders besides the common ones, separated by blanks

	// Only for refusals: the code for a management client, and the SIP reason phrase.
	status int
	reason string
}

// common lists the placeholders of every text: the room's name and URI, and the start
// character of commands.
const common = "room room_uri start"

// wordings are the default texts by their keys in [imc.texts].
//
// {user} is the user that the text is about and {by} the one that acted, both as
// displayName returns them; {value} is a part of the sender's input, clipped; {limit}
// is a number from the configuration.
var wordings = map[textKey]wording{
	// The speaker prefix, and the name of an operator.
	"speech":   {template: "[{user}]: ", names: "user uri name"},
	"operator": {template: "the operator"},

	// Notices to all members.
	"joined":       {template: "{user} has joined {room}.", names: "user"},
	"left":         {template: "{user} has left {room}.", names: "user"},
	"removed":      {template: "{user} has been removed from {room} by {by}.", names: "user by"},
	"banned":       {template: "{user} has been banned from {room} by {by}.", names: "user by"},
	"role_changed": {template: "{user} is now {role} of {room}.", names: "user role by"},
	"muted":        {template: "{user} has been muted by {by}.", names: "user by"},
	"unmuted":      {template: "{user} has been unmuted by {by}.", names: "user by"},
	"made_private": {template: "{room} is now private: new members need an invitation.", names: "by"},
	"made_public":  {template: "{room} is now public: any user may join.", names: "by"},
	"topic_set":    {template: "{by} has set the topic: {topic}", names: "topic by"},
	"topic_gone":   {template: "{by} has removed the topic.", names: "by"},
	"destroyed":    {template: "{room} has been destroyed by {by}.", names: "by"},
	"owner_left":   {template: "{user}, the owner, has left. {room} has been destroyed.", names: "user"},
	"account_gone": {template: "{user} has left {room}: the account has been removed.", names: "user"},
	"succeeded":    {template: "{user}, the owner of {room}, has left: the account has been removed. {owner} is now the owner.", names: "user owner"},
	"orphaned":     {template: "{user}, the owner, has left: the account has been removed. {room} has been destroyed.", names: "user"},

	// Direct messages.
	"created":         {template: "You have created {room} and own it. Send messages to {room_uri}; {start}help lists the commands."},
	"created_private": {template: "You have created {room}, a private room, and own it. {start}invite USER invites a user; {start}help lists the commands."},
	"already_in":      {template: "You are already in {room}."},
	"already_there":   {template: "{user} is already in {room}.", names: "user"},
	"attempted":       {template: "{user} tried to join {room}, which is private. Send {start}invite {user} to invite them.", names: "user"},
	"invitation":      {template: "{by} invites you to the room {room}. Answer {start}accept to join or {start}deny to decline.", names: "by"},
	"invited":         {template: "{user} has been invited to {room}.", names: "user"},
	"invite_failed":   {template: "The invitation to {room} could not be delivered to {user}.", names: "user"},
	"declined":        {template: "{user} has declined the invitation to {room}.", names: "user"},
	"you_declined":    {template: "You have declined the invitation to {room}."},
	"you_left":        {template: "You have left {room}."},
	"you_are_out":     {template: "You have been removed from {room} by {by}.", names: "by"},
	"you_are_banned":  {template: "You have been banned from {room} by {by}.", names: "by"},
	"withdrawn":       {template: "The invitation of {user} to {room} has been withdrawn.", names: "user"},
	"ban_set":         {template: "{user} is now banned from {room}.", names: "user"},
	"ban_lifted":      {template: "{user} is no longer banned from {room}.", names: "user"},
	"nothing_changed": {template: "Nothing has changed in {room}."},
	"members":         {template: "Members of {room}: {count}", names: "count"},
	"member":          {template: "{mark}{user}", names: "mark user"},
	"member_paused":   {template: "{mark}{user} (paused: not reachable)", names: "mark user"},
	"member_muted":    {template: "{mark}{user} (muted)", names: "mark user"},
	"rooms":           {template: "Rooms: {count}", names: "count"},
	"a_room":          {template: "{room} ({count}) {topic}", names: "count topic"},
	"more":            {template: "... and {count} more", names: "count"},
	"more_rooms":      {template: "... and {count} more: {start}rooms {next}", names: "count next"},
	"topic":           {template: "Topic of {room}: {topic}", names: "topic"},
	"no_topic":        {template: "{room} has no topic."},
	"history":         {template: "Messages in {room}: {count}", names: "count"},
	"said":            {template: "{time} [{user}] {text}", names: "time user text"},
	"noted":           {template: "{time} {text}", names: "time text"},
	"sent":            {template: "{time} [{user}] ({type}, {size} bytes)", names: "time user type size"},
	"no_history":      {template: "There are no stored messages in {room}."},
	"help":            {template: "Commands (without [ROOM] a command applies to the room that you send it to):"},
	"help_line":       {template: "{usage} - {help}", names: "usage help"},

	// Refusals.
	"no_body":        {status: 400, reason: "Message has no body", template: "Your message was empty and was not delivered."},
	"bad_command":    {status: 400, reason: "Bad command", template: "The command name after {start} is missing. {start}help lists the commands."},
	"unknown":        {status: 400, reason: "Unknown command", template: "{start}{command} is not a command. {start}help lists the commands.", names: "command"},
	"usage":          {status: 400, reason: "Wrong parameters", template: "Usage: {usage}", names: "usage"},
	"bad_user":       {status: 400, reason: "Bad user address", template: "{value} is not a user address. Write sip:user@domain, user@domain, or user.", names: "value"},
	"bad_room":       {status: 400, reason: "Bad room name", template: "{value} is not a valid room name. Room names match {pattern}", names: "value pattern"},
	"foreign_room":   {status: 400, reason: "Room is of another domain", template: "{value} is not in a domain of this server.", names: "value"},
	"bad_role":       {status: 400, reason: "Unknown role", template: "{value} is not a role. The roles are owner, admin and member.", names: "value"},
	"bad_time":       {status: 400, reason: "Bad time", template: "{value} is not a time. Write 30m, 2h, 3d, 15:04, 2006-01-02 or 2006-01-02T15:04.", names: "value"},
	"too_long":       {status: 400, reason: "Name too long", template: "{value} is too long: the limit is {limit} characters.", names: "value limit"},
	"name_the_room":  {status: 400, reason: "No room named", template: "The room is missing. Usage: {usage}", names: "usage"},
	"manager":        {status: 400, reason: "Not a room", template: "This address accepts only commands. {start}help lists them."},
	"no_room":        {status: 404, reason: "no such room", template: "Room {room} does not exist. {start}create {room} creates it."},
	"no_creator":     {status: 403, reason: "Not allowed to create rooms", template: "{room} does not exist, and you may not create rooms."},
	"room_exists":    {status: 409, reason: "Room exists", template: "{room} already exists. Send {start}join {room} to join it."},
	"not_member":     {status: 403, reason: "Not a member", template: "You are not a member of {room}. Send {start}join to join it."},
	"no_such_member": {status: 404, reason: "No such member", template: "{user} is not a member of {room}. {start}list lists the members.", names: "user"},
	"not_invited":    {status: 403, reason: "Not invited", template: "You have no invitation to {room}."},
	"private":        {status: 403, reason: "Room is private", template: "{room} is private: you need an invitation. Its owner has been notified."},
	"admins_only":    {status: 403, reason: "Only the owner and admins may do that", template: "Only the owner and the admins of {room} may do that."},
	"owner_only":     {status: 403, reason: "Only the owner may do that", template: "Only the owner of {room} may do that."},
	"bad_topic":      {status: 400, reason: "Topic too long", template: "A topic may have at most {limit} characters.", names: "limit"},
	"owner_stays":    {status: 403, reason: "Not possible with the owner", template: "{user} owns {room}. First make another member the owner with {start}modify USER owner.", names: "user"},
	"peer":           {status: 403, reason: "Only the owner may do that to an admin", template: "{user} is an admin: only the owner of {room} may do that.", names: "user"},
	"you_banned":     {status: 403, reason: "Banned from the room", template: "You are banned from {room}."},
	"they_banned":    {status: 403, reason: "User is banned", template: "{user} is banned from {room}. Send {start}unban {user} first.", names: "user"},
	"not_banned":     {status: 404, reason: "User is not banned", template: "{user} is not banned from {room}.", names: "user"},
	"you_muted":      {status: 403, reason: "Muted", template: "You have been muted in {room}: your message was not delivered."},
	"owner_keeps":    {status: 403, reason: "The owner cannot leave", template: "You own {room}. Make another member the owner with {start}modify USER owner, or send {start}destroy."},
	"not_a_user":     {status: 400, reason: "A room cannot be a member", template: "{user} is a room: a room cannot be a member.", names: "user"},
	"room_full":      {status: 403, reason: "Room is full", template: "{room} is full: the limit is {limit} members.", names: "limit"},
	"too_many_bans":  {status: 403, reason: "Too many are banned", template: "{limit} users are banned from {room}, which is the limit. Send {start}unban USER first.", names: "limit"},
	"too_many_rooms": {status: 403, reason: "User is in too many rooms", template: "{user} is in {limit} rooms, which is the limit.", names: "user limit"},
	"no_more_rooms":  {status: 503, reason: "Too many rooms", template: "There are {limit} rooms, which is the limit.", names: "limit"},
	"history_busy":   {status: 429, reason: "Last request not answered yet", template: "Your last request for the messages of a room is still being answered. Try again later."},
	"too_fast":       {status: 429, reason: "Too many messages", template: "You send too fast: {room} accepts {limit} messages a minute from a user. Your message was not delivered.", names: "limit"},
	"not_storable":   {status: 400, reason: "Message cannot be stored", template: "Your message contains data that cannot be stored and was not delivered."},
}
