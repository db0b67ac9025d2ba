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
	"banned":       {template: "{user} has been banned from {room} by {by}{terms}.", names: "user by terms"},
	"role_changed": {template: "{user} is now {role} of {room}.", names: "user role by"},
	"muted":        {template: "{user} has been muted by {by}{terms}.", names: "user by terms"},
	"unmuted":      {template: "{user} has been unmuted by {by}.", names: "user by"},
	"made_private": {template: "{room} is now private: new members need an invitation.", names: "by"},
	"made_public":  {template: "{room} is now public: any user may join.", names: "by"},
	"moderated":    {template: "{room} is now moderated: only the owner, the admins and members with voice can speak.", names: "by"},
	"unmoderated":  {template: "{room} is no longer moderated: all members can speak.", names: "by"},
	"voiced":       {template: "{user} has been given voice by {by}.", names: "user by"},
	"devoiced":     {template: "{user} has no longer voice, by {by}.", names: "user by"},
	"topic_set":    {template: "{by} has set the topic: {topic}", names: "topic by"},
	"topic_gone":   {template: "{by} has removed the topic.", names: "by"},
	"destroyed":    {template: "{room} has been destroyed by {by}.", names: "by"},
	"owner_left":   {template: "{user}, the owner, has left. {room} has been destroyed.", names: "user"},

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
	"you_are_banned":  {template: "You have been banned from {room} by {by}{terms}.", names: "by terms"},
	"withdrawn":       {template: "The invitation of {user} to {room} has been withdrawn.", names: "user"},
	"ban_set":         {template: "{user} is now banned from {room}{terms}.", names: "user terms"},
	"ban_lifted":      {template: "{user} is no longer banned from {room}.", names: "user"},
	"bans":            {template: "Banned from {room}, or muted and not in it: {count}", names: "count"},
	"ban_listed":      {template: "{user}, banned by {by}{terms}", names: "user by terms"},
	"mute_listed":     {template: "{user}, muted{terms}", names: "user by terms"},
	"more_bans":       {template: "... and {count} more: {start}bans {room} {next}", names: "count next"},
	"no_bans":         {template: "No user is banned from {room}."},
	"until":           {template: " until {time}", names: "time"},
	"reason":          {template: " ({reason})", names: "reason"},
	"nothing_changed": {template: "Nothing has changed in {room}."},
	"members":         {template: "Members of {room}: {count}", names: "count"},
	"members_quiet":   {template: "Members of {room}, which is moderated: {count}", names: "count"},
	"member":          {template: "{mark}{user}", names: "mark user"},
	"member_paused":   {template: "{mark}{user} (paused: not reachable)", names: "mark user"},
	"member_muted":    {template: "{mark}{user} (muted{until})", names: "mark user until"},
	"member_voiced":   {template: "{mark}{user} (voice)", names: "mark user"},
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
	"you_banned":     {status: 403, reason: "Banned from the room", template: "You are banned from {room}{terms}.", names: "terms"},
	"they_banned":    {status: 403, reason: "User is banned", template: "{user} is banned from {room}. Send {start}unban {user} first.", names: "user"},
	"not_banned":     {status: 404, reason: "User is not banned", template: "{user} is not banned from {room}.", names: "user"},
	"you_muted":      {status: 403, reason: "Muted", template: "You have been muted in {room}{terms}: your message was not delivered.", names: "terms"},
	"muted_command":  {status: 403, reason: "Muted", template: "You have been muted in {room}{terms}: you can read and leave, but not speak or moderate.", names: "terms"},
	"no_voice":       {status: 403, reason: "Room is moderated", template: "{room} is moderated: only the owner, the admins and members with voice can speak. An admin gives voice by {start}voice USER."},
	"bad_reason":     {status: 400, reason: "Reason too long", template: "A reason may have at most {limit} characters.", names: "limit"},
	"bad_term":       {status: 400, reason: "Bad duration", template: "{value} is not a duration. Write 30m, 2h or 3d, as in: for 2h", names: "value"},
	"owner_keeps":    {status: 403, reason: "The owner cannot leave", template: "You own {room}. Make another member the owner with {start}modify USER owner, or send {start}destroy."},
	"not_a_user":     {status: 400, reason: "A room cannot be a member", template: "{user} is a room: a room cannot be a member.", names: "user"},
	"room_full":      {status: 403, reason: "Room is full", template: "{room} is full: the limit is {limit} members.", names: "limit"},
	"too_many_bans":  {status: 403, reason: "Too many are banned", template: "{limit} users are banned from {room} or muted, which is the limit. Send {start}unban USER or {start}unmute USER first.", names: "limit"},
	"too_many_rooms": {status: 403, reason: "User is in too many rooms", template: "{user} is in {limit} rooms, which is the limit.", names: "user limit"},
	"no_more_rooms":  {status: 503, reason: "Too many rooms", template: "There are {limit} rooms, which is the limit.", names: "limit"},
	"history_busy":   {status: 429, reason: "Last request not answered yet", template: "Your last request for the messages of a room is still being answered. Try again later."},
	"too_fast":       {status: 429, reason: "Too many messages", template: "You send too fast: {room} accepts {limit} messages a minute from a user. Your message was not delivered.", names: "limit"},
	"not_storable":   {status: 400, reason: "Message cannot be stored", template: "Your message contains data that cannot be stored and was not delivered."},

	// Blocks, and refusals because of other users, quotas and other domains.
	"still_invited":        {template: "{user} has an invitation to {room} already.", names: "user"},
	"blocked_room":         {template: "You get no invitations to {value} any more and cannot be added. {start}unblock {value} ends that.", names: "value"},
	"blocked_user":         {template: "{value} can no longer invite or add you. {start}unblock {value} ends that.", names: "value"},
	"unblocked":            {template: "{value} is no longer blocked.", names: "value"},
	"blocks":               {template: "You block: {count}", names: "count"},
	"no_relay":             {status: 403, reason: "No messages to that domain", template: "{user} is in another domain, to which you may not send messages.", names: "user"},
	"unknown_user":         {status: 404, reason: "No such user", template: "{user} is not a user of this server.", names: "user"},
	"unwilling":            {status: 403, reason: "User does not accept that", template: "{user} does not accept invitations to {room} from you.", names: "user"},
	"has_left":             {status: 403, reason: "User has left the room", template: "{user} has left {room} and cannot be added again. Send {start}invite {user} instead.", names: "user"},
	"was_invited":          {status: 429, reason: "Invited a short time ago", template: "{user} has been invited to {room} a short time ago. Try again in an hour.", names: "user"},
	"was_added":            {status: 429, reason: "Added a short time ago", template: "{user} has been added to {room} a short time ago. Try again in an hour, or send {start}invite {user}.", names: "user"},
	"too_many_invitations": {status: 403, reason: "User has too many invitations", template: "{user} has too many unanswered invitations.", names: "user"},
	"approached_often":     {status: 429, reason: "User was invited too often", template: "{user} has been invited or added too often. Try again later.", names: "user"},
	"too_many_approaches":  {status: 429, reason: "Too many invitations", template: "You can invite or add {limit} users an hour. Try again later.", names: "user limit"},
	"too_many_created":     {status: 429, reason: "Too many rooms created", template: "You can create {limit} rooms an hour. Try again later.", names: "limit"},
	"too_many_own":         {status: 403, reason: "Too many rooms of one user", template: "{user} has created {limit} rooms, which is the limit. Destroy one first.", names: "user limit"},
	"too_many_added":       {status: 403, reason: "Too many users added", template: "{user} has added {limit} members, which is the limit. Send {start}invite USER instead.", names: "user limit"},
	"not_confirmed":        {status: 403, reason: "User has not joined itself", template: "{user} was added to {room} and must send {start}accept before it can own it.", names: "user"},
	"you_block":            {status: 403, reason: "Room is blocked by the user", template: "You have blocked {room}. Send {start}unblock {room} first."},
	"not_blocked":          {status: 404, reason: "Not blocked", template: "You do not block {value}. {start}blocks lists what you block.", names: "value"},
	"not_self":             {status: 400, reason: "Not possible with yourself", template: "You cannot block yourself."},
	"not_user":             {status: 403, reason: "Only for users of this server", template: "Only users of this server can block."},
	"too_many_blocks":      {status: 403, reason: "Too many blocks", template: "You block {limit} rooms and users, which is the limit. {start}unblock ends a block.", names: "limit"},
}
